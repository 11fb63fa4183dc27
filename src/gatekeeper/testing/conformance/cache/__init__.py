"""What every cache must do, as tests to inherit.

    class TestMyCache(CacheConformance):
        @pytest.fixture
        def make_cache(self) -> CacheFactory:
            return lambda policy, time: MyCache(policy, clock=time.clock, monotonic=time.monotonic)

`SharedCacheConformance` adds what caches must do that share something outside the process. Each
cache that `make_cache` makes there stands for a process of its own.

The tests are `async` and ask for the `anyio` plugin of pytest, on asyncio. Time is moved by hand.
"""

from gatekeeper.testing.conformance.cache.life import LifeConformance
from gatekeeper.testing.conformance.cache.shared import SharingConformance
from gatekeeper.testing.conformance.cache.single_flight import SingleFlightConformance
from gatekeeper.testing.conformance.cache.tools import (
    PATIENCE_SECONDS,
    CacheFactory,
    ManualTime,
    Sample,
    SampleCodec,
    Source,
    eventually,
    loaded,
)
from gatekeeper.testing.conformance.cache.values import ODD_CUSTOMERS, ValueTimeConformance
from gatekeeper.testing.conformance.cache.versions import VersionConformance

__all__ = [
    "ODD_CUSTOMERS",
    "PATIENCE_SECONDS",
    "CacheConformance",
    "CacheFactory",
    "ManualTime",
    "Sample",
    "SampleCodec",
    "SharedCacheConformance",
    "Source",
    "eventually",
    "loaded",
]


class CacheConformance(
    ValueTimeConformance, SingleFlightConformance, VersionConformance, LifeConformance
):
    """What a cache must do for one process. Override `make_cache`, and `settle` where needed."""


class SharedCacheConformance(CacheConformance, SharingConformance):
    """What caches must do beyond that when they share something outside the process."""
