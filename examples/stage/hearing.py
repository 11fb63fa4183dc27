"""Hearing server-sent events, as a browser's EventSource does."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

PATIENCE_SECONDS = 20.0


class Heard:
    """The events that have come so far, each with its kind and data."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self._more = asyncio.Event()

    def add(self, kind: str, data: Any) -> None:
        """Note an event."""
        self.events.append((kind, data))
        self._more.set()

    async def until(self, kind: str) -> Any:
        """The data of the first event of a kind that was not asked for before.

        Raises:
            TimeoutError: none comes.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for place, (found, data) in enumerate(self.events):
                    if found == kind:
                        del self.events[: place + 1]
                        return data
                self._more.clear()
                await self._more.wait()


@contextlib.asynccontextmanager
async def hearing(client: httpx.AsyncClient) -> AsyncIterator[Heard]:
    """Hear the events of whoever is signed in, until the block ends."""
    heard = Heard()
    task = asyncio.create_task(_hear(client, heard))
    try:
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _hear(client: httpx.AsyncClient, heard: Heard) -> None:
    kind = ""
    async with client.stream("GET", "/billing/events", timeout=None) as answer:
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                heard.add(kind, json.loads(value))
