"""Short ways to say what is known of a customer, and a wallet that lives through time."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from gatekeeper.catalog import (
    Cadence,
    Combine,
    TermGrant,
    TermLimit,
    Terms,
)
from gatekeeper.entitlements import AccessPolicy, CustomerState, Item, PaidLine, allotment
from gatekeeper.ledger import (
    Account,
    Allotment,
    EntryKind,
    Reserve,
    apply,
    refresh,
    spendable,
)
from gatekeeper.types import Amount

POLICY = AccessPolicy()
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


START = utc("2025-01-01T00:00")
FEBRUARY = utc("2025-02-01T00:00")
MARCH = utc("2025-03-01T00:00")
APRIL = utc("2025-04-01T00:00")
NEXT_YEAR = utc("2026-01-01T00:00")


def grant(
    amount: Amount,
    cadence: Cadence = "month",
    *,
    unit: str = "credits",
    plan: str = "pro",
    **changes: Any,
) -> TermGrant:
    """A grant of terms; `changes` are any of its other fields."""
    series = f"once:{plan}:{unit}" if cadence == "once" else f"every:{unit}"
    fields: dict[str, Any] = {"series": series, "unit": unit, "plan": plan, **changes}
    return TermGrant(amount=amount, cadence=cadence, **fields)


def terms(
    plan: str,
    *grants: TermGrant,
    features: Iterable[str] = (),
    includes: Iterable[str] = (),
    seats: TermLimit | None = None,
) -> Terms:
    """Terms of a plan that includes the plans `includes`."""
    return Terms(
        plan=plan,
        plans=frozenset({plan, *includes}),
        features=frozenset(features),
        limits={} if seats is None else {"seats": seats},
        grants=grants,
    )


def limit(value: Amount, per_quantity: int = 0, combine: Combine = "max") -> TermLimit:
    return TermLimit(value=value, per_quantity=per_quantity, combine=combine)


FREE = terms("free", grant(5, "once", plan="free"), features=["basics"], seats=limit(1))
PRO = terms(
    "pro", grant(1_000), features=["basics", "downloads"], includes=["free"], seats=limit(5)
)
BARE = terms("bare")


def item(
    item_id: str = "si_1",
    plan: Terms | None = PRO,
    *,
    status: str = "active",
    start: datetime = START,
    end: datetime = FEBRUARY,
    anchor: datetime | None = None,
    quantity: int = 1,
    lines: Iterable[PaidLine] = (),
    **changes: Any,
) -> Item:
    """An item whose period is [start, end), anchored at its start, and not paid for."""
    return Item(
        id=item_id,
        subscription_id=f"sub_of_{item_id}",
        status=status,
        price_id="price_1",
        quantity=quantity,
        terms=plan,
        started_at=start,
        anchor=start if anchor is None else anchor,
        period_start=start,
        period_end=end,
        paid_lines=tuple(lines),
        **changes,
    )


def line(
    start: datetime = START,
    end: datetime = FEBRUARY,
    plan: Terms = PRO,
    *,
    item_id: str = "si_1",
    quantity: int = 1,
    amount: int = 999,
    proration: bool = False,
    line_id: str | None = None,
) -> PaidLine:
    """A paid line for [start, end)."""
    made_of = f"{item_id}:{start:%m%d%H}:{end:%m%d%H}:{plan.plan}:{quantity}:{proration}"
    return PaidLine(
        id=line_id or f"il_{made_of}",
        item_id=item_id,
        invoice_id="in_1",
        start=start,
        end=end,
        quantity=quantity,
        terms=plan,
        proration=proration,
        amount_minor=amount,
        currency="eur",
    )


def paid_item(item_id: str = "si_1", plan: Terms = PRO, **changes: Any) -> Item:
    """An active item whose first month is paid for."""
    start, end = changes.get("start", START), changes.get("end", FEBRUARY)
    paid = line(start, end, plan, item_id=item_id, quantity=changes.get("quantity", 1))
    return item(item_id, plan, lines=[paid], **changes)


def state(*items: Item, created: datetime = START, **changes: Any) -> CustomerState:
    return CustomerState(customer="org_1", created_at=created, items=items, **changes)


class Wallet:
    """One account through time: what is due is granted whenever it is looked at."""

    def __init__(self, default: Terms = BARE, unit: str = "credits", **options: Any) -> None:
        self.default = default
        self.unit = unit
        self.options = options
        self.account = Account(customer="org_1", unit=unit)
        self.granted = 0

    def due(self, known: CustomerState, now: datetime) -> Allotment:
        return allotment(
            known,
            self.default,
            self.unit,
            self.options.get("policy", POLICY),
            since=self.account.last_entry_at,
            now=now,
            **{key: value for key, value in self.options.items() if key != "policy"},
        )

    def look(self, known: CustomerState, now: datetime) -> int:
        """Bring the account up to `now` and return what can be spent; -1 is without bound."""
        change = refresh(self.account, self.due(known, now), now)
        self.granted += sum(e.posted_delta for e in change.entries if e.kind is EntryKind.GRANT)
        self.account = change.account
        left = spendable(self.account, now)
        return -1 if left is None else left

    def spend(self, known: CustomerState, amount: int, now: datetime) -> None:
        """Hold `amount`; it is never given back."""
        self.look(known, now)
        hold = Reserve(hold_id=f"hold_{now.isoformat()}", amount=amount, expires_at=now + DAY)
        self.account = apply(self.account, hold, now).account


__all__ = [
    "APRIL",
    "BARE",
    "DAY",
    "FEBRUARY",
    "FREE",
    "HOUR",
    "MARCH",
    "NEXT_YEAR",
    "POLICY",
    "PRO",
    "START",
    "Wallet",
    "grant",
    "item",
    "limit",
    "line",
    "paid_item",
    "replace",
    "state",
    "terms",
    "utc",
]
