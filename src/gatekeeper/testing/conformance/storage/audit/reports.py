"""Reports of use, and the newest entries."""

from collections.abc import Sequence
from datetime import datetime

import pytest
from msgspec.structs import replace

from gatekeeper.storage.audit import UsageQuery, Used
from gatekeeper.storage.port import Store
from gatekeeper.testing.conformance.storage.audit.history import (
    CREDITS,
    MIDNIGHT,
    NOON,
    a_little_of_everything,
    some_use,
)
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, SECOND


class ReportConformance:
    """What every store must report. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_use_is_put_together_by_hour_and_day(self, store: Store) -> None:
        await store.write(some_use)
        assert await _used(store, by="hour") == [
            Used(NOON, "credits", "", 1, 1),
            Used(NOON, "credits", "chat", 5, 2),
            Used(NOON, "credits", "image", 4, 1),
            Used(NOON, "exports", "chat", 10, 1),
            Used(NOON + HOUR, "credits", "chat", 6, 1),
            Used(NOON + 12 * HOUR, "credits", "chat", 7, 1),
        ]
        assert await _used(store) == [
            Used(MIDNIGHT, "credits", "", 1, 1),
            Used(MIDNIGHT, "credits", "chat", 11, 3),
            Used(MIDNIGHT, "credits", "image", 4, 1),
            Used(MIDNIGHT, "exports", "chat", 10, 1),
            Used(MIDNIGHT + DAY, "credits", "chat", 7, 1),
        ]

    async def test_use_can_be_narrowed_and_told_apart(self, store: Store) -> None:
        await store.write(some_use)
        assert _amounts(await _used(store, unit="exports")) == [10]
        assert _amounts(await _used(store, feature="image")) == [4]
        assert _amounts(await _used(store, actor="ann")) == [5, 4]
        assert _amounts(await _used(store, scope="design")) == [5, 4]
        assert _amounts(await _used(store, scope="design/ann")) == [4]
        assert _amounts(await _used(store, scope="desi")) == []
        assert _amounts(await _used(store, scope="%")) == []
        by_actor = await _used(store, per="actor", unit="credits")
        assert [(one.name, one.amount) for one in by_actor] == [("", 7), ("ann", 9), ("", 7)]
        by_scope = await _used(store, per="scope", unit="credits")
        assert [(one.name, one.amount) for one in by_scope] == [
            ("", 6),
            ("design", 5),
            ("design/ann", 4),
            ("designer", 1),
            ("", 7),
        ]

    async def test_use_counts_from_since_and_before_until(self, store: Store) -> None:
        await store.write(some_use)
        late = NOON + 12 * HOUR
        assert _amounts(await _used(store, since=late)) == [7]
        assert _amounts(await _used(store, since=late + SECOND / 1_000_000)) == []
        assert 7 not in _amounts(await _used(store, until=late))
        assert 7 in _amounts(await _used(store, until=late + SECOND / 1_000_000))

    async def test_pages_of_use_go_on_behind_a_place(self, store: Store) -> None:
        await store.write(some_use)
        whole = await _used(store, by="hour")
        for size in (1, 2, 3):
            seen: list[Used] = []
            while page := await _used(
                store, by="hour", limit=size, after=seen[-1].place if seen else None
            ):
                seen += page
            assert seen == whole

    async def test_totals_are_of_all_pages_by_unit(self, store: Store) -> None:
        await store.write(some_use)
        assert await store.read(lambda tx: tx.audit.totals(_query())) == {
            "credits": 23,
            "exports": 10,
        }
        nobody = _query(customer="bob")
        assert await store.read(lambda tx: tx.audit.totals(nobody)) == {}

    async def test_the_newest_entries_come_first(self, store: Store) -> None:
        await store.write(a_little_of_everything)
        last = (await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False))).version
        newest = await store.read(lambda tx: tx.audit.newest(*CREDITS, None, 3))
        assert [entry.sequence for entry in newest] == [last, last - 1, last - 2]
        oldest = await store.read(lambda tx: tx.audit.newest(*CREDITS, 3, 10))
        stored = await store.read(lambda tx: tx.ledger.entries(*CREDITS, 0, 2))
        assert list(oldest) == list(reversed(stored))
        assert await _no_entries(store, ("ada", "exports"))


def _query(**fields: object) -> UsageQuery:
    return replace(UsageQuery(customer="ada", since=NOON - DAY, until=NOON + 9 * DAY), **fields)


def _amounts(found: Sequence[Used]) -> list[int]:
    return [used.amount for used in found]


async def _used(
    store: Store,
    *,
    after: tuple[datetime, str, str] | None = None,
    limit: int = 100,
    **fields: object,
) -> list[Used]:
    return list(await store.read(lambda tx: list(tx.audit.used(_query(**fields), after, limit))))


async def _no_entries(store: Store, key: tuple[str, str]) -> bool:
    return not await store.read(lambda tx: list(tx.audit.newest(*key, None, 3)))
