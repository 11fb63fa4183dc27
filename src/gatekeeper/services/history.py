"""The history of subscriptions: each state that one came into, and what led us to it."""

from datetime import datetime

import msgspec

from gatekeeper.storage.mirror import Cause, SubscriptionChange
from gatekeeper.storage.port import Transaction


class Because(msgspec.Struct, frozen=True):
    """Why a subscription was looked at; `event_key` names the event of the inbox, if one did."""

    cause: Cause = "event"
    event_key: str | None = None


class HeldItem(msgspec.Struct, frozen=True):
    """An item that a subscription had."""

    price_id: str
    quantity: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What access depended on."""

    status: str
    cancel_at: datetime | None
    trial_end: datetime | None
    collection_paused: bool
    items: tuple[HeldItem, ...]


def note_change(tx: Transaction, subscription_id: str, because: Because, now: datetime) -> None:
    """Append the state that a subscription, which was just written, is in."""
    row = tx.subscriptions.get(subscription_id)
    assert row is not None  # it was just written
    state = State(
        status=row.status,
        cancel_at=row.cancel_at,
        trial_end=row.trial_end,
        collection_paused=row.collection_paused,
        items=tuple(
            HeldItem(item.price_id, item.quantity)
            for item in tx.subscriptions.items(subscription_id)
            if item.ended_at is None or row.ended_at is not None
        ),
    )
    tx.mirror.add_change(
        SubscriptionChange(
            subscription_id=subscription_id,
            customer=row.customer,
            at=now,
            cause=because.cause,
            event_key=because.event_key,
            status=row.status,
            facts=msgspec.json.encode(state).decode(),
        )
    )


def state_of(change: SubscriptionChange) -> State:
    """The state that a change tells of."""
    return msgspec.json.decode(change.facts, type=State)
