"""What was used, put together in the database; and entries, the newest first.

The condition `kind = 'capture'` is written as the index on captures spells it: with a parameter in
its place, a prepared plan can't know that the index covers it.
"""

import functools
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Text,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.selectable import Select

from gatekeeper.ledger import Entry
from gatekeeper.storage.audit import By, Per, UsagePlace, UsageQuery, Used
from gatekeeper.storage.sql.aggregate import Aggregate, select_of
from gatekeeper.storage.sql.periods import MICROSECONDS, start_of
from gatekeeper.storage.sql.tables import entries
from gatekeeper.storage.sql.types import FreeText, UtcDateTime

_STARTS: Final = {
    (dialect, by): start_of(dialect, by, entries.c.at)
    for dialect in ("sqlite", "postgresql")
    for by in MICROSECONDS
}
_PLACE: Final = tuple_(
    bindparam("after_start", type_=UtcDateTime()),
    bindparam("after_unit", type_=Text()),
    bindparam("after_name", type_=FreeText()),
)
_NEWEST: Final = select_of(entries, Entry).where(
    entries.c.customer == bindparam("of_customer"), entries.c.unit == bindparam("of_unit")
)
_NEWEST_FIRST: Final = {
    True: _NEWEST.where(entries.c.sequence < bindparam("before")),
    False: _NEWEST,
}


class SqlReports(Aggregate):
    """The part of `Audit` that reports, over the table `entries`."""

    def used(self, query: UsageQuery, after: UsagePlace | None, limit: int) -> Sequence[Used]:
        which = _parameters(query)
        statement = _used(
            self._dialect.name, query.by, query.per, frozenset(which), after is not None
        )
        if after is not None:
            which |= dict(zip(("after_start", "after_unit", "after_name"), after, strict=True))
        found = self._connection.execute(statement, {**which, "at_most": limit})
        return [
            Used(start, unit, name, int(amount), captured)
            for start, unit, name, amount, captured in found
        ]

    def totals(self, query: UsageQuery) -> dict[str, int]:
        which = _parameters(query)
        rows = self._connection.execute(_totals(frozenset(which)), which)
        return {unit: int(amount) for unit, amount in rows}

    def newest(self, customer: str, unit: str, before: int | None, limit: int) -> Sequence[Entry]:
        statement = _NEWEST_FIRST[before is not None].order_by(entries.c.sequence.desc())
        which: dict[str, Any] = {"of_customer": customer, "of_unit": unit, "at_most": limit}
        if before is not None:
            which["before"] = before
        rows = self._connection.execute(statement.limit(bindparam("at_most")), which)
        return [Entry(*row) for row in rows]


@functools.cache
def _used(dialect: str, by: By, per: Per, given: frozenset[str], goes_on: bool) -> Select[Any]:
    """The statement of `used`. There are few, and building one takes longer than running it."""
    captures = _captures(
        given,
        _STARTS[dialect, by].label("start"),
        entries.c.unit,
        func.coalesce(entries.c[per], literal_column("''"), type_=FreeText()).label("name"),
        (-entries.c.posted_delta).label("amount"),
    )
    if goes_on:  # what lies in earlier periods need not be read again
        captures = captures.where(entries.c.at >= bindparam("after_start", type_=UtcDateTime()))
    rows = captures.subquery("captures").c
    place = (rows.start, rows.unit, rows.name)
    statement = (
        select(*place, func.sum(rows.amount), func.count())
        .group_by(*place)
        .order_by(*place)
        .limit(bindparam("at_most"))
    )
    return statement.where(tuple_(*place) > _PLACE) if goes_on else statement


@functools.cache
def _totals(given: frozenset[str]) -> Select[Any]:
    """The statement of `totals`."""
    captures = _captures(given, entries.c.unit, func.sum(-entries.c.posted_delta))
    return captures.group_by(entries.c.unit).order_by(entries.c.unit)


def _captures(given: Collection[str], *columns: ColumnElement[Any]) -> Select[Any]:
    """The captures that a query means, by the names of what it gives: only the conditions that it
    has are in the statement."""
    statement = select(*columns).where(
        entries.c.customer == bindparam("of_customer"),
        literal_column("kind = 'capture'"),
        entries.c.at >= bindparam("since", type_=UtcDateTime()),
        entries.c.at < bindparam("until", type_=UtcDateTime()),
    )
    for name in ("unit", "feature", "actor"):
        if f"of_{name}" in given:
            statement = statement.where(entries.c[name] == bindparam(f"of_{name}"))
    if "of_scope" in given:
        below = bindparam("below_scope", type_=FreeText())
        # Not LIKE: its wildcards may be in a scope, and SQLite's takes capitals for small letters.
        start = func.substr(entries.c.scope, 1, func.length(below), type_=FreeText())
        statement = statement.where(or_(entries.c.scope == bindparam("of_scope"), start == below))
    return statement


def _parameters(query: UsageQuery) -> dict[str, Any]:
    given = {
        "of_customer": query.customer,
        "since": query.since,
        "until": query.until,
        "of_unit": query.unit,
        "of_feature": query.feature,
        "of_actor": query.actor,
        "of_scope": query.scope,
        "below_scope": None if query.scope is None else f"{query.scope}/",
    }
    return {name: value for name, value in given.items() if value is not None}
