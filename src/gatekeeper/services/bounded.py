"""Calling what is not ours: a host's handler, for so long and no longer."""

import asyncio
from collections.abc import Awaitable

import anyio


async def bounded(work: Awaitable[None], seconds: float) -> None:
    """Await a handler for as long as it may take.

    Raises:
        TimeoutError: it took longer.
        RuntimeError: it awaited something that had been cancelled, which is its failure; that we
            are being cancelled ourselves is told apart by what was asked of our task.
    """
    with anyio.fail_after(seconds):
        try:
            await work
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise RuntimeError("it awaited something that had been cancelled") from error
