"""The memory cache passes the conformance suite, and bounds age by time to live alone."""

import pytest

from gatekeeper.cache import CachePolicy, Freshness, MemoryCache
from gatekeeper.errors import SettingsError
from gatekeeper.testing.conformance.cache import (
    CacheConformance,
    CacheFactory,
    Sample,
    Source,
)

pytestmark = pytest.mark.anyio


class TestMemoryCache(CacheConformance):
    @pytest.fixture
    def make_cache(self) -> CacheFactory:
        return lambda policy, time: MemoryCache(policy, clock=time.clock, monotonic=time.monotonic)


async def test_the_time_to_live_is_its_only_bound() -> None:
    cache = MemoryCache[Sample]()
    assert cache.freshness is Freshness.BOUNDED
    assert await cache.get_or_load("org", Source(1).load) == Sample(1)
    assert cache.peek("org") == Sample(1)


@pytest.mark.parametrize("ttl_seconds", [0, -1, 30.001, float("inf"), float("nan")])
def test_a_time_to_live_beyond_the_bound_of_invariant_9_is_refused(ttl_seconds: float) -> None:
    with pytest.raises(SettingsError, match="ttl_seconds"):
        CachePolicy(ttl_seconds=ttl_seconds)


def test_every_fault_of_a_policy_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)ttl_seconds is 60.*max_customers is 0"):
        CachePolicy(ttl_seconds=60, max_customers=0)
