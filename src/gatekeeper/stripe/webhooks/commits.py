"""Group commit of what comes in: events that arrive while one commit is under way share the next.

A commit costs the same for one event as for a hundred, so that a burst is stored as fast as the
database writes, and an event that comes alone waits for nobody. Where the database takes several
writers, a second commit begins beside the first once as many events wait as that one holds: while
the one waits for the database, the next are read and checked. Nobody is answered before the
commit; a caller who goes away harms nobody else; one row that can't be written fails alone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gatekeeper.errors import OverloadedError, StoreUnavailableError, UnavailableError
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import InboxEvent

logger = logging.getLogger("gatekeeper.webhooks")

MakeRow = Callable[[datetime], InboxEvent]
"""Makes an event's row, received at this time."""


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
    max_waiting: int = 10_000
    max_waiting_bytes: int = 64 * 2**20
    timeout_seconds: float = 10.0


UNDER_WAY: Final = 2
"""How many commits may be under way where the database takes several writers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Arrival:
    make: MakeRow
    size: int
    answer: "asyncio.Future[bool]"


class GroupCommit:
    """The queue of one endpoint, and the commits that are under way."""

    def __init__(self, store: Store, limits: IntakeLimits | None = None) -> None:
        self._store = store
        self._limits: Final = limits or IntakeLimits()
        self._at_once: Final = UNDER_WAY if store.locks_rows else 1
        self._waiting: deque[_Arrival] = deque()
        self._waiting_bytes = 0
        # By their deadlines, and without their bodies: one that waits must not keep those of all
        # that were answered after it.
        self._unanswered: deque[tuple[float, asyncio.Future[bool]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: dict[asyncio.Task[None], int] = {}  # each with the size of its batch
        self._loop: asyncio.AbstractEventLoop | None = None

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
        if loop is not self._loop:
            self._begin_anew(loop)
        arrival = _Arrival(make, size, loop.create_future())
        deadline = loop.time() + limits.timeout_seconds
        self._waiting.append(arrival)
        self._waiting_bytes += size
        self._unanswered.append((deadline, arrival.answer))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire)
        if not self._tasks or (
            len(self._tasks) < self._at_once and len(self._waiting) >= min(self._tasks.values())
        ):
            self._start(loop)
        try:
            return await arrival.answer
        finally:
            # Who has gone away, or was told that it takes too long, takes what has not begun along.
            answer = arrival.answer
            if answer.cancelled() or not answer.done() or answer.exception() is not None:
                self._forget(arrival)

    def _begin_anew(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nobody waits any more whose event loop is over."""
        self._loop = loop
        self._waiting.clear()
        self._waiting_bytes = 0
        self._unanswered.clear()
        self._tasks.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget(self, arrival: _Arrival) -> None:
        if arrival in self._waiting:
            self._waiting.remove(arrival)
            self._waiting_bytes -= arrival.size

    def _expire(self) -> None:
        """Tell those whose time is over. One timer serves all: one for each would cost an event
        more than its signature does."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        seconds = self._limits.timeout_seconds
        while self._unanswered:
            deadline, answer = self._unanswered[0]
            if not answer.done():
                if deadline > now:
                    self._timer = loop.call_at(deadline, self._expire)
                    return
                answer.set_exception(
                    StoreUnavailableError(f"The event could not be stored within {seconds:g} s.")
                )
            self._unanswered.popleft()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._run(), name="gatekeeper intake")
        self._tasks[task] = 1

    async def _run(self) -> None:
        """Commit what waits until nothing does."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._waiting:
                batch = self._take()
                self._tasks[task] = len(batch)
                await self._commit_in_time(batch)
                while self._unanswered and self._unanswered[0][1].done():
                    self._unanswered.popleft()
        finally:
            # At once: who comes next must see that nobody is at it.
            self._tasks.pop(task, None)

    async def _commit_in_time(self, batch: Sequence[_Arrival]) -> None:
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

        def make(now: datetime) -> Sequence[InboxEvent]:
            return [arrival.make(now) for arrival in batch]

        try:
            answers = await self._store.arrive(make)
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
