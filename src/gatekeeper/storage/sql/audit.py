"""The books of accounts, added up in the database."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Row,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union,
)
from sqlalchemy.sql.selectable import Select

from gatekeeper.ledger import Account, Allocation, Grant
from gatekeeper.ledger.books import Books, HoldFold, OpenHolds, Sums, named
from gatekeeper.ledger.rebuild import WINDOW_KINDS
from gatekeeper.storage.audit import Audit, Ledgered
from gatekeeper.storage.postings import AccountKey
from gatekeeper.storage.sql.aggregate import select_of
from gatekeeper.storage.sql.among import Among
from gatekeeper.storage.sql.erasure import SqlErasure
from gatekeeper.storage.sql.packing import (
    ACCOUNT_COLUMNS,
    account_columns,
    account_of,
    allocations_of,
)
from gatekeeper.storage.sql.reports import SqlReports
from gatekeeper.storage.sql.tables import accounts, entries, grants, holds
from gatekeeper.storage.sql.tables.base import OPEN

ROWS_AT_A_TIME: Final = 500
"""How many rows of a result are in memory at once."""

_Read = tuple[Account, tuple[str, ...]]
"""An account, and which of its packed columns can't be read and were taken as empty."""

_BLANK: Final = {"grants": "[]", "received": "{}", "standing": "[]"}
"""The packed columns of an account that has nothing."""

_ORDERED: Final = select(*(accounts.c[name] for name in ACCOUNT_COLUMNS)).order_by(
    accounts.c.customer, accounts.c.unit
)
_ACCOUNTS: Final = Among(_ORDERED, accounts.c.customer, accounts.c.unit)
_LOCKED: Final = Among(
    _ORDERED.with_for_update(key_share=True), accounts.c.customer, accounts.c.unit
)
_SUMS: Final = Among(
    select(
        entries.c.customer,
        entries.c.unit,
        entries.c.grant_id,
        func.count(),
        func.min(entries.c.sequence),
        func.max(entries.c.sequence),
        func.sum(entries.c.posted_delta),
        func.sum(entries.c.held_delta),
        func.sum(entries.c.debt_delta),
        func.sum(case((literal_column("kind = 'grant'"), entries.c.posted_delta), else_=0)),
        func.max(case((literal_column("kind = 'grant_revoked'"), 1), else_=0)),
        func.max(entries.c.at),
    ).group_by(entries.c.customer, entries.c.unit, entries.c.grant_id),
    entries.c.customer,
    entries.c.unit,
)
_HOLDS: Final = Among(
    select(
        holds.c.customer,
        holds.c.unit,
        holds.c.id,
        holds.c.amount - holds.c.captured,
        holds.c.allocations,
        holds.c.expires_at,
    ).where(holds.c.status == OPEN),
    holds.c.customer,
    holds.c.unit,
)
_GRANTS: Final = select_of(grants, Grant)
_CHOSEN_GRANTS: Final = Among(_GRANTS, grants.c.customer, grants.c.unit, grants.c.id)
_LATER_GRANTS: Final = Among(
    _GRANTS.where(
        grants.c.effective_at.is_not(None),
        or_(grants.c.expires_at.is_(None), grants.c.expires_at > bindparam("now")),
    ),
    grants.c.customer,
    grants.c.unit,
)
_WINDOW_GRANTS: Final = Among(
    _GRANTS.where(grants.c.kind.in_(sorted(WINDOW_KINDS))), grants.c.customer, grants.c.unit
)
_AFTER_CUSTOMER: Final = bindparam("after_customer", type_=Text())
_AFTER_UNIT: Final = bindparam("after_unit", type_=Text())


