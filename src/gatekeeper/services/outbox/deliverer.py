"""The deliverer: shares out the messages of the outbox among receivers, and hands them over.

A message is written once for all who receive its topic. Where it is claimed, it becomes one for
each of them, in one transaction; from there on each receiver has its own. At least once: a crash
between a receiver's success and its mark calls it again. In order for each customer and receiver:
the next message is claimed when the one before it has been settled. So one that is tried again
holds up the same customer's later ones to the same receiver, until it is sent or a dead letter;
other receivers, a mail server that is away among them, hold up nobody.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import anyio
import anyio.lowlevel
import msgspec
from msgspec.structs import replace

from gatekeeper.errors import UnavailableError, UndeliverableError
from gatekeeper.services.bounded import bounded
from gatekeeper.services.claiming import or_given_back
from gatekeeper.services.outbox.caches import CACHES
from gatekeeper.services.outbox.lease import LeaseLostError, MessageLease
from gatekeeper.services.outbox.policy import DeliveryPolicy
from gatekeeper.services.outbox.signals import BETWEEN, SignalRegistry, signal_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxCounts, OutboxMessage, OutboxState
from gatekeeper.telemetry import OFF, Attributes, Stopwatch, Telemetry, metrics, spans

logger = logging.getLogger("gatekeeper.outbox")

MAX_ERROR_CHARS = 500

_PASSES = 3
"""How often one transaction claims: messages that are to be shared out, and what they became."""

_SHARED = 200
"""How many messages are shared out in one transaction, or a few more."""

_RETURN_SECONDS = 2.0
"""How long a deliverer that is being stopped may take to give back what it had claimed."""


class _Claimed(NamedTuple):
    """What a claim brought: messages to deliver, and how many were shared out."""

    leases: Sequence[MessageLease]
    shared: int


class Deliverer:
    """Delivers the outbox. What nobody receives is settled as sent at once."""

    def __init__(
        self,
        store: Store,
        registry: SignalRegistry,
        policy: DeliveryPolicy | None = None,
        *,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._telemetry = telemetry
        self._store = store
        self._registry = registry
        self.policy = policy or DeliveryPolicy()
        self._wake = anyio.Event()
        self._left: list[MessageLease] = []  # whose end could not be noted

    def nudge(self) -> None:
        """Say that something has been written; must be called on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever. An outage of the database is waited out.

        No more is claimed than is begun at once, and more as soon as one is settled. Each receiver
        has room of its own: one that is slow, or hangs, holds up no other.
        """
        with self._listening():
            await self._run()

    async def _run(self) -> None:
        at_once = self.policy.concurrency
        busy: Counter[str] = Counter()

        async def work(lease: MessageLease) -> None:
            try:
                await self._deliver(lease)
            finally:
                busy[lease.message.receiver] -= 1
                self.nudge()

        async with anyio.create_task_group() as group:
            while True:
                await anyio.lowlevel.checkpoint()  # where it ends, whatever the store awaits
                self._wake = anyio.Event()
                claimed = _Claimed((), 0)
                full = [name for name, count in busy.items() if count >= at_once]
                # So many that they have room, though all of them be to one receiver.
                room = at_once - max((n for n in busy.values() if n < at_once), default=0)
                try:
                    claimed = await self._claim_or_give_back(room, full)
                except Exception:
                    logger.exception("delivery was interrupted; it goes on")
                for lease in claimed.leases:
                    busy[lease.message.receiver] += 1
                    group.start_soon(work, lease)
                if not claimed.leases and not claimed.shared:
                    with anyio.move_on_after(self.policy.poll_seconds):
                        await self._wake.wait()

    async def run_once(self) -> int:
        """Claim what is due, of as many customers as are served at once, deliver it, and return
        how many messages were delivered or shared out.

        Raises:
            StoreUnavailableError: nothing was claimed.
        """
        claimed = await self._claim_or_give_back(self.policy.concurrency)
        async with anyio.create_task_group() as group:
            for lease in claimed.leases:
                group.start_soon(self._deliver, lease)
        return len(claimed.leases) + claimed.shared

    async def drain(self) -> int:
        """Deliver until nothing is due; returns how often a message was delivered or shared
        out."""
        total = 0
        while claimed := await self.run_once():
            total += claimed
        return total

    # -- for people -------------------------------------------------------------------------------

    async def retry(self, message_id: str | None = None) -> int:
        """Have dead letters, all or one, delivered again; returns how many there were."""
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

    async def _claim_or_give_back(self, limit: int, full: Collection[str] = ()) -> _Claimed:
        async def give_back(claimed: _Claimed) -> None:
            for lease in claimed.leases:
                await self._give_back(lease)

        return await or_given_back(self._claim(limit, full), give_back, _RETURN_SECONDS)

    async def _claim(self, limit: int, full: Collection[str] = ()) -> _Claimed:
        self._registry.freeze()
        left_alone = [CACHES, *full]
        begun = anyio.current_time()
        left = tuple(self._left)

        def work(tx: Transaction) -> _Claimed:
            now = tx.now()
            for lease in left:
                lease.put_back(tx)
            until = now + timedelta(seconds=self.policy.lease_seconds)
            leases: list[MessageLease] = []
            shared = 0
            for _ in range(_PASSES):
                room = limit - len(leases)
                claimed = tx.outbox.claim(now, until, room, but_not=left_alone) if room else ()
                to_share = [message for message in claimed if not message.receiver]
                for message in to_share:
                    shared += self._share_in_order(tx, message, now, _SHARED - shared)
                leases += (
                    MessageLease(self._store, self.policy, message, until=until, begun=begun)
                    for message in claimed
                    if message.receiver
                )
                if not to_share:
                    break
            return _Claimed(leases, shared)

        found = await self._store.write(work)
        # By name, not by number: two may claim at once, and what is left meanwhile must stay.
        self._left = [lease for lease in self._left if lease not in left]
        return found

    def _share_in_order(
        self, tx: Transaction, first: OutboxMessage, now: datetime, room: int
    ) -> int:
        """Share out a message and those behind it, which a claim for each would look for anew among
        all that wait. Returns how many that were."""
        behind = tx.outbox.behind(first, now, room - 1) if room > 1 else ()
        for message in (first, *behind):
            self._share(tx, message, now)
        return 1 + len(behind)

    def _share(self, tx: Transaction, message: OutboxMessage, now: datetime) -> None:
        """Make a message one for each of its receivers; of its own it keeps the record."""
        tx.outbox.add(
            replace(
                message,
                id=f"{message.id}{BETWEEN}{receiver.name}",
                receiver=receiver.name,
                attempts=0,
            )
            for receiver in self._registry.handlers_of(message.topic)
        )
        tx.outbox.sent(message.id, now)

    async def _deliver(self, lease: MessageLease) -> None:
        """Deliver one message, and tell what came of it."""
        message, watch, outcome = lease.message, Stopwatch(), "lost"
        is_known = self._registry.named(message.receiver, message.topic) is not None
        told: Attributes = {
            metrics.TOPIC: message.topic,
            metrics.RECEIVER: message.receiver if is_known else metrics.OTHER,
        }
        about = {**told, spans.MESSAGE_ID: message.id, spans.ATTEMPT: message.attempts}
        with self._telemetry.span(spans.DELIVERY, about) as span:
            try:
                outcome = await self._carry_out(lease)
            finally:
                span.set(metrics.OUTCOME, outcome)
                if outcome != "sent":
                    span.fail(outcome)
                ended = {**told, metrics.OUTCOME: outcome}
                self._telemetry.record(metrics.OUTBOX_DURATION, watch.seconds, ended)

    async def _carry_out(self, lease: MessageLease) -> str:
        """Deliver one message; returns what came of it. What can't even be noted is put back with
        the next claim; if that never comes, its lease runs out."""
        message = lease.message
        try:
            failure = await self._hand_over(lease)
            if failure is not None:
                return await self._note_failure(lease, failure)
            await lease.sent()
            return "sent"
        except LeaseLostError as error:
            logger.warning("%s: it is left to whoever has it now", error)
        except Exception:
            logger.exception("message %s will be put back, and tried again", message.id)
            self._left.append(lease)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_RETURN_SECONDS, shield=True):
                await self._give_back(lease)
            raise
        return "lost"

    async def _give_back(self, lease: MessageLease) -> None:
        """Let another process have a message at once, if it was not settled yet."""
        try:
            await lease.failed("the process was stopped", timedelta(0), counted=False)
        except LeaseLostError:
            logger.debug("message %s had been settled", lease.message.id)
        except Exception:
            logger.exception("message %s is tried again when its lease is over", lease.message.id)

    async def _hand_over(self, lease: MessageLease) -> Exception | None:
        """Call the receiver of a message; what went wrong, if anything did."""
        message = lease.message
        receiver = self._registry.named(message.receiver, message.topic)
        if receiver is None:
            # It may be registered in a newer release, or in another process.
            return LookupError(f"there is no receiver {message.receiver!r} of this topic here")
        try:
            signal = signal_of(message)
        except msgspec.MsgspecError as error:
            return UndeliverableError(f"Its body can't be read: {error}")
        await lease.ensure()
        try:
            await bounded(receiver.handler(signal), self.policy.receiver_timeout_seconds)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is noted and tried again
            return error
        return None

    async def _note_failure(self, lease: MessageLease, failure: Exception) -> str:
        """Put the message back with a delay, or give it up; nothing is given up for an outage."""
        message = lease.message
        reason = f"{type(failure).__name__}: {failure}"[:MAX_ERROR_CHARS]
        outage = isinstance(failure, UnavailableError)
        spent = message.attempts >= self.policy.max_attempts and not outage
        if spent or isinstance(failure, UndeliverableError):
            logger.error(
                "message %s (%s) is a dead letter after %d attempts: %s",
                message.id,
                message.topic,
                message.attempts,
                reason,
                exc_info=failure,
            )
            await lease.failed(reason, None)
            return "dead"
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
            exc_info=failure,
        )
        await lease.failed(reason, delay, counted=not outage)
        return "retry"

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Be nudged by each commit in this process that writes a message, on whatever thread."""
        loop = asyncio.get_running_loop()

        def nudge() -> None:
            with suppress(RuntimeError):  # the loop is closed: there is nobody left to nudge
                loop.call_soon_threadsafe(self.nudge)

        self._store.on_messages.add(nudge)
        try:
            yield
        finally:
            self._store.on_messages.discard(nudge)
