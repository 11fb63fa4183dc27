"""The deliverer: claims the messages of the outbox and hands each to its receivers.

At least once: a crash between a receiver's success and its completion calls it again. In order for
each customer: the next message is claimed when the one before it has been settled, and one that is
tried again holds up those that follow, until it is sent or a dead letter.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

import anyio
import msgspec

from gatekeeper.errors import UnavailableError, UndeliverableError
from gatekeeper.services.bounded import bounded
from gatekeeper.services.outbox.lease import LeaseLostError, MessageLease
from gatekeeper.services.outbox.policy import DeliveryPolicy
from gatekeeper.services.outbox.signals import Signal, SignalRegistry, signal_of
from gatekeeper.services.registry import Registered
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxCounts, OutboxMessage, OutboxState

logger = logging.getLogger("gatekeeper.outbox")

MAX_ERROR_CHARS = 500

_RETURN_SECONDS = 2.0
"""How long a deliverer that is being stopped may take to give back what it had claimed."""


class _Claimed(NamedTuple):
    """What a claim brought: messages to deliver, and how many nobody receives, which are over."""

    leases: Sequence[MessageLease]
    unwanted: int


class Deliverer:
    """Delivers the outbox.

    Args:
        held: topics that wait for a receiver for as long as they have none, as what is to be
            billed does. All other messages that nobody receives are settled as sent at once.
    """

    def __init__(
        self,
        store: Store,
        registry: SignalRegistry,
        policy: DeliveryPolicy | None = None,
        *,
        held: Collection[str] = (),
    ) -> None:
        self._store = store
        self._registry = registry
        self._held = frozenset(held)
        self.policy = policy or DeliveryPolicy()
        self._wake = anyio.Event()

    def nudge(self) -> None:
        """Say that something has been written; must be called on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever. An outage of the database is waited out.

        No more is claimed than is begun at once, and more as soon as one is settled: a slow
        receiver holds up none but the messages of the same customer.
        """
        busy = 0

        async def work(lease: MessageLease) -> None:
            nonlocal busy
            try:
                await self._deliver(lease)
            finally:
                busy -= 1
                self.nudge()

        async with anyio.create_task_group() as group:
            while True:
                self._wake = anyio.Event()
                claimed = _Claimed((), 0)
                try:
                    claimed = await self._claim(self.policy.concurrency - busy)
                except Exception:
                    logger.exception("delivery was interrupted; it goes on")
                for lease in claimed.leases:
                    busy += 1
                    group.start_soon(work, lease)
                if not claimed.leases and not claimed.unwanted:
                    with anyio.move_on_after(self.policy.poll_seconds):
                        await self._wake.wait()

    async def run_once(self) -> int:
        """Claim what is due, of as many customers as are served at once, deliver it, and return
        how many messages were claimed.

        Raises:
            StoreUnavailableError: nothing was claimed.
        """
        claimed = await self._claim(self.policy.concurrency)
        async with anyio.create_task_group() as group:
            for lease in claimed.leases:
                group.start_soon(self._deliver, lease)
        return len(claimed.leases) + claimed.unwanted

    async def drain(self) -> int:
        """Deliver until nothing is due; returns how many messages were claimed."""
        total = 0
        while claimed := await self.run_once():
            total += claimed
        return total

    # -- for people -------------------------------------------------------------------------------

    async def retry(self, message_id: str | None = None) -> int:
        """Have dead letters, all or one, delivered again, to the receivers that have not had them.
        Returns how many there were."""
        found = await self._store.write(lambda tx: tx.outbox.retry(tx.now(), message_id=message_id))
        if found:
            self.nudge()
        return found

    async def discard(self, message_id: str | None = None) -> int:
        """Delete dead letters, or one message that is dead or waits. Returns how many."""
        found = await self._store.write(lambda tx: tx.outbox.discard(message_id=message_id))
        logger.warning("%d message(s) of the outbox were discarded", found)
        return found

    async def counts(self) -> OutboxCounts:
        """How much has not left, and since when the oldest of it waits."""
        return await self._store.read(lambda tx: tx.outbox.counts())

    async def listing(self, state: OutboxState, limit: int = 100) -> Sequence[OutboxMessage]:
        """The oldest messages in a state."""
        return await self._store.read(lambda tx: tx.outbox.listing(state, limit))

    # -- one message ------------------------------------------------------------------------------

    async def _claim(self, limit: int) -> _Claimed:
        self._registry.freeze()
        if limit <= 0:
            return _Claimed((), 0)
        wanted = self._registry.types
        begun = anyio.current_time()

        def work(tx: Transaction) -> _Claimed:
            now = tx.now()
            until = now + timedelta(seconds=self.policy.lease_seconds)
            claimed = tx.outbox.claim(now, until, limit, but_not=self._held - wanted)
            for message in claimed:
                if message.topic not in wanted:
                    tx.outbox.sent(message.id, now)
            leases = [
                MessageLease(self._store, self.policy, message, until=until, begun=begun)
                for message in claimed
                if message.topic in wanted
            ]
            return _Claimed(leases, len(claimed) - len(leases))

        return await self._store.write(work)

    async def _deliver(self, lease: MessageLease) -> None:
        """Deliver one message. What can't even be noted is left to its lease."""
        message = lease.message
        try:
            failures = await self._hand_over(lease)
            if failures:
                await self._note_failures(lease, failures)
            else:
                await lease.sent()
        except LeaseLostError as error:
            logger.warning("%s: it is left to whoever has it now", error)
        except Exception:
            logger.exception("message %s is tried again when its lease is over", message.id)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_RETURN_SECONDS, shield=True):
                await lease.failed("the process was stopped", timedelta(0), counted=False)
            raise

    async def _hand_over(self, lease: MessageLease) -> list[Exception]:
        """Call the receivers that have not had the message, each whatever the others do."""
        message = lease.message
        done = await self._store.read(lambda tx: tx.outbox.completed(message.id))
        try:
            signal = signal_of(message)
        except msgspec.MsgspecError as error:
            return [UndeliverableError(f"Its body can't be read: {error}")]
        failures: list[Exception] = []
        for receiver in self._registry.handlers_of(message.topic):
            if receiver.name in done:
                continue
            await lease.ensure()
            try:
                await self._call(receiver, signal)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is noted and tried again
                failures.append(error)
        return failures

    async def _call(self, receiver: Registered[Signal], signal: Signal) -> None:
        await bounded(receiver.handler(signal), self.policy.receiver_timeout_seconds)
        name = receiver.name
        await self._store.write(lambda tx: tx.outbox.complete(signal.id, name, tx.now()))

    async def _note_failures(self, lease: MessageLease, failures: Sequence[Exception]) -> None:
        """Put the message back with a delay, or give it up; nothing is given up for an outage."""
        message = lease.message
        reason = "; ".join(f"{type(error).__name__}: {error}" for error in failures)
        reason = reason[:MAX_ERROR_CHARS]
        hopeless = all(isinstance(error, UndeliverableError) for error in failures)
        outage = all(isinstance(error, UnavailableError) for error in failures)
        if hopeless or (message.attempts >= self.policy.max_attempts and not outage):
            logger.error(
                "message %s (%s) is a dead letter after %d attempts: %s",
                message.id,
                message.topic,
                message.attempts,
                reason,
                exc_info=failures[0],
            )
            await lease.failed(reason, None)
            return
        delay = self.policy.delay(message.attempts)
        if outage:
            now = await self._store.read(lambda tx: tx.now())
            delay = self.policy.outage_delay(now - message.created_at)
        logger.warning(
            "message %s (%s) failed, attempt %d, again in %.0f s: %s",
            message.id,
            message.topic,
            message.attempts,
            delay.total_seconds(),
            reason,
            exc_info=failures[0],
        )
        await lease.failed(reason, delay, counted=not outage)
