"""A customer's subscriptions as a host shows them: what each is now, and what it is to become.

What is to come gives nothing yet (DESIGN section 6): it is read from the schedule that Stripe will
carry out (https://docs.stripe.com/billing/subscriptions/subscription-schedules), and shown alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from gatekeeper.entitlements.state import Item
from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Subscription

_SCHEDULED: Final = frozenset({"active", "not_started"})
"""The statuses of a schedule that has still something to do."""

_MOST: Final = 1_000


class SoldItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item: how many of a price.

    Attributes:
        plan: what it entitles to, where that is known.
        price: the lookup key by which the catalogue has the price, where it is known.
    """

    price_id: str
    plan: str | None
    quantity: int
    price: str | None = None


class Upcoming(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscription is scheduled to be from an instant on; no items: it ends then."""

    at: datetime
    items: tuple[SoldItem, ...]


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as Stripe has it now.

    Attributes:
        items: what is in force; of one that has ended, what it had last.
        period_end: the latest end of an item's present period.
        cancel_at: when it ends if nothing else happens.
        pending_until: until when an update waits for its payment; nothing of it is in force.
        upcoming: what is scheduled, the soonest first.
    """

    id: str
    status: str
    items: tuple[SoldItem, ...]
    started_at: datetime
    period_end: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    collection_paused: bool
    pending_until: datetime | None
    upcoming: tuple[Upcoming, ...]


class _Priced(msgspec.Struct):
    price: str
    quantity: int = 1


class _Phase(msgspec.Struct):
    start_date: datetime
    end_date: datetime | None = None
    items: list[_Priced] = []


class _Schedule(msgspec.Struct):
    phases: list[_Phase] = []
    end_behavior: str | None = None


class _Facts(msgspec.Struct):
    schedule: str | None = None
    pending: datetime | None = msgspec.field(default=None, name="pending_update.expires_at")


def subscriptions_of(tx: Transaction, rules: Rules, customer: str) -> Sequence[SubscriptionView]:
    """The subscriptions of a customer, ended ones too, the newest first."""
    state = tx.customers.state(customer)
    ids = {item.subscription_id for item in (() if state is None else state.items)}
    ids |= {one.id for one in tx.mirror.of_customer(customer, "subscription", _MOST)}
    rows = [row for name in ids if (row := tx.subscriptions.get(name)) is not None]
    rows.sort(key=lambda row: (row.started_at, row.id), reverse=True)
    return [_view(tx, rules, row) for row in rows if row.customer == customer]


def subscription_of(
    tx: Transaction, rules: Rules, customer: str, subscription_id: str
) -> SubscriptionView | None:
    """One subscription of a customer; None if they have none of this id."""
    row = tx.subscriptions.get(subscription_id)
    return None if row is None or row.customer != customer else _view(tx, rules, row)


def prices_to_come(schedule: MirrorObject) -> Sequence[str]:
    """The ids of the prices that a schedule names."""
    phases = msgspec.json.decode(schedule.facts, type=_Schedule).phases
    return sorted({item.price for phase in phases for item in phase.items})


def _view(tx: Transaction, rules: Rules, row: Subscription) -> SubscriptionView:
    present = [
        item
        for item in tx.subscriptions.items(row.id)
        if item.ended_at is None or item.ended_at == row.ended_at
    ]
    copy = tx.mirror.get("subscription", row.id)
    facts = _Facts() if copy is None else msgspec.json.decode(copy.facts, type=_Facts)
    schedules = [
        one
        for one in tx.mirror.of_parent("subscription_schedule", f"subscription/{row.id}")
        # What it was released from without our being told, a later look at the subscription says.
        if copy is None or facts.schedule == one.id or one.seen_at >= copy.seen_at
    ]
    return SubscriptionView(
        id=row.id,
        status=row.status,
        items=tuple(_sold(tx, item) for item in present),
        started_at=row.started_at,
        period_end=max((item.period_end for item in present), default=None),
        trial_end=row.trial_end,
        cancel_at=row.cancel_at,
        ended_at=row.ended_at,
        collection_paused=row.collection_paused,
        pending_until=facts.pending if row.ended_at is None else None,
        upcoming=tuple(_upcoming(tx, rules, schedules)) if row.ended_at is None else (),
    )


def _sold(tx: Transaction, item: Item) -> SoldItem:
    plan = None if item.terms is None else item.terms.plan
    record = tx.subscriptions.price(item.price_id)
    return SoldItem(
        price_id=item.price_id,
        plan=plan,
        quantity=item.quantity,
        price=None if record is None else record.lookup_key,
    )


def _upcoming(
    tx: Transaction, rules: Rules, schedules: Iterable[MirrorObject]
) -> Iterator[Upcoming]:
    now = tx.now()
    for one in schedules:
        if one.deleted or one.status not in _SCHEDULED:
            continue
        schedule = msgspec.json.decode(one.facts, type=_Schedule)
        for phase in schedule.phases:
            if phase.start_date > now:
                items = tuple(_to_come(tx, rules, item) for item in phase.items)
                yield Upcoming(at=phase.start_date, items=items)
        if schedule.end_behavior == "cancel" and schedule.phases:
            end = schedule.phases[-1].end_date
            if end is not None and end > now:
                yield Upcoming(at=end, items=())


def _to_come(tx: Transaction, rules: Rules, item: _Priced) -> SoldItem:
    """An item that is scheduled, with the plan that its price stands for: as it was recorded, else
    as the catalogue would have it."""
    recorded = tx.subscriptions.price(item.price)
    plan: str | None
    key: str | None
    if recorded is not None:
        plan, key = recorded.plan, recorded.lookup_key
    else:
        entry = rules.catalog.find_price(item.price)
        copy = tx.mirror.get("price", item.price) if entry is None else None
        if copy is not None:
            named = msgspec.json.decode(copy.facts).get("lookup_key")
            entry = None if named is None else rules.catalog.find_price(named)
        plan = None if entry is None or entry.plan is None else entry.plan.key
        key = None if entry is None else entry.price.lookup_key
    return SoldItem(price_id=item.price, plan=plan, quantity=item.quantity, price=key)
