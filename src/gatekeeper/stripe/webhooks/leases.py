"""A dispatcher's hold on one object: nobody else works on it while the lease runs."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import anyio

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import ErrorKind, EventStatus, InboxEvent
from gatekeeper.stripe.webhooks.policy import DispatchPolicy


class LeaseLostError(Exception):
    """The lease ran out, and somebody else may have the object now."""


class Lease:
    """The lease of one object and of its events, as claimed.

    `begun` is the event loop's time before the claim: by it, and not by comparing our clock with
    the database's, the lease is renewed in time. What it settles is fenced by the lease itself.
    """

    def __init__(
        self, store: Store, policy: DispatchPolicy, events: Sequence[InboxEvent], begun: float
    ) -> None:
        until = events[0].leased_until
        assert until is not None  # they have just been claimed
        self.events = tuple(events)
        self.begun = begun
        self.object_key = events[0].object_key
        self._store = store
        self._policy = policy
        self._until: datetime = until
        self._ends = begun + policy.lease_seconds

    async def ensure(self) -> None:
        """Have the lease for as long as one handler may take.

        Raises:
            LeaseLostError: it is ours no more.
        """
        if self._ends - anyio.current_time() >= self._policy.handler_timeout_seconds:
            return
        begun = anyio.current_time()

        def renew(tx: Transaction) -> datetime | None:
            until = tx.now() + timedelta(seconds=self._policy.lease_seconds)
            return until if tx.inbox.renew(self.object_key, self._until, until) else None

        until = await self._store.write(renew)
        if until is None:
            raise LeaseLostError(f"the lease of {self.object_key} is over")
        self._until = until
        self._ends = begun + self._policy.lease_seconds

    async def settle(
        self,
        event: InboxEvent,
        status: EventStatus,
        *,
        delay: timedelta | None = None,
        error: str | None = None,
        kind: ErrorKind | None = None,
        counted: bool = True,
    ) -> None:
        """Settle one of its events, if the lease is still ours.

        Raises:
            LeaseLostError: it is not; nothing was written.
        """

        def work(tx: Transaction) -> bool:
            return tx.inbox.settle(
                event.key,
                status,
                due_at=None if delay is None else tx.now() + delay,
                error=error,
                kind=kind,
                lease=self._until,
                counted=counted,
            )

        if not await self._store.write(work):
            raise LeaseLostError(f"the lease of {self.object_key} is over")

    async def settle_done(self, events: Sequence[InboxEvent]) -> None:
        """Settle several of its events as done, in one transaction.

        Raises:
            LeaseLostError: the lease of one is not ours any more; the others are settled.
        """

        def work(tx: Transaction) -> bool:
            settled = [
                tx.inbox.settle(event.key, EventStatus.DONE, lease=self._until) for event in events
            ]
            return all(settled)

        if not await self._store.write(work):
            raise LeaseLostError(f"the lease of {self.object_key} is over")

    def put_back(self, tx: Transaction) -> None:
        """Put back what could not be settled when it was time, as after any outage. What was
        settled after all, or is somebody else's by now, is left alone."""
        now = tx.now()
        for event in self.events:
            tx.inbox.settle(
                event.key,
                EventStatus.PENDING,
                due_at=now + self._policy.delay(event.attempts),
                error="What came of it could not be written.",
                kind=ErrorKind.TRANSIENT,
                lease=self._until,
                counted=False,
            )

    async def give_back(self) -> None:
        """End the lease of what was not finished, so that the next process need not wait. To be
        stopped is no failure of the events': the attempt does not count."""

        def work(tx: Transaction) -> None:
            for event in self.events:
                tx.inbox.settle(
                    event.key,
                    EventStatus.PENDING,
                    due_at=tx.now(),
                    lease=self._until,
                    counted=False,
                )

        await self._store.write(work)
