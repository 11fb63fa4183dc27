"""Floors only rise, end in time, and are bounded, except under a read in flight."""

from gatekeeper.cache._floors import NO_FLOOR, Floors
from gatekeeper.testing.conformance.cache import ManualTime


def make(time: ManualTime, capacity: int = 10) -> Floors:
    return Floors(capacity=capacity, life_seconds=60, monotonic=time.monotonic)


def test_a_floor_rises_and_never_falls(time: ManualTime) -> None:
    floors = make(time)
    assert floors.of("org") == NO_FLOOR
    floors.raise_to("org", 5)
    floors.raise_to("org", 3)
    assert floors.of("org") == 5
    floors.raise_to("org", 6)
    assert floors.of("org") == 6
    floors.raise_to("other", NO_FLOOR)
    assert len(floors) == 1


def test_a_floor_ends_and_may_then_be_lower(time: ManualTime) -> None:
    """So a database that was restored from a backup is cached again."""
    floors = make(time)
    floors.raise_to("org", 5)
    time.advance(59.9)
    floors.raise_to("org", 5)
    assert floors.of("org") == 5
    time.advance(0.1)
    assert floors.of("org") == NO_FLOOR
    floors.raise_to("org", 9)
    time.advance(60)
    floors.raise_to("org", 2)
    assert floors.of("org") == 2


def test_the_oldest_floors_make_room(time: ManualTime) -> None:
    floors = make(time, capacity=2)
    for version, customer in enumerate("abac"):
        floors.raise_to(customer, version)
    assert len(floors) == 2
    assert [floors.of(customer) for customer in "abc"] == [2, NO_FLOOR, 3]


def test_a_pinned_floor_outlives_its_time_and_its_place(time: ManualTime) -> None:
    floors = make(time, capacity=1)
    with floors.pinned("org"):
        floors.raise_to("org", 5)
        floors.raise_to("other", 1)
        assert floors.of("org") == 5
        floors.raise_to("org", 6)
        time.advance(60)
        assert floors.of("org") == 6
        floors.raise_to("org", 4)
        assert floors.of("org") == 6
    assert floors.of("org") == 4
