"""Drift: where what we keep of a subscription or invoice differs from what Stripe says of it.

The facts come from the projections that also write them, so that what is compared is what would be
written. Nothing is written here.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gatekeeper.entitlements.state import Item
from gatekeeper.projection import InvoiceFacts, ItemFacts, SubscriptionFacts
from gatekeeper.storage.records import Invoice, Subscription

GIVING_ACCESS: Final = frozenset({"active", "trialing", "past_due"})
"""The statuses that can give access (DESIGN section 6)."""

_FIELDS: Final = (
    "status",
    "started_at",
    "anchor",
    "trial_end",
    "cancel_at",
    "ended_at",
    "collection_paused",
    "latest_invoice_id",
)
_INVOICE_FIELDS: Final = (
    "status",
    "subscription_id",
    "amount_due_minor",
    "amount_paid_minor",
    "credited_minor",
    "currency",
    "finalized_at",
    "due_at",
    "paid_at",
)
_ITEM_FIELDS: Final = ("price_id", "quantity", "period_start", "period_end", "cancel_at")


class Difference(NamedTuple):
    """One field, as we have it and as Stripe does; None where one side has nothing."""

    field: str
    ours: str | None
    theirs: str | None


def differences(
    facts: SubscriptionFacts,
    latest: InvoiceFacts | None,
    stored: Subscription | None,
    items: Sequence[Item],
) -> tuple[Difference, ...]:
    """What differs between a subscription at Stripe and our copy of it."""
    if stored is None:
        return (Difference("status", None, facts.status),)
    found = [
        Difference(name, _word(ours), _word(theirs))
        for name in _FIELDS
        if (ours := getattr(stored, name)) != (theirs := getattr(facts, name))
    ]
    return (*found, *_items(facts.items, items), *_paid(latest, items), *_due(facts, latest, items))


def invoice_differences(
    facts: InvoiceFacts, stored: Invoice | None, items: Sequence[Item]
) -> tuple[Difference, ...]:
    """What differs between an invoice at Stripe and our copy of it, and what of its paid lines we
    do not have. `items` are those of the subscriptions that it bills."""
    if stored is None:
        return (Difference("status", None, facts.status),)
    found = (
        Difference(name, _word(ours), _word(theirs))
        for name in _INVOICE_FIELDS
        if (ours := getattr(stored, name)) != (theirs := getattr(facts, name))
    )
    return (*found, *_paid(facts, items))


def _items(theirs: Sequence[ItemFacts], ours: Sequence[Item]) -> Iterator[Difference]:
    known = {item.id: item for item in ours}
    for fact in theirs:
        item = known.pop(fact.id, None)
        if item is None:
            yield Difference(f"items.{fact.id}", None, fact.price_id)
            continue
        for name in _ITEM_FIELDS:
            was, now = getattr(item, name), getattr(fact, name)
            if was != now:
                yield Difference(f"items.{fact.id}.{name}", _word(was), _word(now))
    for item in known.values():
        if item.ended_at is None:
            yield Difference(f"items.{item.id}", item.price_id, None)


def _paid(latest: InvoiceFacts | None, items: Sequence[Item]) -> Iterator[Difference]:
    """Paid lines of the latest invoice that we do not have, of items that buy something."""
    known = {item.id: item for item in items}
    for line in () if latest is None else latest.paid_lines:
        item = known.get(line.item_id or "")
        if item is None or item.terms is None or item.price_id != line.price_id:
            continue
        if line.id not in {paid.id for paid in item.paid_lines}:
            yield Difference(f"paid_lines.{line.id}", None, _word(line.end))


def _due(
    facts: SubscriptionFacts, latest: InvoiceFacts | None, items: Sequence[Item]
) -> Iterator[Difference]:
    """The start of the grace of a past_due subscription, where we do not know it."""
    if facts.status != "past_due" or latest is None or not items:
        return
    owed = latest.status == "open" and latest.amount_due_minor > 0
    if owed and items[0].unpaid_since is None:
        yield Difference("unpaid_since", None, _word(latest.due_at or latest.finalized_at))


def _word(value: object) -> str | None:
    return None if value is None else str(value)
