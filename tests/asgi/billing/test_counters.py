"""Counters of requests in this process."""

import pytest
import time_machine
from limits import parse
from limits.aio.strategies import FixedWindowRateLimiter

from gatekeeper.asgi.billing.counters import BoundedCounters

pytestmark = pytest.mark.anyio

LIMIT = parse("2/minute")


async def test_a_window_ends_and_another_begins() -> None:
    limiter = FixedWindowRateLimiter(BoundedCounters())
    with time_machine.travel(1_000, tick=False) as clock:
        assert [await limiter.hit(LIMIT, "ada") for _ in range(3)] == [True, True, False]
        assert (await limiter.get_window_stats(LIMIT, "ada")).remaining == 0
        assert await limiter.hit(LIMIT, "bob")
        clock.shift(59)
        assert not await limiter.hit(LIMIT, "ada")
        assert (await limiter.get_window_stats(LIMIT, "ada")).reset_time == 1_060
        clock.shift(1)
        assert await limiter.hit(LIMIT, "ada")
        assert (await limiter.get_window_stats(LIMIT, "ada")).remaining == 1
        assert (await limiter.get_window_stats(LIMIT, "nobody")).remaining == 2


async def test_there_are_never_more_than_so_many() -> None:
    counters = BoundedCounters(most=3)
    for number in range(1_000):
        await counters.incr(f"address-{number}", 60)
        await counters.incr("ada", 60)
    assert await counters.get("ada") == 1_000  # who asks again and again stays counted
    assert await counters.get("address-1") == 0
    assert await counters.reset() == 3
    await counters.incr("ada", 60)
    await counters.clear("ada")
    assert await counters.get("ada") == 0
    assert await counters.check()
