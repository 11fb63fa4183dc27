"""Reports for analytics and for history pages, a page at a time."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Final, TypedDict, Unpack, get_args

import msgspec
from msgspec.structs import replace

from gatekeeper.errors import InvalidInputError
from gatekeeper.ledger import Entry
from gatekeeper.services.audit.cursors import digest_of, read_cursor, write_cursor
from gatekeeper.services.customers import check_text
from gatekeeper.storage.audit import By, Per, UsagePlace, UsageQuery, Used
from gatekeeper.storage.metering import MeterDay
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import MAX_AMOUNT, check_id, check_limit

MAX_LIMIT: Final = 500
"""How many rows or entries a page has at most."""


_A_DAY: Final = timedelta(days=1)
"""The longest period: the one that `since` lies in may begin so much earlier."""

AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
Sequenced = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]


class UsageOptions(TypedDict, total=False):
    """What may be said of the use that is meant.

    Attributes:
        by: put together by the hour, or (as by default) by the day of UTC.
        per: what use is told apart by, beside its time and unit; by default its feature.
        unit, feature, actor: only what was used of it, for it, by them.
        scope: only this part of the account and what is below it.
    """

    by: By
    per: Per
    unit: str | None
    feature: str | None
    scope: str | None
    actor: str | None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was captured of a unit in one hour or day of UTC, in the unit's steps.

    Of `feature`, `scope` and `actor`, the one is filled that was asked for; None is use that has
    none.
    """

    start: datetime
    unit: str
    amount: int
    captures: int
    feature: str | None = None
    scope: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class UsagePage:
    """A page of usage. `totals` are those of the whole query, by unit; `next_cursor` leads to the
    next page, and is None on the last one."""

    rows: tuple[UsageRow, ...]
    totals: dict[str, int]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of entries; `next_cursor` is None on the last one."""

    entries: tuple[Entry, ...]
    next_cursor: str | None


class UsageReports:
    """Reports on the customers of one database, read on a snapshot."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def end_of_day(self) -> datetime:
        """The end of this day of UTC: until then a report that is asked for today may go."""
        now = await self._store.read(lambda tx: tx.now())
        return now.replace(hour=0, minute=0, second=0, microsecond=0) + _A_DAY

    async def usage(
        self,
        customer: str,
        *,
        since: datetime,
        until: datetime,
        cursor: str | None = None,
        limit: int = 100,
        **options: Unpack[UsageOptions],
    ) -> UsagePage:
        """What was captured from `since` on and before `until`, put together by period and unit.

        Rows come in the order of their start, unit, and feature (or what `per` tells them apart
        by). Use counts when it is captured: what is held does not, nor what went beyond a hold and
        became debt.

        Args:
            cursor: `next_cursor` of the page before, of the same query.
            limit: from 1 to 500 rows.

        Raises:
            InvalidInputError: one of these can't be.
        """
        query = _checked(UsageQuery(customer=customer, since=since, until=until, **options))
        check_limit(limit, MAX_LIMIT)
        digest = digest_of("usage", query=query)
        place: UsagePlace | None = None
        if cursor is not None:
            place = _checked_place(
                read_cursor(cursor, digest, tuple[AwareDatetime, str, str]), query
            )

        def work(tx: Transaction) -> tuple[Sequence[Used], dict[str, int]]:
            return tx.audit.used(query, place, limit + 1), tx.audit.totals(query)

        found, totals = await self._store.read(work)
        page = found[:limit]
        more = write_cursor(digest, page[-1].place) if len(found) > limit else None
        return UsagePage(tuple(_row(used, query.per) for used in page), totals, more)

    async def meters(
        self,
        customer: str,
        *,
        since: datetime,
        until: datetime,
        limit: int = 100,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[MeterDay]:
        """What was recorded of the catalogue's meters, by day of UTC and meter: what is, or will
        be, billed in arrears. `after` is the `place` of the last row of the page before.

        Raises:
            InvalidInputError: one of these can't be.
        """
        query = _checked(UsageQuery(customer=customer, since=since, until=until))
        check_limit(limit, MAX_LIMIT + 1)
        return await self._store.read(
            lambda tx: tx.metering.days(query.customer, query.since, query.until, limit, after)
        )

    async def entries(
        self,
        customer: str,
        *,
        unit: str | None = None,
        newest_first: bool = True,
        cursor: str | None = None,
        limit: int = 100,
    ) -> EntryPage:
        """The history of a customer's accounts, or of one of them.

        Newest first, entries that are written meanwhile are on no later page; oldest first, they
        are on the last.

        Raises:
            InvalidInputError: one of these can't be.
        """
        check_id(customer, "customer")
        check_text(unit, "unit")
        check_limit(limit, MAX_LIMIT)
        digest = digest_of("entries", customer=customer, unit=unit, newest_first=newest_first)
        places: dict[str, int] | None = None
        if cursor is not None:
            places = read_cursor(cursor, digest, dict[str, Sequenced])
        return await self._store.read(
            lambda tx: _entry_page(tx, customer, unit, newest_first, places, limit, digest)
        )


def _entry_page(
    tx: Transaction,
    customer: str,
    unit: str | None,
    newest_first: bool,
    places: dict[str, int] | None,
    limit: int,
    digest: str,
) -> EntryPage:
    """Merge a customer's accounts. Of each the number of its last entry is remembered, and not an
    instant: the primary key leads straight to what follows."""
    units = [unit] if unit is not None else [one.unit for one in tx.ledger.accounts(customer)]
    begins: dict[str, int] = {}
    found: dict[str, Sequence[Entry]] = {}
    for one in units:
        place = None if places is None else places.get(one, 0)
        if newest_first:
            entries = tx.audit.newest(customer, one, place, limit + 1)
            begins[one] = entries[0].sequence + 1 if entries else 0
        else:
            entries = tx.ledger.entries(customer, one, place or 0, limit + 1)
            begins[one] = place or 0
        found[one] = entries
    merged = heapq.merge(*found.values(), key=_when, reverse=newest_first)
    page = tuple(islice(merged, limit))
    if sum(map(len, found.values())) <= limit:
        return EntryPage(page, None)
    ends = begins | {entry.unit: entry.sequence for entry in page}
    return EntryPage(page, write_cursor(digest, ends))


def _when(entry: Entry) -> tuple[datetime, str, int]:
    return entry.at, entry.unit, entry.sequence


def _row(used: Used, per: Per) -> UsageRow:
    name = {per: used.name or None}
    return UsageRow(used.start, used.unit, used.amount, used.captures, **name)


def _checked_place(place: UsagePlace, query: UsageQuery) -> UsagePlace:
    """A place inside the range of the query, by names that a database can compare: a cursor comes
    from outside, whoever wrote it.

    Raises:
        InvalidInputError: it is none.
    """
    start, unit, name = place
    if not query.since - _A_DAY <= start <= query.until:
        raise InvalidInputError("This is no cursor: pass one on as it was given.")
    check_text(unit, "unit")
    check_text(name, "name")
    return place


def _checked(query: UsageQuery) -> UsageQuery:
    check_id(query.customer, "customer")
    for name in ("unit", "feature", "scope", "actor"):
        check_text(getattr(query, name), name)
    for name, known in (("by", get_args(By)), ("per", get_args(Per))):
        if getattr(query, name) not in known:
            raise InvalidInputError(f"{name} must be one of: {', '.join(known)}.")
    if query.since.tzinfo is None or query.until.tzinfo is None:
        raise InvalidInputError("since and until must be aware datetimes.")
    if query.since >= query.until:
        raise InvalidInputError("since must be before until.")
    return query if query.scope else replace(query, scope=None)
