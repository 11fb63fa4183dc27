"""Group commit: what arrives while a batch is under way becomes the next one.

After PostgreSQL's and MySQL's group commit, one floor up: a commit costs the same for one command
as for a hundred. Accounts take turns, so that a busy one slows down nobody else; an account is in
one batch at a time; queues are bounded, and refuse when they are full.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from gatekeeper.errors import OverloadedError, ShuttingDownError
from gatekeeper.services.ledger.batch import SKIPPED
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.storage.postings import AccountKey

_logger: Final = logging.getLogger("gatekeeper")

R = TypeVar("R")

MAX_WAITERS: Final = 4
"""How many transactions may wait for a locked account at once: each takes up a connection."""

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


@dataclass(slots=True)
class _Item:
    command: Command[Any]
    future: "asyncio.Future[Any]"


class Batcher:
    """The queues of one gate, and the batches that are under way."""

    def __init__(self, ways: Ways, limits: BatchLimits | None = None) -> None:
        self._ways = ways
        self._limits = limits or BatchLimits()
        self._queues: dict[AccountKey, deque[_Item]] = {}
        self._turns: deque[AccountKey] = deque()
        self._in_turns: set[AccountKey] = set()
        self._busy: Counter[AccountKey] = Counter()
        self._waiting = 0
        self._running: set[asyncio.Task[None]] = set()
        self._waiters: set[asyncio.Task[None]] = set()
        self._waiting_room = asyncio.Semaphore(MAX_WAITERS)
        self._woken = False
        self._closing = False

    async def __aenter__(self) -> Self:
        self._closing = False
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
        while (under_way := self._running | self._waiters) or self._turns:
            left = deadline - clock()
            if left <= 0:
                break
            self._start()
            if under_way:
                await asyncio.wait(under_way, timeout=left, return_when="FIRST_COMPLETED")
            else:
                await asyncio.sleep(0)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._ways.close()

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while under_way := self._running | self._waiters:
            await asyncio.wait(under_way)
            await asyncio.sleep(0)  # what it has brought about begins

    async def run(self, command: Command[R]) -> R:
        """Carry out a command in the next batch that has room for it.

        If the caller is cancelled, a command that has not begun is dropped, and what one that has
        begun comes to is undone (a hold that nobody waits for is released).

        Raises:
            GatekeeperError: it was refused.
            OverloadedError: too much waits already.
            ShuttingDownError: the gate is closing.
        """
        future = self._submit(command)
        try:
            result: R = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._undo(command, future.result())
            raise
        return result

    def _submit(self, command: Command[Any]) -> "asyncio.Future[Any]":
        if self._closing:
            raise ShuttingDownError
        key = command.key
        queue = self._queues.get(key)
        if self._waiting >= self._limits.max_waiting or (
            queue is not None and len(queue) >= self._limits.max_waiting_for_account
        ):
            raise OverloadedError
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(_Item(command, future))
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
                loop = asyncio.get_running_loop()
                task = loop.create_task(self._carry_out(batch), name="gatekeeper batch")
                self._keep(self._running, task)

    def _take(self) -> list[_Item]:
        """The next batch: a share of what waits for each account, in turns."""
        idle = self._ways.lanes - len(self._running)
        room = min(self._limits.max_batch, -(-self._waiting // idle))
        share = max(1, room // len(self._turns))
        batch: list[_Item] = []
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

    async def _carry_out(self, batch: Sequence[_Item]) -> None:
        """Carry a batch out. Accounts that somebody else has locked go on by themselves, so that
        nobody else waits for them."""
        skipped: dict[AccountKey, list[_Item]] = {}
        try:
            outcomes = await self._ways.carry_out([item.command for item in batch])
            for item, outcome in zip(batch, outcomes, strict=True):
                if outcome is SKIPPED:
                    skipped.setdefault(item.command.key, []).append(item)
                else:
                    self._deliver(item, outcome)
        except Exception as error:  # noqa: BLE001 - told to those whom it belongs to
            self._fail(batch, error)
        except asyncio.CancelledError:
            self._fail(batch, ShuttingDownError())
            raise
        finally:
            loop = asyncio.get_running_loop()
            for key, items in skipped.items():
                self._keep(self._waiters, loop.create_task(self._wait_for(key, items)))
            self._free({item.command.key for item in batch} - skipped.keys())

    async def _wait_for(self, key: AccountKey, items: Sequence[_Item]) -> None:
        """Carry out the commands of one account once its lock can be had."""
        try:
            async with self._waiting_room:
                outcomes = await self._ways.carry_out_waiting([item.command for item in items])
            for item, outcome in zip(items, outcomes, strict=True):
                self._deliver(item, outcome)
        except Exception as error:  # noqa: BLE001 - told to those whom it belongs to
            self._fail(items, error)
        except asyncio.CancelledError:
            self._fail(items, ShuttingDownError())
            raise
        finally:
            self._free({key})

    def _deliver(self, item: _Item, outcome: object) -> None:
        if item.future.cancelled():
            if not isinstance(outcome, BaseException):
                self._undo(item.command, outcome)
        elif isinstance(outcome, BaseException):
            item.future.set_exception(outcome)
        else:
            item.future.set_result(outcome)

    def _fail(self, items: Iterable[_Item], error: Exception) -> None:
        for item in items:
            if not item.future.done():
                item.future.set_exception(error)

    def _undo(self, command: Command[Any], result: object) -> None:
        """Take back what a command came to that nobody waits for."""
        undo = command.undo(result)
        if undo is not None and not self._closing:
            self._submit(undo).add_done_callback(_note_failure)

    def _free(self, keys: Iterable[AccountKey]) -> None:
        """These accounts are in one batch less."""
        for key in keys:
            self._busy[key] -= 1
            self._give_turn(key)

    def _keep(self, tasks: "set[asyncio.Task[None]]", task: "asyncio.Task[None]") -> None:
        tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._waiters.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("a batch failed", exc_info=task.exception())
        self._wake(asyncio.get_running_loop())


def _note_failure(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        _logger.info("what nobody waited for could not be undone: %s", error)
