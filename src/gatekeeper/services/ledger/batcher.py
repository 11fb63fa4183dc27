"""Group commit: what arrives while a batch is under way becomes the next one.

After PostgreSQL's and MySQL's group commit, one floor up: a commit costs the same for one command
as for a hundred. Accounts take turns, so that a busy one slows down nobody else; an account is in
no more batches at a time than may build on one another; queues are bounded, and refuse when they
are full.
"""

import asyncio
import itertools
import logging
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from gatekeeper.errors import OverloadedError, ShuttingDownError
from gatekeeper.services.ledger.batch import AGAIN, SKIPPED
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.parking import Item, Parking, interrupted
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.storage.postings import AccountKey

_logger: Final = logging.getLogger("gatekeeper")

R = TypeVar("R")

DRAIN_SECONDS: Final = 20.0
"""How long closing waits for batches that are under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How much is taken on.

    Attributes:
        max_batch: commands of one batch.
        max_waiting: commands that wait for their batch.
        max_waiting_for_account: of those, the ones of a single account.
    """

    max_batch: int = 256
    max_waiting: int = 10_000
    max_waiting_for_account: int = 2_000


class Batcher:
    """The queues of one gate, and the batches that are under way."""

    def __init__(self, ways: Ways, limits: BatchLimits | None = None) -> None:
        self._ways = ways
        self._limits = limits or BatchLimits()
        self._queues: dict[AccountKey, deque[Item]] = {}
        self._turns: deque[AccountKey] = deque()
        self._in_turns: set[AccountKey] = set()
        self._busy: Counter[AccountKey] = Counter()
        self._waiting = 0
        self._running: set[asyncio.Task[None]] = set()
        self._parking = Parking(ways, deliver=self._deliver, free=self._free)
        self._woken = False
        self._numbers = itertools.count()
        self._taken: set[Item] = set()
        self._closing = self._closed = False

    async def __aenter__(self) -> Self:
        self._woken = self._closing = self._closed = False
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Refuse what is new, and let what was taken on come to its end, but not for ever."""
        self._closing = True
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self._has_work and (left := deadline - clock()) > 0:
            await self._progress(left)
        self._closed = True
        await self._give_up()
        await self._ways.close()

    async def drained(self) -> None:
        """Wait until nothing waits, and nothing is under way."""
        while self._has_work:
            await self._progress()

    @property
    def _has_work(self) -> bool:
        return bool(self._turns or self._tasks)

    @property
    def _tasks(self) -> "set[asyncio.Task[None]]":
        return self._running | self._parking.tasks

    async def _progress(self, timeout_seconds: float | None = None) -> None:
        """Wait until a batch has ended, or begins."""
        if under_way := self._tasks:
            await asyncio.wait(under_way, timeout=timeout_seconds, return_when="FIRST_COMPLETED")
        else:
            await asyncio.sleep(0)

    async def _give_up(self) -> None:
        """Tell those who still wait: what has not begun is not done; of the rest nobody knows."""
        for queue in self._queues.values():
            self._fail(queue, ShuttingDownError())
            queue.clear()
        self._turns.clear()
        self._in_turns.clear()
        self._waiting = 0
        under_way = self._tasks
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for item in self._taken:  # of a task that had not begun
            self._fail([item], interrupted())
        self._taken.clear()
        self._queues.clear()
        self._busy.clear()

    async def run(self, command: Command[R]) -> R:
        """Carry out a command in the next batch that has room for it.

        If the caller is cancelled, a command that has not begun is dropped, and what one that has
        begun comes to is undone (a hold that nobody waits for is released).

        Raises:
            GatekeeperError: it was refused.
            OverloadedError: too much waits already.
            ShuttingDownError: the gate is closing.
        """
        self._check_room(command.key)
        future = self._submit(command)
        try:
            result: R = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._undo(command, future.result())
            raise
        return result

    def _check_room(self, key: AccountKey) -> None:
        if self._closing:
            raise ShuttingDownError
        waiting_here = len(self._queues.get(key, ()))
        if (
            self._waiting >= self._limits.max_waiting
            or waiting_here >= self._limits.max_waiting_for_account
        ):
            raise OverloadedError

    def _submit(self, command: Command[Any]) -> "asyncio.Future[Any]":
        key = command.key
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        queue = self._queues.setdefault(key, deque())
        queue.append(Item(command, future, next(self._numbers)))
        if len(queue) == 1:
            self._give_turn(key)
        self._waiting += 1
        self._wake(loop)
        return future

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for work once those have spoken who are about to."""
        if not self._woken:
            self._woken = True
            loop.call_soon(self._start)

    def _start(self) -> None:
        self._woken = False
        while self._turns and len(self._running) < self._ways.lanes:
            batch = self._take()
            if batch:
                self._taken.update(batch)
                loop = asyncio.get_running_loop()
                task = loop.create_task(self._carry_out(batch), name="gatekeeper batch")
                self._running.add(task)
                task.add_done_callback(self._ended)

    def _take(self) -> list[Item]:
        """The next batch: a share of what waits for each account, in turns."""
        idle = self._ways.lanes - len(self._running)
        room = min(self._limits.max_batch, -(-self._waiting // idle))
        share = max(1, room // len(self._turns))
        batch: list[Item] = []
        again: list[AccountKey] = []
        while self._turns and len(batch) < room:
            key = self._turns.popleft()
            queue, taken = self._queues[key], 0
            while queue and taken < share:
                item = queue.popleft()
                self._waiting -= 1
                if not item.future.cancelled():
                    batch.append(item)
                    taken += 1
            if taken:
                self._busy[key] += 1
            self._in_turns.discard(key)
            again.append(key)
        for key in again:
            self._give_turn(key)
        return batch

    def _give_turn(self, key: AccountKey) -> None:
        """Let an account that has something waiting into the next batches, if it may be in more."""
        if not self._queues[key]:
            if not self._busy[key]:
                del self._queues[key], self._busy[key]
        elif key not in self._in_turns and self._busy[key] < self._ways.depth(key):
            self._in_turns.add(key)
            self._turns.append(key)

    async def _carry_out(self, batch: Sequence[Item]) -> None:
        """Carry a batch out. Accounts that somebody else has locked are parked."""
        skipped: dict[AccountKey, list[Item]] = {}
        again: list[Item] = []
        try:
            outcomes = await self._ways.carry_out([item.command for item in batch])
            for item, outcome in zip(batch, outcomes, strict=True):
                if outcome is SKIPPED:
                    skipped.setdefault(item.command.key, []).append(item)
                elif outcome is AGAIN:
                    again.append(item)
                else:
                    self._deliver(item, outcome)
        except Exception as error:  # noqa: BLE001 - told to those whom it belongs to
            self._fail(batch, error)
        except asyncio.CancelledError:
            self._fail(batch, interrupted())
            raise
        finally:
            self._taken.difference_update(batch)
            self._put_back(again)
            for key in {item.command.key for item in batch} - skipped.keys():
                self._free(key)
            for key, items in skipped.items():
                self._parking.park(key, items)

    def _put_back(self, items: Sequence[Item]) -> None:
        """Those who came first are the next, before whom and after whom ever they were decided."""
        for key in {item.command.key for item in items}:
            queue = self._queues[key]
            own = [item for item in items if item.command.key == key]
            in_order = sorted([*own, *queue], key=attrgetter("number"))
            queue.clear()
            queue.extend(in_order)
        self._waiting += len(items)

    def _deliver(self, item: Item, outcome: object) -> None:
        if item.future.cancelled():
            if not isinstance(outcome, BaseException):
                self._undo(item.command, outcome)
        elif not isinstance(outcome, BaseException):
            item.future.set_result(outcome)
        elif not item.future.done():
            item.future.set_exception(outcome)

    def _fail(self, items: Iterable[Item], error: Exception) -> None:
        for item in items:
            if not item.future.done():
                item.future.set_exception(error)

    def _undo(self, command: Command[Any], result: object) -> None:
        """Take back what a command came to that nobody waits for: however full the queues are, and
        while the gate closes, too."""
        undo = command.undo(result)
        if undo is not None and not self._closed:
            self._submit(undo).add_done_callback(_note_failure)

    def _free(self, key: AccountKey) -> None:
        """The account is in one batch less."""
        self._busy[key] -= 1
        self._give_turn(key)
        self._wake(asyncio.get_running_loop())

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("a batch failed", exc_info=task.exception())
        self._wake(asyncio.get_running_loop())


def _note_failure(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        _logger.info("what nobody waited for could not be undone: %s", error)
