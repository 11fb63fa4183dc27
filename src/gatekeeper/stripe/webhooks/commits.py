"""Group commit of what comes in: events that arrive while one commit is under way share the next.

A commit costs the same for one event as for a hundred, so that a burst is stored as fast as the
database writes, and an event that comes alone waits for nobody. Nobody is answered before the
commit; a caller who goes away harms nobody else; one row that can't be written fails alone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gatekeeper.errors import OverloadedError, StoreUnavailableError, UnavailableError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import InboxEvent

logger = logging.getLogger("gatekeeper.webhooks")

MakeRow = Callable[[Transaction], InboxEvent]
"""Makes an event's row in the transaction that writes it, whose clock it takes its times from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """How much is taken on at once.

    Attributes:
        max_batch: events of one commit.
        max_batch_bytes: bytes of their bodies, unless a single event is larger.
        max_waiting: events that wait for the next commits; more are refused with a 503.
        max_waiting_bytes: of their bodies: what bounds the memory.
        timeout_seconds: how long an event may wait to be committed. Stripe gives up on an answer
            after some 20 seconds and sends the event again; a 503 in time frees the connection.
    """

    max_batch: int = 256
    max_batch_bytes: int = 4 * 2**20
    max_waiting: int = 2_000
    max_waiting_bytes: int = 64 * 2**20
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class _Arrival:
    make: MakeRow
    size: int
    answer: "asyncio.Future[bool]"


class GroupCommit:
    """The queue of one endpoint, and the commit that is under way."""

    def __init__(self, store: Store, limits: IntakeLimits | None = None) -> None:
        self._store = store
        self._limits: Final = limits or IntakeLimits()
        self._waiting: deque[_Arrival] = deque()
        self._waiting_bytes = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many events wait for a commit to begin."""
        return len(self._waiting)

    async def insert(self, make: MakeRow, size: int) -> bool:
        """Store an event of `size` bytes; True if it is new. It is committed when this returns.

        Raises:
            OverloadedError: too much waits already.
            StoreUnavailableError: the database can't be reached, or not in time. In the latter
                case it may be stored after all, which is no harm: Stripe sends it again, and it
                is known then.
        """
        limits = self._limits
        if len(self._waiting) >= limits.max_waiting or (
            self._waiting and self._waiting_bytes + size > limits.max_waiting_bytes
        ):
            raise OverloadedError("More events wait to be stored than can be queued.")
        loop = asyncio.get_running_loop()
        arrival = _Arrival(make, size, loop.create_future())
        self._waiting.append(arrival)
        self._waiting_bytes += size
        self._start(loop)
        try:
            async with asyncio.timeout(limits.timeout_seconds):
                return await arrival.answer
        except TimeoutError:
            raise StoreUnavailableError(
                f"The event could not be stored within {limits.timeout_seconds:g} s."
            ) from None
        finally:
            # A caller who has gone away takes what has not begun along.
            if arrival.answer.cancelled() and arrival in self._waiting:
                self._waiting.remove(arrival)
                self._waiting_bytes -= size

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that what waits is committed. A task of an event loop that is over is not."""
        task = self._task
        if task is None or task.done() or task.get_loop() is not loop:
            self._task = loop.create_task(self._run(), name="gatekeeper intake")

    async def _run(self) -> None:
        """Commit what waits until nothing does."""
        while self._waiting:
            batch = self._take()
            try:
                async with asyncio.timeout(self._limits.timeout_seconds):
                    await self._commit(batch)
            except TimeoutError:
                logger.warning("%d event(s) could not be stored in time", len(batch))
                _fail(batch, StoreUnavailableError("The database did not answer in time."))
            except BaseException:  # we are being stopped, with the event loop
                _fail(batch, StoreUnavailableError("The event was not stored: we are stopping."))
                raise

    def _take(self) -> list[_Arrival]:
        limits = self._limits
        batch = [self._waiting.popleft()]
        size = batch[0].size
        while (
            self._waiting
            and len(batch) < limits.max_batch
            and size + self._waiting[0].size <= limits.max_batch_bytes
        ):
            batch.append(self._waiting.popleft())
            size += batch[-1].size
        self._waiting_bytes -= size
        return batch

    async def _commit(self, batch: Sequence[_Arrival]) -> None:
        """Write a batch in one transaction; if one of it can't be written, each in its own."""

        def insert(tx: Transaction) -> Sequence[bool]:
            if len(batch) == 1:
                return (tx.inbox.insert(batch[0].make(tx)),)
            return tx.inbox.insert_many([arrival.make(tx) for arrival in batch])

        try:
            answers = await self._store.write(insert)
        except UnavailableError as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 -- told to whom it belongs
            if len(batch) == 1:
                _fail(batch, error)
                return
            for arrival in batch:
                await self._commit([arrival])
        else:
            for arrival, new in zip(batch, answers, strict=True):
                if not arrival.answer.done():
                    arrival.answer.set_result(new)


def _fail(batch: Sequence[_Arrival], error: Exception) -> None:
    for arrival in batch:
        if not arrival.answer.done():
            arrival.answer.set_exception(error)
