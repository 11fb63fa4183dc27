"""The map of the process: what eviction spares, and how much it does at once."""

import pytest

from gatekeeper.cache._local import MAX_SECOND_CHANCES, LocalMap
from gatekeeper.cache.port import CachePolicy, CacheStats
from gatekeeper.testing.conformance.cache import ManualTime, Sample


def make(time: ManualTime, capacity: int) -> LocalMap[Sample]:
    return LocalMap(
        CachePolicy(max_customers=capacity),
        stats=CacheStats(),
        clock=time.clock,
        monotonic=time.monotonic,
    )


def store(local: LocalMap[Sample], customer: str, time: ManualTime, version: int = 1) -> bool:
    now = time.monotonic()
    return local.store(customer, Sample(version), now, now + 30)


@pytest.mark.parametrize("capacity", [1, MAX_SECOND_CHANCES, 3 * MAX_SECOND_CHANCES])
def test_one_eviction_is_bounded_work_even_when_everything_is_used(
    time: ManualTime, capacity: int
) -> None:
    local = make(time, capacity)
    for number in range(capacity):
        assert store(local, f"org_{number}", time)
        assert local.get(f"org_{number}") == Sample(1)
    assert store(local, "new", time)
    kept = [number for number in range(capacity) if local.last_known(f"org_{number}")]
    assert len(kept) == capacity - 1
    assert local.stats.evicted == 1
    assert local.last_known("new") == Sample(1)


def test_a_value_that_is_renewed_evicts_nobody(time: ManualTime) -> None:
    local = make(time, 2)
    for customer in ("a", "b", "a", "b"):
        assert store(local, customer, time)
    assert local.stats.evicted == 0


def test_a_database_that_went_back_is_believed_once_the_newer_value_has_expired(
    time: ManualTime,
) -> None:
    """As after a restored backup."""
    local = make(time, 2)
    assert store(local, "org", time, version=9)
    time.advance(29.9)
    assert not store(local, "org", time, version=4)
    time.advance(0.1)
    assert store(local, "org", time, version=4)
    assert local.get("org") == Sample(4)
