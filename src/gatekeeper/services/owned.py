"""Work that the gate owns: it outlives the request that asked for it, and ends with the gate."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from gatekeeper.errors import GatekeeperError, NoGateError, ShuttingDownError

logger = logging.getLogger("gatekeeper")

T = TypeVar("T")

DRAIN_SECONDS = 20.0
"""How long closing the gate waits for settlements that are under way."""

RESTART_SECONDS = 1.0
"""How long after a failure that nobody foresaw a background loop is started again."""


class OwnedTasks:
    """Tasks of the gate's own. A request that is cancelled does not cancel them.

    Settling a hold in the request's scope would lose it at the very moment that matters, the
    disconnect: https://anyio.readthedocs.io/en/stable/cancellation.html. These are tasks of the
    event loop and no task group: a host may open and close the gate in different tasks.
    """

    def __init__(self) -> None:
        self._open = self._closed = False
        self._work: set[asyncio.Task[Any]] = set()
        self._loops: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._open, self._closed = True, False
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the loops; let work that has begun come to its end, but not for ever."""
        await _cancel(self._loops)
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self._work and (left := deadline - clock()) > 0:
            await asyncio.wait(self._work, timeout=left)
        self._open, self._closed = False, True
        await _cancel(self._work)

    def loop(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        """Run something in the background until the gate closes; after a failure, again."""
        self.check()
        task = asyncio.create_task(_for_ever(run, name), name=name)
        self._loops.add(task)
        task.add_done_callback(self._loops.discard)

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run something in the background once, until it ends by itself or the gate closes."""
        try:
            self.check()
        except GatekeeperError:
            work.close()
            raise
        task = asyncio.create_task(work, name=name)
        self._loops.add(task)
        task.add_done_callback(self._loops.discard)
        return task

    def spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> "asyncio.Task[T]":
        """Start `work` now, in a task that only closing the gate may cancel.

        Raises:
            NoGateError: the gate is not open.
            ShuttingDownError: it has been closed.
        """
        try:
            self.check()
        except GatekeeperError:
            work.close()
            raise
        task = asyncio.create_task(work, name=name)
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def leave(self, work: Coroutine[Any, Any, object]) -> None:
        """As `spawn`, for work that nobody waits for."""
        self.spawn(work).set_name("gatekeeper left alone")

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """As `spawn`, and wait for it. The waiting may be cancelled, the work is not."""
        return await asyncio.shield(self.spawn(work))

    async def drained(self) -> None:
        """Wait until nothing is under way: for a shutdown, and for tests."""
        while self._work:
            await asyncio.wait(self._work)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        """A failure that nobody waits for any more is still seen."""
        self._work.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, GatekeeperError):
            logger.error("work owned by the gate failed", exc_info=error)

    def check(self) -> None:
        """Raise if the gate is not open.

        Raises:
            NoGateError, ShuttingDownError.
        """
        if self._closed:
            raise ShuttingDownError()
        if not self._open:
            raise NoGateError(
                "The gate is not open. Pass lifespan=gate.lifespan to the app, or use "
                "'async with gate:'."
            )


async def _for_ever(run: Callable[[], Awaitable[None]], name: str) -> None:
    while True:
        try:
            await run()
        except Exception:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # what failed took the stop's place
                logger.exception("%s failed while it was stopped", name)
                return
            logger.exception("%s failed; it is started again", name)
        await asyncio.sleep(RESTART_SECONDS)


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