def _ledgered(*, customer: bool, after: bool, unit: bool) -> Select[Any]:
    """The first keys of every table that an account has to do with. Each of them is read in the
    order of its index, no further than needed."""
    parts = []
    for table in (accounts, entries, grants, holds):
        keys = select(table.c.customer, table.c.unit)
        if table is holds:
            keys = keys.where(table.c.status == OPEN)
        if customer:
            keys = keys.where(table.c.customer == bindparam("of_customer"))
        if unit:
            place = tuple_(_AFTER_CUSTOMER, _AFTER_UNIT)
            keys = keys.where(tuple_(table.c.customer, table.c.unit) > place)
        elif after:
            keys = keys.where(table.c.customer > _AFTER_CUSTOMER)
        first = keys.distinct().order_by(table.c.customer, table.c.unit).limit(bindparam("most"))
        parts.append(select(first.subquery(f"of_{table.name}")))
    found = union(*parts).subquery("found")
    return (
        select(found.c.customer, found.c.unit, func.coalesce(accounts.c.version, 0))
        .select_from(
            found.outerjoin(
                accounts,
                and_(
                    accounts.c.customer == found.c.customer,
                    accounts.c.unit == found.c.unit,
                ),
            )
        )
        .order_by(found.c.customer, found.c.unit)
        .limit(bindparam("most"))
    )


_LEDGERED: Final = {
    (customer, after, unit): _ledgered(customer=customer, after=after, unit=unit)
    for customer in (False, True)
    for after, unit in ((False, False), (True, False), (True, True))
}
_COUNT: Final = {
    customer: select(func.count())
    .select_from(accounts)
    .where(accounts.c.customer == bindparam("of_customer") if customer else true())
    for customer in (False, True)
}


