"""`GET usage`: what was used, by day and feature."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Cursor, Limit, Page, PageQuery, paged, place_of
from gatekeeper.asgi.billing.values import Id, instant
from gatekeeper.errors import InvalidInputError
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.audit.usage import MAX_LIMIT, UsageRow
from gatekeeper.storage.metering import MeterDay

_DEFAULT_SPAN: Final = timedelta(days=30)
_LONGEST_SPAN: Final = timedelta(days=400)


class UsageRange(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which use is meant.

    Attributes:
        since: from when on; by default 30 days before `until`.
        until: before when; by default the end of this day of UTC. At most 400 days after `since`.
        by: put together by the hour or the day, of UTC.
        per: told apart by feature (a key of the cost table, as a rule), by who acted, or by scope.
        unit, feature: only of this one.
    """

    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    by: Literal["hour", "day"] = "day"
    per: Literal["feature", "actor", "scope"] = "feature"
    unit: Id | None = None
    feature: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    cursor: Cursor | None = None


class MeterRange(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which metered use is meant.

    Attributes:
        since: from when on; by default 30 days before `until`.
        until: before when; by default the end of this day of UTC. At most 400 days after `since`.
    """

    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    limit: Limit = 20
    cursor: Cursor | None = None


class MeterDayView(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded of a meter on one day of UTC, to be billed in arrears."""

    start: datetime
    meter: str
    quantity: int


class _Place(msgspec.Struct, array_like=True, frozen=True):
    start: Annotated[datetime, Meta(tz=True)]
    meter: Id


class UsedView(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in one period.

    Attributes:
        start: of the period.
        name: the feature, actor or scope; null is use without one.
        amount: in the unit's smallest steps.
        captures: in how many parts.
    """

    start: datetime
    unit: str
    name: str | None
    amount: int
    captures: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of use.

    Attributes:
        data: in the order of start, unit and name.
        totals: of the whole range, by unit.
        next_cursor: for the page after this one; null on the last.
    """

    since: datetime
    until: datetime
    data: list[UsedView]
    totals: dict[str, int]
    next_cursor: str | None


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operation."""
    reports = gate.auditor.reports

    async def usage(call: Call[None, UsageRange]) -> Usage:
        asked = call.query
        since, until = await _range(gate, asked)
        page = await reports.usage(
            call.customer,
            since=since,
            until=until,
            by=asked.by,
            per=asked.per,
            unit=asked.unit,
            feature=asked.feature,
            limit=asked.limit,
            cursor=asked.cursor,
        )
        return Usage(
            since=since,
            until=until,
            data=[_shown(row) for row in page.rows],
            totals=page.totals,
            next_cursor=page.next_cursor,
        )

    async def meters(call: Call[None, MeterRange]) -> Page[MeterDayView]:
        asked = call.query
        since, until = await _range(gate, asked)
        place = place_of(asked.cursor, _Place)
        rows = await reports.meters(
            call.customer,
            since=since,
            until=until,
            limit=asked.limit + 1,
            after=None if place is None else (instant(place.start, "cursor"), place.meter),
        )
        page = PageQuery(limit=asked.limit, cursor=asked.cursor)
        return paged(rows, page, _day, lambda row: row.place)

    return (
        Operation(
            "GET",
            "/usage/meters",
            meters,
            summary="What was recorded of metered use, by day, to be billed in arrears.",
            query=MeterRange,
            answer=Page[MeterDayView],
        ),
        Operation(
            "GET",
            "/usage",
            usage,
            summary="What was used, by day and feature.",
            query=UsageRange,
            answer=Usage,
        ),
    )


async def _range(gate: Gatekeeper, asked: UsageRange | MeterRange) -> tuple[datetime, datetime]:
    """The range that is meant: the same all day, so that the pages of one query belong together.

    Raises:
        InvalidInputError: it is none, or too long.
    """
    until = asked.until
    if until is None:
        until = await gate.auditor.reports.end_of_day()
    until = instant(until, "until")
    since = until - _DEFAULT_SPAN if asked.since is None else instant(asked.since, "since")
    if not timedelta(0) < until - since <= _LONGEST_SPAN:
        raise InvalidInputError(
            f"since must be before until, by at most {_LONGEST_SPAN.days} days."
        )
    return since, until


def _day(row: MeterDay) -> MeterDayView:
    return MeterDayView(start=row.start, meter=row.meter, quantity=row.quantity)


def _shown(row: UsageRow) -> UsedView:
    return UsedView(
        start=row.start,
        unit=row.unit,
        name=row.feature or row.actor or row.scope,
        amount=row.amount,
        captures=row.captures,
    )
