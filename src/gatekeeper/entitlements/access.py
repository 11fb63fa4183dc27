"""The access policy: what the state of a subscription item allows (DESIGN section 6).

Statuses are Stripe's (https://docs.stripe.com/api/subscriptions/object#subscription_object-status).
Features follow this answer alone; credits ask for coverage besides (`coverage.py`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from gatekeeper.entitlements.state import Item

PauseCollection = Literal["keep", "deny"]
"""What `pause_collection` means for access: it goes on, or it stops."""

TERMINAL: Final = frozenset({"canceled", "incomplete_expired"})
"""The statuses that a subscription never leaves."""

_DENIED: Final = frozenset({"unpaid", "incomplete", "paused"}) | TERMINAL


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The settings of the access policy.

    Attributes:
        past_due_grace: how long a past_due item keeps its access, from the moment at which the
            oldest unpaid invoice was finalised or was due.
        renewal_grace: how long a window's grant outlives its window while the next one is not
            granted: Stripe keeps a renewal invoice as a draft for about an hour
            (https://docs.stripe.com/billing/subscriptions/webhooks).
        pause_collection: whether access goes on while collection is paused.
    """

    past_due_grace: timedelta = timedelta(days=7)
    renewal_grace: timedelta = timedelta(hours=24)
    pause_collection: PauseCollection = "deny"


@dataclass(frozen=True, slots=True)
class Access:
    """Whether an item gives access, and why.

    Attributes:
        reason: the status that decided, or `ended`, `not_started`, `cancel_at_reached`,
            `collection_paused`, `past_due_grace_over` or `unknown_status`. Stable, for programs.
        until: the next moment at which `allowed` changes by itself; None if only an event can
            change it.
    """

    allowed: bool
    reason: str
    until: datetime | None = None


def access_of(item: Item, policy: AccessPolicy, now: datetime) -> Access:
    """What the item's state allows at `now`.

    A status that we don't know allows nothing; the shell alerts on the reason `unknown_status`.
    """
    if has_ended(item, now):
        return Access(False, item.status if item.status in TERMINAL else "ended")
    if item.cancel_at is not None and item.cancel_at <= now:
        return Access(False, "cancel_at_reached")
    if item.status in _DENIED:
        return Access(False, item.status)
    if item.status not in {"trialing", "active", "past_due"}:
        return Access(False, "unknown_status")
    if item.collection_paused and policy.pause_collection == "deny":
        return Access(False, "collection_paused")
    ends = [end for end in (item.cancel_at, item.ended_at) if end is not None]
    if item.status == "past_due":
        ends.append(_grace_end(item, policy))
    until = min(ends, default=None)
    if until is not None and until <= now:
        return Access(False, "past_due_grace_over")
    if item.started_at > now:
        # It can't begin if it ends first.
        begins = until is None or item.started_at < until
        return Access(False, "not_started", item.started_at if begins else None)
    return Access(True, item.status, until)


def has_ended(item: Item, now: datetime) -> bool:
    """Whether the item is over for good: nothing brings a terminal subscription back."""
    return item.status in TERMINAL or (item.ended_at is not None and item.ended_at <= now)


def _grace_end(item: Item, policy: AccessPolicy) -> datetime:
    """The end of a past_due item's grace.

    Where the unpaid invoice is not known (yet: events come in any order), the grace counts from
    the start of the period, which is when the invoice that went unpaid was made. Its finalisation
    is later, so that the guess never gives more than the policy does.
    """
    since = item.period_start if item.unpaid_since is None else item.unpaid_since
    return since + policy.past_due_grace
