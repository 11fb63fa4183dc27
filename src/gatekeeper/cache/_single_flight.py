"""Single flight: callers that want the same thing at the same moment share one piece of work."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from gatekeeper.cache._tasks import cancel_and_wait
from gatekeeper.errors import UnavailableError

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs at most one piece of work for each key.

    The work has a task of its own, so a caller's cancellation stays the caller's. When all callers
    are gone it runs to its end: its result is still worth keeping, and a query that is cancelled
    costs a database connection.
    """

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Join the work that is under way for `key`, or begin it.

        Raises:
            UnavailableError: the work was cancelled, by `aclose` or from inside.
            Exception: what the work raised, the same for every caller.
        """
        task = self._flights.get(key)
        if task is None:
            task = asyncio.create_task(self._fly(key, work), name="gatekeeper-cache-load")
            self._flights[key] = task
            task.add_done_callback(partial(self._landed, key))
        # Not `await task`, nor a shield: `wait` leaves the task alone when its caller is cancelled,
        # and needs no second future that could report an error which nobody waits for.
        await asyncio.wait((task,))
        if task.cancelled():
            raise UnavailableError("The load was cancelled before it ended.")
        return task.result()

    async def aclose(self) -> None:
        """Cancel all work that is under way and wait for its end."""
        await cancel_and_wait(self._flights.values())

    async def _fly(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await work()
        finally:
            # Here and not in the done callback, which runs later: nobody may join work that has
            # ended, for an invalidation may have come since.
            del self._flights[key]

    def _landed(self, key: str, task: asyncio.Task[T]) -> None:
        if self._flights.get(key) is task:  # it was cancelled before its first step
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # retrieved: an error that nobody waited for is no warning at exit
