"""Ledger values as the text of one column, and back: JSON that the database does not look into."""

from datetime import datetime
from typing import Any, Final

import msgspec

from gatekeeper.formulas import Formula
from gatekeeper.ledger import Account, Allocation, Cap, Fresh, LiveGrant, Received

_ENCODER: Final = msgspec.json.Encoder()
_GRANTS: Final = msgspec.json.Decoder(tuple[LiveGrant, ...])
_RECEIVED: Final = msgspec.json.Decoder(dict[str, Received])
_ALLOCATIONS: Final = msgspec.json.Decoder(tuple[Allocation, ...])
_FORMULA: Final = msgspec.json.Decoder(Formula)


class Standing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The parts of an account that share the column `standing`."""

    caps: tuple[Cap, ...] = ()
    alerts: tuple[str, ...] = ()
    fresh: Fresh | None = None
    holds_due_at: datetime | None = None
    top_up_below: int | None = None


_STANDING: Final = msgspec.json.Decoder(Standing)


def packed(value: object) -> str:
    """A value as JSON text."""
    return _ENCODER.encode(value).decode()


def pack_standing(account: Account) -> str:
    """The column `standing` of an account."""
    return packed(
        Standing(
            account.caps,
            account.alerts,
            account.fresh,
            account.holds_due_at,
            account.top_up_below,
        )
    )


ACCOUNT_COLUMNS: Final = (
    "customer",
    "unit",
    "posted",
    "held",
    "debt",
    "version",
    "grants",
    "received",
    "last_entry_at",
    "revision",
    "standing",
    "notice_due_at",
)
"""The order in which `account_of` takes an account's columns."""


def account_columns(account: Account) -> dict[str, Any]:
    """The columns of an account, in the order of `ACCOUNT_COLUMNS`."""
    return {
        "customer": account.customer,
        "unit": account.unit,
        "posted": account.posted,
        "held": account.held,
        "debt": account.debt,
        "version": account.version,
        "grants": packed(account.grants),
        "received": packed(account.received),
        "last_entry_at": account.last_entry_at,
        "revision": account.revision,
        "standing": pack_standing(account),
        "notice_due_at": account.notice_due_at,
    }


def account_of(row: Any) -> Account:
    """An account from its columns, in the order of `ACCOUNT_COLUMNS`."""
    (
        customer,
        unit,
        posted,
        held,
        debt,
        version,
        grants,
        received,
        last_entry_at,
        revision,
        standing,
        notice_due_at,
    ) = row
    kept = _STANDING.decode(standing)
    return Account(
        customer,
        unit,
        posted,
        held,
        debt,
        version,
        _GRANTS.decode(grants),
        _RECEIVED.decode(received),
        last_entry_at,
        revision,
        kept.caps,
        kept.alerts,
        kept.fresh,
        kept.holds_due_at,
        notice_due_at,
        kept.top_up_below,
    )


def allocations_of(text: str) -> tuple[Allocation, ...]:
    """The allocations of a hold from their column."""
    return _ALLOCATIONS.decode(text)


def formula_of(text: str | None) -> Formula | None:
    """The formula of a hold from its column."""
    return None if text is None else _FORMULA.decode(text)
