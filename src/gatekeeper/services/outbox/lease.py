"""A deliverer's hold on one message: nobody else delivers it while the lease runs."""

from collections.abc import Callable
from datetime import datetime, timedelta

import anyio

from gatekeeper.services.outbox.policy import DeliveryPolicy
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxMessage


class LeaseLostError(Exception):
    """The lease ran out, and somebody else may have the message now."""


class MessageLease:
    """The lease of one message, as claimed. What it settles is fenced by the lease itself.

    `begun` is the event loop's time before the claim: by it, and not by comparing our clock with
    the database's, the lease is renewed in time.
    """

    def __init__(
        self,
        store: Store,
        policy: DeliveryPolicy,
        message: OutboxMessage,
        *,
        until: datetime,
        begun: float,
    ) -> None:
        self.message = message
        self._store = store
        self._policy = policy
        self._until = until
        self._ends = begun + policy.lease_seconds

    async def ensure(self) -> None:
        """Have the lease for as long as one receiver may take.

        Raises:
            LeaseLostError: it is ours no more.
        """
        if self._ends - anyio.current_time() >= self._policy.receiver_timeout_seconds:
            return
        begun = anyio.current_time()

        def renew(tx: Transaction) -> datetime | None:
            until = tx.now() + timedelta(seconds=self._policy.lease_seconds)
            return until if tx.outbox.renew(self.message.id, self._until, until) else None

        until = await self._store.write(renew)
        if until is None:
            raise LeaseLostError(f"the lease of message {self.message.id} is over")
        self._until = until
        self._ends = begun + self._policy.lease_seconds

    async def sent(self) -> None:
        """Settle the message as sent.

        Raises:
            LeaseLostError: the lease is ours no more; nothing was written.
        """
        await self._settle(lambda tx: tx.outbox.sent(self.message.id, tx.now(), lease=self._until))

    async def failed(self, error: str, delay: timedelta | None, *, counted: bool = True) -> None:
        """Put the message back for `delay`, or make it a dead letter.

        Raises:
            LeaseLostError: the lease is ours no more; nothing was written.
        """

        def work(tx: Transaction) -> bool:
            return tx.outbox.failed(
                self.message.id,
                error,
                due_at=None if delay is None else tx.now() + delay,
                lease=self._until,
                counted=counted,
            )

        await self._settle(work)

    def put_back(self, tx: Transaction) -> None:
        """Put back what could not be settled when it was time, as after any outage. What was
        settled after all, or is somebody else's by now, is left alone."""
        tx.outbox.failed(
            self.message.id,
            "What came of it could not be written.",
            due_at=tx.now() + self._policy.delay(self.message.attempts),
            lease=self._until,
            counted=False,
        )

    async def _settle(self, work: Callable[[Transaction], bool]) -> None:
        if not await self._store.write(work):
            raise LeaseLostError(f"the lease of message {self.message.id} is over")
