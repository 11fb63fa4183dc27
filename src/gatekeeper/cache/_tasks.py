"""Ending tasks for certain."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

CANCEL_AGAIN_SECONDS: Final = 0.5
"""Long enough for a task's own clean-up, short enough for a shutdown."""


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and return when all of them have ended.

    One request may not be enough: until Python 3.12 `asyncio.wait_for`, through which the Redis
    client writes, loses a cancellation that arrives in the moment in which it succeeds
    (https://github.com/python/cpython/issues/86296).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
