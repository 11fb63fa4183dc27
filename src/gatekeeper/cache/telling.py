"""What a cache tells of itself: the counts that it keeps anyway."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

from gatekeeper.cache.port import Cache, CacheStats
from gatekeeper.telemetry import Reading, metrics

_NAMES: Final = tuple(field.name for field in fields(CacheStats))


def cache_readings(cache: Cache[Any]) -> Iterable[Reading]:
    """The counts of a cache."""
    stats = cache.stats
    for name in _NAMES:
        yield Reading(metrics.CACHE_EVENTS, getattr(stats, name), {metrics.OUTCOME: name})
