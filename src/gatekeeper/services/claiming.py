"""Claiming from a queue without losing what was claimed to a cancellation."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def or_given_back(
    claim: Coroutine[Any, Any, T], give_back: Callable[[T], Awaitable[None]], seconds: float
) -> T:
    """Await a claim. If we are stopped meanwhile, what it brings all the same is given back, for
    which there are so many seconds: a store carries out what has begun, and what nobody knows to
    have would lie there until its lease is over."""
    task = asyncio.create_task(claim)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.move_on_after(seconds, shield=True), suppress(Exception):
            await give_back(await task)
        raise
