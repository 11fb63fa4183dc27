"""The dispatcher: claims stored events, object by object, and has them carried out.

The events of one object are never worked on by two at once; those of several objects are, as many
as the policy has it.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby

import anyio

from gatekeeper.services.claiming import or_given_back
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.carrier import Carrier
from gatekeeper.stripe.webhooks.leases import Lease, LeaseLostError
from gatekeeper.stripe.webhooks.policy import DispatchPolicy
from gatekeeper.stripe.webhooks.projecting import Projector
from gatekeeper.stripe.webhooks.registry import WebhookRegistry
from gatekeeper.stripe.webhooks.telling import Dispatching, Teller

logger = logging.getLogger("gatekeeper.webhooks")

_RETURN_SECONDS = 2.0
"""How long a dispatcher that is being stopped may take to give back what it had claimed."""


class Dispatcher:
    """Runs the projections and the host's handlers for what intake has stored."""

    def __init__(
        self,
        store: Store,
        registry: WebhookRegistry,
        projectors: Mapping[str, Projector] | None = None,
        policy: DispatchPolicy | None = None,
        teller: Teller | None = None,
    ) -> None:
        self._teller = teller or Teller()
        self._store = store
        self._registry = registry
        self.policy = policy or DispatchPolicy()
        self._carrier = Carrier(store, registry, projectors or {}, self.policy)
        self._wake = anyio.Event()
        self._left: list[Lease] = []  # whose end could not be noted, for want of the database

    def nudge(self) -> None:
        """Say that something new has been stored; must be called on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Dispatch for ever. An outage of the database is waited out.

        No more is claimed than is begun at once, and more as soon as one object is finished: a slow
        handler holds up none but the events of its own object.
        """
        busy = 0

        async def work(lease: Lease) -> None:
            nonlocal busy
            try:
                await self._dispatch_object(lease)
            finally:
                busy -= 1
                self.nudge()

        async with anyio.create_task_group() as group:
            while True:
                self._wake = anyio.Event()
                leases: Sequence[Lease] = ()
                try:
                    leases = await self._claim_or_give_back(self.policy.concurrency - busy)
                except Exception:
                    logger.exception("dispatch was interrupted; it goes on")
                for lease in leases:
                    busy += 1
                    group.start_soon(work, lease)
                if not leases:
                    with anyio.move_on_after(self.policy.poll_seconds):
                        await self._wake.wait()

    async def run_once(self) -> int:
        """Claim what is due, as many objects as are worked on at once, carry it out, and return
        how many events were claimed.

        Raises:
            StoreUnavailableError: nothing was claimed.
        """
        leases = await self._claim_or_give_back(self.policy.concurrency)
        async with anyio.create_task_group() as group:
            for lease in leases:
                group.start_soon(self._dispatch_object, lease)
        return sum(len(lease.events) for lease in leases)

    async def drain(self) -> int:
        """Dispatch until nothing is due; returns how many events were claimed."""
        total = 0
        while claimed := await self.run_once():
            total += claimed
        return total

    def work_of(self, event: InboxEvent) -> Sequence[str]:
        """What is done for an event, by the names of its completions."""
        return self._carrier.work_of(event)

    async def _claim_or_give_back(self, limit: int) -> Sequence[Lease]:
        async def give_back(leases: Sequence[Lease]) -> None:
            for lease in leases:
                await self._give_back(lease)

        return await or_given_back(self._claim(limit), give_back, _RETURN_SECONDS)

    async def _claim(self, limit: int) -> Sequence[Lease]:
        self._registry.freeze()
        if limit <= 0:
            return ()
        begun = anyio.current_time()
        left = tuple(self._left)

        def work(tx: Transaction) -> Sequence[InboxEvent]:
            now = tx.now()
            for lease in left:
                lease.put_back(tx)
            return tx.inbox.claim(now, now + timedelta(seconds=self.policy.lease_seconds), limit)

        events = sorted(await self._store.write(work), key=lambda one: one.object_key)  # stable
        # By name, not by number: two may claim at once, and what is left meanwhile must stay.
        self._left = [lease for lease in self._left if lease not in left]
        return [
            Lease(self._store, self.policy, tuple(of_object), begun)
            for _, of_object in groupby(events, key=lambda one: one.object_key)
        ]

    async def _dispatch_object(self, lease: Lease) -> None:
        """Carry out the events of one object. What can't even be noted is put back with the next
        claim; if that never comes, its lease runs out."""
        with self._teller.dispatching(lease.events, lease.begun) as telling:
            await self._carry_out(lease, telling)

    async def _carry_out(self, lease: Lease, telling: Dispatching) -> None:
        try:
            await self._carrier.carry_out(lease, telling)
        except LeaseLostError as error:
            logger.warning("%s: its events are left to whoever has it now", error)
        except Exception:
            logger.exception("events of %s will be put back, and tried again", lease.object_key)
            self._left.append(lease)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_RETURN_SECONDS, shield=True):
                await self._give_back(lease)
            raise

    async def _give_back(self, lease: Lease) -> None:
        """Let another process have an object at once. To fail here must not undo the stop."""
        try:
            await lease.give_back()
        except Exception:
            logger.exception(
                "events of %s are tried again when their lease is over", lease.object_key
            )
