"""Reports: what was used, and the history, in pages that neither lose nor repeat a row."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gatekeeper.errors import InvalidInputError
from gatekeeper.services.audit import EntryPage, UsagePage, UsageReports, UsageRow
from gatekeeper.services.audit.cursors import MAX_CURSOR_CHARS, digest_of, read_cursor, write_cursor
from gatekeeper.storage.port import Store, Transaction
from tests.audit.accounts import DAY, HOUR, NOW, grant, use

pytestmark = pytest.mark.anyio

MIDNIGHT = NOW.replace(hour=0)
SINCE, UNTIL = NOW - DAY, NOW + 30 * DAY


@pytest.fixture
def reports(store: Store) -> UsageReports:
    return UsageReports(store)


def three_days(tx: Transaction) -> None:
    grant(tx, "ada", 1_000, "g")
    grant(tx, "ada", 1_000, "e", unit="exports")
    for day in range(3):
        at = NOW + day * DAY
        use(tx, "ada", f"{day}-1", 1 + day, at=at, feature="chat", actor="ann", scope="team/ann")
        use(tx, "ada", f"{day}-2", 10, at=at + HOUR, feature="image", actor="bob", scope="team")
        use(tx, "ada", f"{day}-3", 5, at=at + HOUR, unit="exports")
    grant(tx, "bob", 100, "b")
    use(tx, "bob", "b-1", 50, feature="chat")


async def test_use_by_day_comes_with_totals(store: Store, reports: UsageReports) -> None:
    await store.write(three_days)
    page = await reports.usage("ada", since=SINCE, until=NOW + DAY)
    assert page == UsagePage(
        (
            UsageRow(MIDNIGHT, "credits", 1, 1, feature="chat"),
            UsageRow(MIDNIGHT, "credits", 10, 1, feature="image"),
            UsageRow(MIDNIGHT, "exports", 5, 1),
        ),
        {"credits": 11, "exports": 5},
        None,
    )


async def test_use_by_hour_and_actor(store: Store, reports: UsageReports) -> None:
    await store.write(three_days)
    page = await reports.usage(
        "ada", since=SINCE, until=NOW + DAY, by="hour", per="actor", unit="credits"
    )
    assert page.rows == (
        UsageRow(NOW, "credits", 1, 1, actor="ann"),
        UsageRow(NOW + HOUR, "credits", 10, 1, actor="bob"),
    )
    page = await reports.usage(
        "ada", since=SINCE, until=NOW + DAY, per="scope", scope="team", feature="chat", actor="ann"
    )
    assert page.rows == (UsageRow(MIDNIGHT, "credits", 1, 1, scope="team/ann"),)


async def test_the_whole_account_is_no_scope(store: Store, reports: UsageReports) -> None:
    await store.write(three_days)
    whole = await reports.usage("ada", since=SINCE, until=UNTIL, scope="")
    assert whole.totals == {"credits": 36, "exports": 15}


async def test_times_may_be_of_any_zone(store: Store, reports: UsageReports) -> None:
    await store.write(three_days)
    there = timezone(timedelta(hours=9))
    page = await reports.usage(
        "ada", since=SINCE.astimezone(there), until=(NOW + DAY).astimezone(there)
    )
    assert page == await reports.usage("ada", since=SINCE, until=NOW + DAY)
    assert page.rows[0].start.tzinfo is UTC


@pytest.mark.parametrize("limit", [1, 2, 4, 9, 100])
async def test_pages_of_use_are_the_whole(store: Store, reports: UsageReports, limit: int) -> None:
    await store.write(three_days)
    whole = await reports.usage("ada", since=SINCE, until=UNTIL)
    rows: list[UsageRow] = []
    cursor: str | None = None
    while True:
        page = await reports.usage("ada", since=SINCE, until=UNTIL, cursor=cursor, limit=limit)
        assert len(page.rows) <= limit
        assert page.totals == whole.totals
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.rows) == limit
    assert tuple(rows) == whole.rows
    assert len(rows) == 9


async def test_use_that_comes_meanwhile_moves_no_page(store: Store, reports: UsageReports) -> None:
    await store.write(three_days)
    first = await reports.usage("ada", since=SINCE, until=UNTIL, limit=4)
    await store.write(lambda tx: use(tx, "ada", "late", 1, at=NOW + 3 * DAY, feature="chat"))
    rest = await reports.usage("ada", since=SINCE, until=UNTIL, cursor=first.next_cursor)
    whole = await reports.usage("ada", since=SINCE, until=UNTIL)
    assert first.rows + rest.rows == whole.rows


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": NOW.replace(tzinfo=None)},
        {"until": NOW.replace(tzinfo=None)},
        {"until": SINCE},
        {"by": "week"},
        {"per": "hold"},
        {"limit": 0},
        {"limit": 501},
        {"limit": True},
        {"limit": "9"},
        {"customer": ""},
        {"feature": "a\x00"},
        {"actor": "x" * 513},
        {"cursor": "oops"},
        {"cursor": ""},
        {"cursor": "é"},
        {"cursor": "e30"},
        {"cursor": "A" * (MAX_CURSOR_CHARS + 1)},
    ],
)
async def test_what_cannot_be_asked_is_refused(
    reports: UsageReports, wrong: dict[str, object]
) -> None:
    asked: dict[str, object] = {"customer": "ada", "since": SINCE, "until": UNTIL, **wrong}
    with pytest.raises(InvalidInputError):
        await reports.usage(**asked)  # type: ignore[arg-type]  # that is what is shown


async def test_a_cursor_is_good_for_its_own_query_alone(
    store: Store, reports: UsageReports
) -> None:
    await store.write(three_days)
    cursor = (await reports.usage("ada", since=SINCE, until=UNTIL, limit=1)).next_cursor
    history = (await reports.entries("ada", limit=1)).next_cursor
    with pytest.raises(InvalidInputError, match="another query"):
        await reports.usage("bob", since=SINCE, until=UNTIL, cursor=cursor)
    with pytest.raises(InvalidInputError, match="another query"):
        await reports.entries("ada", cursor=history, newest_first=False)
    with pytest.raises(InvalidInputError):
        await reports.entries("ada", cursor=cursor)
    with pytest.raises(InvalidInputError):
        await reports.usage("ada", since=SINCE, until=UNTIL, cursor=history)


def test_a_cursor_of_a_place_that_cannot_be_is_refused() -> None:
    digest = digest_of("x")
    assert read_cursor(write_cursor(digest, [1]), digest, list[int]) == [1]
    for place in ("x", {"a": 1}, None):
        with pytest.raises(InvalidInputError, match="no cursor"):
            read_cursor(write_cursor(digest, place), digest, list[int])


# -- history --------------------------------------------------------------------------------------


async def history(
    reports: UsageReports, *, limit: int = 100, newest_first: bool = True, unit: str | None = None
) -> list[tuple[datetime, str, int]]:
    """All pages."""
    found: list[tuple[datetime, str, int]] = []
    cursor: str | None = None
    while True:
        page: EntryPage = await reports.entries(
            "ada", limit=limit, newest_first=newest_first, unit=unit, cursor=cursor
        )
        found += [(entry.at, entry.unit, entry.sequence) for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            return found
        assert len(page.entries) == limit


async def test_history_is_merged_from_all_accounts(store: Store, reports: UsageReports) -> None:
    await store.write(three_days)
    newest = await history(reports)
    assert newest == sorted(newest, reverse=True)
    assert {unit for _, unit, _ in newest} == {"credits", "exports"}
    assert await history(reports, newest_first=False) == sorted(newest)
    assert len(newest) == len(set(newest)) == 20


@pytest.mark.parametrize("limit", [1, 3, 19, 20, 21])
async def test_pages_of_history_are_the_whole(
    store: Store, reports: UsageReports, limit: int
) -> None:
    await store.write(three_days)
    for newest_first in (True, False):
        whole = await history(reports, newest_first=newest_first)
        assert await history(reports, limit=limit, newest_first=newest_first) == whole
        of_unit = [entry for entry in whole if entry[1] == "exports"]
        found = await history(reports, limit=limit, newest_first=newest_first, unit="exports")
        assert found == of_unit


async def test_history_of_somebody_unknown_is_empty(reports: UsageReports) -> None:
    assert await reports.entries("ada") == EntryPage((), None)
    assert await reports.entries("ada", unit="credits") == EntryPage((), None)


async def test_entries_that_come_meanwhile_are_on_no_later_page_of_the_newest(
    store: Store, reports: UsageReports
) -> None:
    await store.write(three_days)
    before = await history(reports)
    first = await reports.entries("ada", limit=5)

    def more(tx: Transaction) -> None:
        use(tx, "ada", "new-1", 1, at=NOW + 5 * DAY)
        use(tx, "ada", "new-2", 1, at=NOW + 5 * DAY, unit="exports")
        grant(tx, "ada", 5, "s", unit="seats")

    await store.write(more)
    rest = await reports.entries("ada", cursor=first.next_cursor)
    seen = [(e.at, e.unit, e.sequence) for e in (*first.entries, *rest.entries)]
    assert seen == before


async def test_entries_that_come_meanwhile_are_on_the_last_page_of_the_oldest(
    store: Store, reports: UsageReports
) -> None:
    await store.write(three_days)
    first = await reports.entries("ada", limit=5, newest_first=False)
    await store.write(lambda tx: use(tx, "ada", "new-1", 1, at=NOW + 5 * DAY, unit="exports"))
    rest = await reports.entries("ada", cursor=first.next_cursor, newest_first=False)
    seen = [(e.at, e.unit, e.sequence) for e in (*first.entries, *rest.entries)]
    assert seen == await history(reports, newest_first=False)


async def test_a_unit_that_had_nothing_at_first_stays_out_of_the_newest(
    store: Store, reports: UsageReports
) -> None:
    """Its account was there, and empty."""
    await store.write(three_days)
    await store.write(lambda tx: tx.ledger.lock([("ada", "seats")], wait=True))
    first = await reports.entries("ada", limit=5)
    await store.write(lambda tx: grant(tx, "ada", 5, "s", unit="seats"))
    rest = await reports.entries("ada", cursor=first.next_cursor)
    assert all(entry.unit != "seats" for entry in (*first.entries, *rest.entries))
