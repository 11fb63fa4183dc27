"""The rows of postings as parameters of a statement of PostgreSQL.

They come as arrays, one for each column, and are unpacked by `unnest`
(https://www.postgresql.org/docs/current/functions-array.html). The first column, `n`, is the number
of the posting that a row belongs to.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from gatekeeper.ledger import Entry, Hold, Receipt
from gatekeeper.storage.postings import Posting
from gatekeeper.storage.sql.packing import pack_standing, packed

Place = Callable[[int], str]
"""How a driver names the parameter of a number, counted from 1."""


class Rows:
    """The columns of one kind of row, with their PostgreSQL types."""

    def __init__(self, **types: str) -> None:
        self.names = tuple(types)
        self.types = tuple(types.values())

    def source(self, first: int, place: Place, *, single: bool) -> str:
        """The rows as a table `x`, from the parameters that begin with number `first`: one for each
        cell of a single row, or an array for each column."""
        array = "" if single else "[]"
        cells = ", ".join(
            f"CAST({place(first + i)} AS {of}{array})" for i, of in enumerate(self.types)
        )
        rows = f"(VALUES ({cells}))" if single else f"unnest({cells})"
        return f"{rows} AS x({', '.join(self.names)})"

    def listed(self, prefix: str = "") -> str:
        """The names of all columns but the first, `n`, for a statement."""
        return ", ".join(prefix + name for name in self.names[1:])

    def cells(self, rows: Sequence[tuple[Any, ...]], *, single: bool) -> Sequence[Any]:
        """The parameters of `source`."""
        if single:
            return rows[0]
        if not rows:
            return [[] for _ in self.names]
        return [list(column) for column in zip(*rows, strict=True)]  # psycopg takes no tuples


ACCOUNTS: Final = Rows(
    n="int",
    customer="text",
    unit="text",
    revision_before="bigint",
    version_before="bigint",
    customer_version="bigint",
    posted="bigint",
    held="bigint",
    debt="bigint",
    version="bigint",
    grants="text",
    received="text",
    last_entry_at="timestamptz",
    revision="bigint",
    standing="text",
    notice_due_at="timestamptz",
)
ENTRIES: Final = Rows(
    n="int",
    sequence="bigint",
    kind="text",
    at="timestamptz",
    posted_delta="bigint",
    held_delta="bigint",
    debt_delta="bigint",
    grant_id="text",
    hold_id="text",
    actor="text",
    feature="text",
    reference="text",
    scope="text",
    metadata="text",
)
MADE: Final = Rows(
    n="int",
    id="text",
    amount="bigint",
    allocations="text",
    created_at="timestamptz",
    expires_at="timestamptz",
    status="text",
    captured="bigint",
    overrun="bigint",
    cost_numerator="bigint",
    cost_denominator="bigint",
    ended_at="timestamptz",
    actor="text",
    feature="text",
    reference="text",
    scope="text",
    metadata="text",
    formula="text",
)
CHANGED: Final = Rows(
    n="int",
    id="text",
    amount="bigint",
    allocations="text",
    expires_at="timestamptz",
    status="text",
    captured="bigint",
    overrun="bigint",
    ended_at="timestamptz",
)
RECEIPTS: Final = Rows(
    n="int",
    key="text",
    fingerprint="text",
    result="text",
    created_at="timestamptz",
)


def account_row(n: int, posting: Posting) -> tuple[Any, ...]:
    """An account as it was, and as it is now."""
    before, after = posting.before, posting.after
    return (
        n,
        before.customer,
        before.unit,
        before.revision,
        before.version,
        posting.customer_version,
        after.posted,
        after.held,
        after.debt,
        after.version,
        packed(after.grants),
        packed(after.received),
        after.last_entry_at,
        after.revision,
        pack_standing(after),
        after.notice_due_at,
    )


def entry_row(n: int, entry: Entry) -> tuple[Any, ...]:
    """An entry to insert."""
    return (
        n,
        entry.sequence,
        entry.kind.value,
        entry.at,
        entry.posted_delta,
        entry.held_delta,
        entry.debt_delta,
        entry.grant_id,
        entry.hold_id,
        entry.actor,
        entry.feature,
        entry.reference,
        entry.scope,
        entry.metadata,
    )


def made_row(n: int, hold: Hold) -> tuple[Any, ...]:
    """A hold to insert."""
    return (
        n,
        hold.id,
        hold.amount,
        packed(hold.allocations),
        hold.created_at,
        hold.expires_at,
        hold.status.value,
        hold.captured,
        hold.overrun,
        hold.cost_numerator,
        hold.cost_denominator,
        hold.ended_at,
        hold.actor,
        hold.feature,
        hold.reference,
        hold.scope,
        hold.metadata,
        None if hold.formula is None else packed(hold.formula),
    )


def changed_row(n: int, hold: Hold) -> tuple[Any, ...]:
    """What of a hold can have changed."""
    return (
        n,
        hold.id,
        hold.amount,
        packed(hold.allocations),
        hold.expires_at,
        hold.status.value,
        hold.captured,
        hold.overrun,
        hold.ended_at,
    )


def receipt_row(n: int, receipt: Receipt) -> tuple[Any, ...]:
    """A receipt to insert."""
    return (n, receipt.key, receipt.fingerprint, receipt.result, receipt.created_at)
