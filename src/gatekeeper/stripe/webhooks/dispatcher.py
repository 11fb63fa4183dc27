"""The dispatcher: claims stored events and carries each out.

A handler's effect and its completion share one transaction, so a crash at any point leads to the
same state: what is complete is not done again, the rest is. Stripe does not keep events in order
(https://docs.stripe.com/webhooks#event-ordering), so one that fails holds up no other; only events
of one object are never worked on by two at once.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby

import anyio

from gatekeeper.errors import UnavailableError
from gatekeeper.services.bounded import bounded
from gatekeeper.services.claiming import or_given_back
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.stripe.webhooks.event import WebhookEvent, stripe_customer_of
from gatekeeper.stripe.webhooks.failures import Verdict, judge
from gatekeeper.stripe.webhooks.leases import Lease, LeaseLostError
from gatekeeper.stripe.webhooks.policy import DispatchPolicy
from gatekeeper.stripe.webhooks.projecting import Complete, Projector
from gatekeeper.stripe.webhooks.registry import Registered, WebhookRegistry
from gatekeeper.stripe.webhooks.telling import Dispatching, Teller

logger = logging.getLogger("gatekeeper.webhooks")

PROJECTION = "gatekeeper.projection"
"""The completion name of our own work on an event."""

MAX_ERROR_CHARS = 500

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
        self._projectors = dict(projectors or {})
        self.policy = policy or DispatchPolicy()
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
        ours = () if self._projector_of(event) is None else (PROJECTION,)
        return (*ours, *(one.name for one in self._registry.handlers_of(event.type)))

    def _projector_of(self, event: InboxEvent) -> Projector | None:
        projector = self._projectors.get(event.object_type or "")
        if projector is None or event.object_id is None:
            return None
        return projector if event.account is None or projector.connected else None

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
            done = await self._store.read(lambda tx: _completed(tx, lease.events))
            events = await self._project(lease, done, telling)
            heard = [event for event in events if self._wanted(event, done)]
            keys = {event.key for event in heard}
            if quiet := [event for event in events if event.key not in keys]:
                await lease.settle_done(quiet)
            for event in quiet:
                telling.settled(event, "done")
            for event in heard:
                await self._handle(lease, event, done, telling)
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

    async def _project(
        self, lease: Lease, done: Mapping[str, set[str]], telling: Dispatching
    ) -> Sequence[InboxEvent]:
        """Bring our copy of the object up to date; returns the events that handlers may have."""
        events = lease.events
        projector = self._projector_of(events[0])
        if projector is None:
            return events
        fresh = [event for event in events if PROJECTION not in done[event.key]]
        if not fresh:
            return events

        def complete(tx: Transaction) -> None:
            now = tx.now()
            for event in fresh:
                tx.inbox.complete(event.key, PROJECTION, now)

        await lease.ensure()
        try:
            await self._project_in_time(projector, fresh, complete)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is noted and tried again
            # They wait together, so that one fetch will serve them all.
            slowest = max(fresh, key=lambda event: event.attempts)
            verdict = await self._verdict(slowest, [error])
            for event in fresh:
                await self._note_failure(lease, event, [error], verdict, telling)
            return [event for event in events if PROJECTION in done[event.key]]
        return events

    async def _project_in_time(
        self, projector: Projector, events: Sequence[InboxEvent], complete: Complete
    ) -> None:
        seconds = self.policy.handler_timeout_seconds
        try:
            await bounded(projector.project(events, complete), seconds)
        except TimeoutError as error:
            # It waits for Stripe and the database alone: that one of them does not answer at all
            # is as much of an outage as when it refuses to.
            raise UnavailableError(f"Nothing was projected within {seconds:g} s.") from error

    def _wanted(self, event: InboxEvent, done: Mapping[str, set[str]]) -> Sequence[Registered]:
        """The host's handlers that have not completed an event or its twin."""
        completed = set().union(*(done.get(key, ()) for key in _keys_of(event)))
        handlers = self._registry.handlers_of(event.type)
        return [handler for handler in handlers if handler.name not in completed]

    async def _handle(
        self, lease: Lease, event: InboxEvent, done: dict[str, set[str]], telling: Dispatching
    ) -> None:
        """Run the host's handlers that have not completed this event or its twin, each whatever
        the others do; then settle it."""
        failures: list[Exception] = []
        keys = _keys_of(event)
        wanted = self._wanted(event, done)
        if wanted:
            stripe_id = stripe_customer_of(event)
            customer = None
            if stripe_id is not None:
                customer = await self._store.read(lambda tx: tx.customers.by_stripe_id(stripe_id))
            seen = WebhookEvent(event, customer=None if customer is None else customer.id)
            for handler in wanted:
                await lease.ensure()
                try:
                    await self._run_handler(handler, seen, keys)
                except Exception as error:  # noqa: BLE001 -- noted below, and tried again
                    failures.append(error)
                else:
                    for key in keys:
                        done.setdefault(key, set()).add(handler.name)
        if failures:
            verdict = await self._verdict(event, failures)
            await self._note_failure(lease, event, failures, verdict, telling)
        else:
            await lease.settle(event, EventStatus.DONE)
            telling.settled(event, "done")

    async def _run_handler(
        self, registered: Registered, event: WebhookEvent, keys: Sequence[str]
    ) -> None:
        event.take_writes()  # what an earlier handler left behind when it failed is not this one's
        await bounded(registered.handler(event), self.policy.handler_timeout_seconds)
        writes = event.take_writes()

        def complete(tx: Transaction) -> None:
            now = tx.now()
            recorded = [tx.inbox.complete(key, registered.name, now) for key in keys]
            if all(recorded):
                for write in writes:
                    write(tx)

        await self._store.write(complete)

    async def _verdict(self, event: InboxEvent, failures: Sequence[Exception]) -> Verdict:
        """What becomes of an event that failed. An outage counts no attempts, so that its wait
        grows with the event's age instead; nor does the wait for what is not there yet."""
        age = await self._store.read(lambda tx: tx.now()) - event.received_at
        return judge(self.policy, failures, attempts=event.attempts, age=age)

    async def _note_failure(
        self,
        lease: Lease,
        event: InboxEvent,
        failures: Sequence[Exception],
        verdict: Verdict,
        telling: Dispatching,
    ) -> None:
        """Put the event back with a delay, or give it up; nothing is given up for an outage."""
        reason = "; ".join(f"{type(error).__name__}: {error}" for error in failures)
        reason = reason[:MAX_ERROR_CHARS]
        spent = verdict.counted and event.attempts >= self.policy.max_attempts
        if verdict.final or spent:
            logger.error(
                "event %s (%s) is a dead letter after %d attempts: %s",
                event.event_id,
                event.type,
                event.attempts,
                reason,
                exc_info=failures[0],
            )
            await lease.settle(event, EventStatus.DEAD, error=reason, kind=verdict.kind)
            telling.settled(event, "dead")
            return
        delay = verdict.delay
        logger.warning(
            "event %s (%s) failed, attempt %d, again in %.0f s: %s",
            event.event_id,
            event.type,
            event.attempts,
            delay.total_seconds(),
            reason,
            exc_info=failures[0],
        )
        await lease.settle(
            event,
            EventStatus.PENDING,
            delay=delay,
            error=reason,
            kind=verdict.kind,
            counted=verdict.counted,
        )
        telling.settled(event, "retry")


def _keys_of(event: InboxEvent) -> tuple[str, ...]:
    """Under which keys the completions of an event are recorded: its own, and, of a thin event,
    that of the snapshot which tells of the same change. A handler runs for one of the two."""
    return (event.key,) if event.twin is None else (event.key, event.twin)


def _completed(tx: Transaction, events: Sequence[InboxEvent]) -> dict[str, set[str]]:
    keys = {key for event in events for key in _keys_of(event)}
    return {key: set(tx.inbox.completed(key)) for key in keys}
