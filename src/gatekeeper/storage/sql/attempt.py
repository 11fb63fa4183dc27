"""Running a transaction to its end, whatever happens to whoever asked for it."""

import asyncio
import logging
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_logger: Final = logging.getLogger("gatekeeper.storage")


DRAIN_SECONDS: Final = 30.0
"""How long closing a store waits for transactions that are under way."""


class AbandonedError(Exception):
    """Whoever asked for this work was cancelled before it began."""


class Begun:
    """Whether work has begun, or was given up before: who says so first, on any thread, decides."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: str | None = None

    def begin(self) -> None:
        """Say that the work begins.

        Raises:
            AbandonedError: it was given up.
        """
        if not self._decide("begun"):
            raise AbandonedError

    def abandon(self) -> bool:
        """Give the work up; False if it has begun."""
        return self._decide("abandoned")

    def _decide(self, state: str) -> bool:
        with self._lock:
            if self._state is None:
                self._state = state
            return self._state == state


class Attempts:
    """Transactions that are under way, each in a task of its own.

    A caller that is cancelled must not tear its transaction in the middle: the driver would throw
    the connection away, and the outcome would be anybody's guess. Work that has not begun is given
    up; work that has goes on to its commit or rollback without the caller.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], begun: Begun) -> T:
        """Await `work`, which calls `begun.begin()` before it does anything that counts."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if begun.abandon():
                task.cancel()
            task.add_done_callback(_log_failure)
            raise

    async def drain(self) -> None:
        """Wait until everything that is under way has ended, but not for ever."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self._tasks and (left := deadline - clock()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        for task in tuple(self._tasks):
            _logger.error("A transaction did not end in %.0f s and is left.", DRAIN_SECONDS)
            task.cancel()


def _log_failure(task: asyncio.Task[Any]) -> None:
    """Nobody awaits an abandoned task: its failure is logged, or it would be lost."""
    if task.cancelled():
        return
    error = task.exception()
    if error is not None and not isinstance(error, AbandonedError):
        _logger.warning("A transaction failed after its caller was cancelled.", exc_info=error)
