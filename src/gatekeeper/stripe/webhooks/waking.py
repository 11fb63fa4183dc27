"""Waking what dispatches elsewhere: a job engine of the host's, say."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

logger = logging.getLogger("gatekeeper.webhooks")

Wake = Callable[[], Awaitable[object]]

TIMEOUT_SECONDS: Final = 10.0


class Waking:
    """Calls the host's function soon after events were stored: never in the way of the answer, one
    call at a time, and one more for whatever came during it. It is a hint: who must not miss an
    event looks from time to time as well."""

    def __init__(self) -> None:
        self.call: Wake | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def tell(self) -> None:
        """Say that events wait; must be called on the event loop."""
        if self.call is None:
            return
        self._again = True
        loop, task = asyncio.get_running_loop(), self._task
        if task is None or task.done() or task.get_loop() is not loop:
            self._task = loop.create_task(self._run(self.call), name="gatekeeper waking")

    async def settled(self) -> None:
        """Wait for the calls that are under way or due."""
        task = self._task
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task])

    async def _run(self, call: Wake) -> None:
        while self._again:
            self._again = False
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await call()
            except Exception:
                logger.exception("what dispatches elsewhere could not be woken; the events wait")
