"""The cache room: one immutable value for each customer, never more than 30 s old.

`RedisCache` lives in `gatekeeper.cache.redis`: importing the Redis client takes 0.3 s, which a
process without a Redis should not pay.
"""

from gatekeeper.cache.memory import MemoryCache
from gatekeeper.cache.port import (
    Cache,
    CachePolicy,
    CacheStats,
    Codec,
    Freshness,
    Load,
    Versioned,
)

__all__ = [
    "Cache",
    "CachePolicy",
    "CacheStats",
    "Codec",
    "Freshness",
    "Load",
    "MemoryCache",
    "Versioned",
]
