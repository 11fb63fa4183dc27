"""The operator's view of the inbox: selections, bulk actions in portions, and pruning."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

import pytest
from msgspec.structs import replace

from gatekeeper.storage.desk import EventSelection, Place
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import ErrorKind, EventStatus, InboxEvent
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND

_EVENTS: Final = (
    samples.event(
        "evt_1",
        "in_1",
        age=5,
        type="invoice.paid",
        status=EventStatus.DEAD,
        attempts=25,
        last_error="ValueError: 100 % of_it",
        error_kind=ErrorKind.TRANSIENT,
    ),
    samples.event(
        "evt_2",
        "in_2",
        age=4,
        type="invoice.created",
        status=EventStatus.DEAD,
        attempts=1,
        last_error="PermanentError: nobody's",
        error_kind=ErrorKind.PERMANENT,
    ),
    samples.event(
        "evt_3",
        "in_1",
        age=3,
        type="invoiceitem.created",
        last_error="DependencyMissingError: no ORDER yet",
        error_kind=ErrorKind.DEPENDENCY,
    ),
    samples.event("evt_4", "ch_1", age=2, type="charge.succeeded", status=EventStatus.DONE),
    samples.event("evt_5", "ch_2", age=2, type="charge.succeeded", status=EventStatus.DISCARDED),
)

_SELECTIONS: Final = [
    (EventSelection(), "12345"),
    (EventSelection(status=EventStatus.DEAD), "12"),
    (EventSelection(type="invoice.*"), "12"),
    (EventSelection(type="invoice.paid"), "1"),
    (EventSelection(type="invoice"), ""),
    (EventSelection(type="charge.*", status=EventStatus.DONE), "4"),
    (EventSelection(object_id="in_1"), "13"),
    (EventSelection(since=NOW - 4 * SECOND), "2345"),
    (EventSelection(until=NOW - 4 * SECOND), "1"),
    (EventSelection(since=NOW - 4 * SECOND, until=NOW - 2 * SECOND), "23"),
    (EventSelection(error="Error: "), "123"),
    (EventSelection(error="error: "), ""),  # case matters
    (EventSelection(error="%"), "1"),  # no sign means anything but itself
    (EventSelection(error="f_i"), "1"),
    (EventSelection(error="y's"), "2"),
    (EventSelection(kind=ErrorKind.DEPENDENCY), "3"),
    (EventSelection(kind=ErrorKind.PERMANENT, type="invoice.*", error="nobody"), "2"),
]


class EventDeskConformance:
    """What every store must do for its operators. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_selection_is_found_counted_and_walked_in_order(self, store: Store) -> None:
        await _insert(store, *reversed(_EVENTS))
        bare = {event.key: replace(event, payload=None) for event in _EVENTS}
        for selection, numbers in _SELECTIONS:
            expected = [bare[f"evt_{number}"] for number in numbers]
            found, count, places = await store.read(partial(_selected, selection))
            assert (list(found), count) == (expected, len(expected)), selection
            assert list(places) == [Place(event.received_at, event.key) for event in expected]
            assert [event for event in _EVENTS if selection.fits(event)] == [
                event for event in _EVENTS if event.key in {one.key for one in expected}
            ]

    async def test_a_walk_goes_on_after_a_place(self, store: Store) -> None:
        await _insert(store, *_EVENTS)
        everything = EventSelection()
        met: list[str] = []
        last: Place | None = None
        while places := await store.read(partial(_places, everything, last)):
            met += [place.key for place in places]
            last = places[-1]
        assert met == ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5"]  # the last two in one instant
        first = await store.read(lambda tx: tx.desk.find(everything, 3))
        places = await store.read(lambda tx: list(tx.desk.places(everything, 9)))
        rest = await store.read(lambda tx: tx.desk.find(everything, 9, places[2]))
        assert [one.key for one in (*first, *rest)] == [place.key for place in places]
        assert len(first) == 3

    async def test_the_kind_of_an_error_is_kept_until_the_event_is_tried_again(
        self, store: Store
    ) -> None:
        await _insert(store, samples.event())
        await store.write(
            lambda tx: tx.inbox.settle(
                "evt_1", EventStatus.DEAD, error="why", kind=ErrorKind.PERMANENT
            )
        )
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert (stored.last_error, stored.error_kind) == ("why", ErrorKind.PERMANENT)
        assert await store.write(lambda tx: tx.desk.retry(["evt_1"], NOW)) == 1
        stored = await store.read(lambda tx: tx.inbox.get("evt_1"))
        assert stored is not None
        assert (stored.last_error, stored.error_kind) == (None, None)

    async def test_only_dead_letters_are_retried_in_bulk(self, store: Store) -> None:
        await _insert(store, *_EVENTS)
        keys = ["evt_1", "evt_3", "evt_4", "evt_5", "evt_unknown"]
        assert await store.write(lambda tx: tx.desk.retry(keys, NOW + SECOND)) == 1
        assert await store.write(lambda tx: tx.desk.retry([], NOW)) == 0
        expected = replace(
            _EVENTS[0],
            status=EventStatus.PENDING,
            attempts=0,
            due_at=NOW + SECOND,
            last_error=None,
            error_kind=None,
        )
        assert await store.read(lambda tx: tx.inbox.get("evt_1")) == expected
        for untouched in _EVENTS[1:]:
            assert await store.read(partial(_get, untouched.key)) == untouched
        claimed = await store.write(lambda tx: tx.inbox.claim(NOW + SECOND, NOW + HOUR, 10))
        assert [event.key for event in claimed] == ["evt_1", "evt_3"]

    async def test_what_is_being_worked_on_is_not_discarded(self, store: Store) -> None:
        about = [
            samples.event("evt_held", "sub_1", age=3),
            samples.event("evt_dead", "sub_1", age=2, status=EventStatus.DEAD, last_error="why"),
        ]
        await _insert(store, *about)
        assert len(await store.write(lambda tx: tx.inbox.claim(NOW, NOW + HOUR, 10))) == 1
        await _insert(store, samples.event("evt_waits", "sub_1", age=1))
        keys = ["evt_held", "evt_dead", "evt_waits"]
        assert await store.write(lambda tx: tx.desk.discard(keys, NOW + SECOND)) == 2
        assert await store.write(lambda tx: tx.desk.discard([], NOW)) == 0
        dead = replace(about[1], status=EventStatus.DISCARDED)
        assert await store.read(lambda tx: tx.inbox.get("evt_dead")) == dead  # with its error
        later = NOW + HOUR  # the lease is over: whoever had it is gone
        assert await store.write(lambda tx: tx.desk.discard(keys, later)) == 1
        assert await store.write(lambda tx: tx.inbox.claim(later, later + HOUR, 10)) in ([], ())
        counts = await store.read(lambda tx: tx.inbox.counts())
        assert {status: n for status, n in counts.items() if n} == {EventStatus.DISCARDED: 3}

    async def test_completions_are_told_with_their_times(self, store: Store) -> None:
        await _insert(store, samples.event(), samples.event("evt_2"))
        for name, at in (("second", NOW + SECOND), ("first", NOW), ("also first", NOW)):
            await store.write(partial(_complete, "evt_1", name=name, at=at))
        found = await store.read(lambda tx: tx.desk.completions("evt_1"))
        expected = {"also first": NOW, "first": NOW, "second": NOW + SECOND}
        assert list(found.items()) == list(expected.items())
        assert await store.read(lambda tx: tx.desk.completions("evt_2")) == {}

    async def test_what_is_over_is_pruned_in_portions_and_the_rest_stays(
        self, store: Store
    ) -> None:
        over = [
            samples.event("evt_done", age=9, status=EventStatus.DONE),
            samples.event("evt_done_too", age=8, status=EventStatus.DONE),
            samples.event("evt_ignored", age=7, status=EventStatus.IGNORED),
            samples.event("evt_discarded", age=6, status=EventStatus.DISCARDED),
        ]
        kept = [
            samples.event("evt_dead", age=99, status=EventStatus.DEAD),
            samples.event("evt_waits", age=99),
            samples.event("evt_young", age=4, status=EventStatus.DONE),
        ]
        await _insert(store, *over, *kept)
        for event in (*over, *kept):
            await store.write(partial(_complete, event.key, name="grant"))
        before = NOW - 5 * SECOND
        pruned = [await store.write(lambda tx: tx.desk.prune(before, 3)) for _ in range(3)]
        assert pruned == [3, 1, 0]
        for event in over:
            assert await store.read(partial(_get, event.key)) is None
            assert await store.read(partial(_completions, event.key)) == {}
        for event in kept:
            assert await store.read(partial(_get, event.key)) == event
            assert await store.read(partial(_completions, event.key)) == {"grant": NOW}

    async def test_the_tickets_of_an_object_outlive_its_events(self, store: Store) -> None:
        old = samples.event(age=9, status=EventStatus.DONE)
        await _insert(store, old)
        tickets = [
            await store.write(lambda tx: tx.inbox.take_ticket(old.object_key)) for _ in range(2)
        ]
        used = partial(_use_ticket, old.object_key, tickets[1], terminal=True)
        assert await store.write(used)
        assert await store.write(lambda tx: tx.desk.prune(NOW, 10)) == 1
        late = partial(_use_ticket, old.object_key, tickets[0], terminal=True)
        assert not await store.write(late)
        ticket = await store.write(lambda tx: tx.inbox.take_ticket(old.object_key))
        assert not await store.write(
            partial(_use_ticket, old.object_key, ticket, terminal=False)
        )  # its end was seen

    async def test_an_event_about_nothing_leaves_nothing_and_can_come_again(
        self, store: Store
    ) -> None:
        nothing = samples.event(
            "evt_1", age=9, status=EventStatus.DONE, object_type=None, object_id=None
        )
        await _insert(store, nothing)
        assert await store.write(lambda tx: tx.desk.prune(NOW, 10)) == 1
        again = replace(nothing, status=EventStatus.PENDING)
        await _insert(store, again)
        claimed = await store.write(lambda tx: tx.inbox.claim(NOW, NOW + DAY, 10))
        assert [event.key for event in claimed] == ["evt_1"]

    async def test_a_thin_event_takes_the_completions_of_a_twin_that_never_came_along(
        self, store: Store
    ) -> None:
        thin = samples.event("evt_thin", age=9, status=EventStatus.DONE, twin="evt_snapshot")
        other = samples.event("evt_thin_2", age=8, status=EventStatus.DONE, twin="evt_snapshot_2")
        here = samples.event("evt_snapshot_2", age=1, status=EventStatus.DONE)
        await _insert(store, thin, other, here)
        for key in ("evt_thin", "evt_snapshot", "evt_thin_2", "evt_snapshot_2"):
            await store.write(partial(_complete, key, name="thank_you"))
        assert await store.write(lambda tx: tx.desk.prune(NOW - 5 * SECOND, 10)) == 2
        for key in ("evt_thin", "evt_snapshot", "evt_thin_2"):
            assert await store.read(partial(_completions, key)) == {}
        assert await store.read(partial(_completions, "evt_snapshot_2")) == {"thank_you": NOW}
        assert await store.write(lambda tx: tx.desk.prune(NOW, 10)) == 1
        assert await store.read(partial(_completions, "evt_snapshot_2")) == {}


async def _insert(store: Store, *events: InboxEvent) -> None:
    assert all(await store.write(lambda tx: tx.inbox.insert_many(events)))


def _selected(
    selection: EventSelection, tx: Transaction
) -> tuple[Sequence[InboxEvent], int, Sequence[Place]]:
    desk = tx.desk
    return desk.find(selection, 10), desk.count(selection), desk.places(selection, 10)


def _complete(key: str, tx: Transaction, *, name: str, at: datetime = NOW) -> bool:
    return tx.inbox.complete(key, name, at)


def _get(key: str, tx: Transaction) -> InboxEvent | None:
    return tx.inbox.get(key)


def _completions(key: str, tx: Transaction) -> dict[str, object]:
    return dict(tx.desk.completions(key))


def _places(selection: EventSelection, last: Place | None, tx: Transaction) -> list[Place]:
    return list(tx.desk.places(selection, 2, last))


def _use_ticket(object_key: str, ticket: int, tx: Transaction, *, terminal: bool) -> bool:
    return tx.inbox.use_ticket(object_key, ticket, terminal=terminal)