class SqlAudit(SqlErasure, SqlReports, Audit):
    """`Audit` over the tables of the ledger."""

    def count(self, customer: str | None = None) -> int:
        which = {} if customer is None else {"of_customer": customer}
        found = self._connection.execute(_COUNT[customer is not None], which)
        return int(found.scalar_one())

    def ledgered(
        self,
        after: tuple[str, str | None] | None,
        limit: int,
        *,
        customer: str | None = None,
    ) -> Sequence[Ledgered]:
        after_customer, after_unit = after or (None, None)
        given = {
            "of_customer": customer,
            "after_customer": after_customer,
            "after_unit": after_unit,
        }
        which = {name: value for name, value in given.items() if value is not None}
        kind = (customer is not None, after is not None, after_unit is not None)
        rows = self._connection.execute(_LEDGERED[kind], {**which, "most": limit})
        return [Ledgered(*row) for row in rows]

    def books(
        self, keys: Collection[AccountKey], now: datetime, *, lock: bool = False
    ) -> Sequence[Books]:
        if not keys:
            return []
        found = self._accounts(_ACCOUNTS, keys)
        lost = set(keys) - found.keys()
        if lock:
            found = self._locked(keys, lost)
        later = list(self._grants(_LATER_GRANTS, keys, now=now))
        kept = {(one.customer, one.unit, one.id) for one in later}
        kept |= {(*key, live.id) for key, (one, _) in found.items() for live in one.grants}
        totals, by_grant = self._sums(keys, kept)
        holds_of = self._holds(keys)
        kept |= {(*key, grant_id) for key, of in by_grant.items() for grant_id in named(of)}
        records: dict[AccountKey, dict[str, Grant]] = {}
        for record in (*later, *self._chosen_grants(kept)):
            records.setdefault((record.customer, record.unit), {})[record.id] = record
        books = []
        for key in sorted(set(keys)):
            account, unreadable = found.get(key, (None, ()))
            one = Books(
                *key,
                None if key in lost and account == Account(*key) else account,
                unreadable,
                totals.get(key, Sums()),
                by_grant.get(key, {}),
                holds_of.get(key, OpenHolds()),
                records.get(key, {}),
            )
            books.append(self._with_windows(one))
        return books

    def restore(self, account: Account) -> None:
        self._note(account.customer)
        self._connection.execute(self._dialect.upsert(accounts), account_columns(account))

    def _accounts(
        self, statement: Among[Select[Any]], keys: Collection[AccountKey]
    ) -> dict[AccountKey, _Read]:
        rows = self._connection.execute(*statement.asked(self._dialect.name, keys))
        return {(row.customer, row.unit): _account(row) for row in rows}

    def _locked(
        self, keys: Collection[AccountKey], lost: Collection[AccountKey]
    ) -> dict[AccountKey, _Read]:
        for customer, _ in keys:
            self._note(customer)
        if lost:
            empty = [account_columns(Account(*key)) for key in sorted(lost)]
            self._connection.execute(self._dialect.insert_new(accounts), empty)
        return self._accounts(_LOCKED, keys)

    def _sums(
        self, keys: Collection[AccountKey], kept: Collection[tuple[str, str, str]]
    ) -> tuple[dict[AccountKey, Sums], dict[AccountKey, dict[str | None, Sums]]]:
        """The sums of accounts, and of those of their grants that have something or are `kept`:
        an account has far more grants in its history than in its present."""
        totals: dict[AccountKey, Sums] = {}
        by_grant: dict[AccountKey, dict[str | None, Sums]] = {}
        for customer, unit, grant_id, *numbers, last_at in self._streamed(_SUMS, keys):
            count, first, last, posted, held, debt, granted, revoked = map(int, numbers)
            sums = Sums(count, first, last, posted, held, debt, granted, bool(revoked), last_at)
            key = customer, unit
            totals[key] = totals.get(key, Sums()).plus(sums)
            if sums.posted or sums.held or (customer, unit, grant_id) in kept:
                by_grant.setdefault(key, {})[grant_id] = sums
        return totals, by_grant

    def _holds(self, keys: Collection[AccountKey]) -> dict[AccountKey, OpenHolds]:
        folds: dict[AccountKey, HoldFold] = {}
        for customer, unit, hold_id, remaining, text, ends in self._streamed(_HOLDS, keys):
            fold = folds.setdefault((customer, unit), HoldFold())
            fold.add(hold_id, remaining, _allocations(text), ends)
        return {key: fold.result() for key, fold in folds.items()}

    def _with_windows(self, books: Books) -> Books:
        """The grants of windows too, where it is only they that tell what windows were given."""
        if not books.is_lost and "received" not in books.unreadable:
            return books
        key = books.customer, books.unit
        found = {record.id: record for record in self._grants(_WINDOW_GRANTS, [key])}
        return msgspec.structs.replace(books, records={**found, **books.records})

    def _chosen_grants(self, keys: Collection[tuple[str, str, str]]) -> Iterator[Grant]:
        ordered = sorted(keys)
        for start in range(0, len(ordered), ROWS_AT_A_TIME):
            yield from self._grants(_CHOSEN_GRANTS, ordered[start : start + ROWS_AT_A_TIME])

    def _grants(
        self,
        statement: Among[Select[Any]],
        keys: Collection[tuple[str, ...]],
        **others: datetime,
    ) -> Iterator[Grant]:
        asked = statement.asked(self._dialect.name, keys, **others)
        return (Grant(*row) for row in self._connection.execute(*asked))

    def _streamed(
        self, statement: Among[Select[Any]], keys: Collection[AccountKey]
    ) -> Iterator[Any]:
        """Rows, of which there may be more than memory should hold."""
        options = {"yield_per": ROWS_AT_A_TIME}
        asked = statement.asked(self._dialect.name, keys)
        yield from self._connection.execute(*asked, execution_options=options)


def _account(row: Row[Any]) -> _Read:
    """An account, and which of its packed columns can't be read and were taken as empty."""
    columns = dict(zip(ACCOUNT_COLUMNS, row, strict=True))
    unreadable = tuple(name for name in _BLANK if not _is_readable(columns, name))
    readable = {**columns, **{name: _BLANK[name] for name in unreadable}}
    return account_of(readable.values()), unreadable


def _is_readable(columns: dict[str, Any], name: str) -> bool:
    try:
        account_of({**columns, **_BLANK, name: columns[name]}.values())
    except msgspec.DecodeError:
        return False
    return True


def _allocations(text: str) -> tuple[Allocation, ...] | None:
    try:
        return allocations_of(text)
    except msgspec.DecodeError:
        return None
