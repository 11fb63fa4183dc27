"""Items with their paid lines, read in one statement: READ COMMITTED shows each statement another
moment, and an item must not be seen with the lines of a later one."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import and_
from sqlalchemy.sql.selectable import FromClause, Join

from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.storage.sql.tables import items, paid_lines, subscriptions

ITEM_FIELDS: Final = tuple(
    name
    for name in Item.__struct_fields__
    if name not in {"paid_lines", "unpaid_since", "duplicate_of"}
)
"""What an item's own row holds; `unpaid_since` and `duplicate_of` are its subscription's."""

_LINE_FIELDS: Final = PaidLine.__struct_fields__

COLUMNS: Final = (
    *(items.c[name] for name in ITEM_FIELDS),
    subscriptions.c.unpaid_since,
    subscriptions.c.duplicate_of,
    *(paid_lines.c[name].label(f"line_{name}") for name in _LINE_FIELDS),
)
"""The columns of one row for each paid line, and of one row for an item without any."""

_ID: Final = ITEM_FIELDS.index("id")
_UNPAID_SINCE: Final = len(ITEM_FIELDS)
_DUPLICATE_OF: Final = _UNPAID_SINCE + 1
_LINE: Final = _DUPLICATE_OF + 1
_LINE_ID: Final = _LINE + _LINE_FIELDS.index("id")


def with_lines(source: FromClause) -> Join:
    """`source` (which holds the items) with the subscription and the paid lines of each item."""
    return source.outerjoin(subscriptions, subscriptions.c.id == items.c.subscription_id).outerjoin(
        paid_lines,
        and_(paid_lines.c.customer == items.c.customer, paid_lines.c.item_id == items.c.id),
    )


def build_items(rows: Iterable[Sequence[Any]]) -> tuple[Item, ...]:
    """The items of rows that begin with `COLUMNS`, by id; their lines by start, then id.

    Sorted here, not in the database, whose collation may order ids differently from another's.
    """
    first_rows: dict[str, Sequence[Any]] = {}
    lines: dict[str, list[PaidLine]] = {}
    for row in rows:
        item_id = row[_ID]
        if item_id is None:
            continue  # the one row of a customer without items
        first_rows.setdefault(item_id, row)
        found = lines.setdefault(item_id, [])
        if row[_LINE_ID] is not None:
            found.append(
                PaidLine(
                    **dict(zip(_LINE_FIELDS, row[_LINE : _LINE + len(_LINE_FIELDS)], strict=True))
                )
            )
    return tuple(
        Item(
            **dict(zip(ITEM_FIELDS, first_rows[item_id], strict=False)),
            unpaid_since=first_rows[item_id][_UNPAID_SINCE],
            duplicate_of=first_rows[item_id][_DUPLICATE_OF],
            paid_lines=tuple(sorted(lines[item_id], key=lambda line: (line.start, line.id))),
        )
        for item_id in sorted(first_rows)
    )
