"""The history of subscriptions: each state that one came into, and what led us to it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gatekeeper.entitlements.state import Item
from gatekeeper.storage.mirror import Cause, HistoryPlace, SubscriptionChange
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Subscription


class Because(msgspec.Struct, frozen=True):
    """Why a subscription was looked at; `event_key` names the event of the inbox, if one did."""

    cause: Cause = "event"
    event_key: str | None = None


class HeldItem(msgspec.Struct, frozen=True):
    """An item that a subscription had: its price and plan, how many, until when its present period
    goes, and until when it was paid for."""

    price_id: str
    quantity: int
    plan: str | None = None
    period_end: datetime | None = None
    paid_until: datetime | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What access depended on."""

    status: str
    cancel_at: datetime | None
    trial_end: datetime | None
    collection_paused: bool
    unpaid_since: datetime | None = None
    items: tuple[HeldItem, ...]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a subscription.

    Attributes:
        sequence: from 1 on, within the subscription.
        at: when it was written here.
        cause: "event" (one of the subscription's own), "invoice", "payment", "checkout",
            "request" (a change that was asked for here), "reconciliation" or "backfill".
        event_id: the event that led to it, if one did.
        before: the state until then; None for the first.
        place: where it stands in the customer's history, to go on from there.
    """

    subscription_id: str
    sequence: int
    at: datetime
    cause: Cause
    event_id: str | None
    state: State
    before: State | None

    @property
    def place(self) -> HistoryPlace:
        """Where it stands in the history of its customer."""
        return self.at, self.subscription_id, self.sequence

    @property
    def changed(self) -> Mapping[str, tuple[Any, Any]]:
        """What has changed: the fields of `State`, each as it was (None at first) and as it is."""
        return {
            name: (was, now)
            for name in State.__struct_fields__
            if (was := getattr(self.before, name, None)) != (now := getattr(self.state, name))
        }


def note_change(tx: Transaction, subscription_id: str, because: Because, now: datetime) -> bool:
    """Append the state that a subscription is in, if it is another than the last; False if not."""
    row = tx.subscriptions.get(subscription_id)
    if row is None:  # an invoice came before its subscription
        return False
    state = _state(row, tx.subscriptions.items(subscription_id))
    last = tx.mirror.last_change(subscription_id)
    if last is not None and state_of(last) == state:
        return False
    tx.mirror.add_change(
        SubscriptionChange(
            subscription_id=subscription_id,
            sequence=1 if last is None else last.sequence + 1,
            customer=row.customer,
            at=now,
            cause=because.cause,
            event_key=because.event_key,
            status=row.status,
            facts=msgspec.json.encode(state).decode(),
        )
    )
    return True


def state_of(change: SubscriptionChange) -> State:
    """The state that a change tells of."""
    return msgspec.json.decode(change.facts, type=State)


def history(
    tx: Transaction, customer: str, limit: int, before: HistoryPlace | None = None
) -> Sequence[HistoryEntry]:
    """What the subscriptions of a customer have been through, the newest first; `before` is the
    place of the last entry of the page before."""
    rows = tx.mirror.history(customer, limit, before)
    states = {(row.subscription_id, row.sequence): state_of(row) for row in rows}
    for row in rows:
        name, earlier = row.subscription_id, row.sequence - 1
        if earlier and (name, earlier) not in states:  # it is on the next page
            for found in tx.mirror.changes(name, earlier - 1, 1):
                states[name, found.sequence] = state_of(found)
    return [_entry(row, states) for row in rows]


def _entry(row: SubscriptionChange, states: Mapping[tuple[str, int], State]) -> HistoryEntry:
    event_id = None if row.event_key is None else row.event_key.rpartition("/")[2]
    return HistoryEntry(
        subscription_id=row.subscription_id,
        sequence=row.sequence,
        at=row.at,
        cause=row.cause,
        event_id=event_id,
        state=states[row.subscription_id, row.sequence],
        before=states.get((row.subscription_id, row.sequence - 1)),
    )


def _state(row: Subscription, items: Iterable[Item]) -> State:
    present = [item for item in items if item.ended_at is None or item.ended_at == row.ended_at]
    return State(
        status=row.status,
        cancel_at=row.cancel_at,
        trial_end=row.trial_end,
        collection_paused=row.collection_paused,
        unpaid_since=next((item.unpaid_since for item in present), None),
        items=tuple(_held(item) for item in sorted(present, key=lambda item: item.id)),
    )


def _held(item: Item) -> HeldItem:
    kept = (line for line in item.paid_lines if not line.proration and not line.is_returned)
    paid = [line.end for line in kept]
    return HeldItem(
        price_id=item.price_id,
        quantity=item.quantity,
        plan=None if item.terms is None else item.terms.plan,
        period_end=item.period_end,
        paid_until=max(paid, default=None),
    )
