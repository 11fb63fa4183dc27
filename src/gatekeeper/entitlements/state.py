"""What is known of a customer: the facts from which entitlements are derived, as stored.

These are projections of Stripe's objects and the host's own records. Instants are aware UTC
datetimes; intervals are half-open.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

from gatekeeper.catalog import Terms
from gatekeeper.types import Amount

_RUNNING: Final = frozenset({"active", "trialing", "past_due"})


class PaidLine(msgspec.Struct, frozen=True, kw_only=True):
    """One paid invoice line: the interval it bought, and the terms that were bought with it.

    The union of an item's non-proration lines is its coverage. A positive proration raises the
    terms for the rest of its interval and extends nothing. `paid_minor` is what was paid for the
    whole invoice (0: nothing was to be paid, or it is not known), and `returned_minor` what of that
    has gone back.
    """

    id: str
    item_id: str
    invoice_id: str
    start: datetime
    end: datetime
    quantity: int
    terms: Terms
    proration: bool = False
    amount_minor: int = 0
    currency: str = ""
    paid_minor: int = 0
    returned_minor: int = 0

    @property
    def is_returned(self) -> bool:
        """Whether all that was paid for it has gone back: it covers nothing any more."""
        return 0 < self.paid_minor <= self.returned_minor


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a subscription, with what its subscription says of it.

    `status` is Stripe's word, kept even when we do not know it. `unpaid_since` is the moment at
    which the oldest unpaid invoice was finalised, or was due. `anchor` is Stripe's
    billing_cycle_anchor, to which recurring windows are anchored. `duplicate_of` names the
    subscription that its own was bought beside by mistake.
    """

    id: str
    subscription_id: str
    status: str
    price_id: str
    quantity: int
    terms: Terms | None
    started_at: datetime
    anchor: datetime
    period_start: datetime
    period_end: datetime
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    ended_at: datetime | None = None
    collection_paused: bool = False
    unpaid_since: datetime | None = None
    duplicate_of: str | None = None
    paid_lines: tuple[PaidLine, ...] = ()


def counted(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The items without those of duplicates, whose original is running: bought twice by mistake, a
    plan is had once. When the original is over, the duplicate takes its place, unless that one was
    itself a duplicate of one that is running."""
    running = {item.subscription_id for item in items if item.status in _RUNNING}
    originals = {item.subscription_id: item.duplicate_of for item in items if item.duplicate_of}
    return tuple(item for item in items if not _is_beside(item.subscription_id, originals, running))


def _is_beside(subscription: str, originals: Mapping[str, str], running: Collection[str]) -> bool:
    """Whether a subscription was bought beside one that is running, or beside such a duplicate."""
    for _ in originals:
        original = originals.get(subscription)
        if original is None:
            return False
        if original in running:
            return True
        subscription = original
    return False


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """An exception made for one customer: a feature on or off, a limit, or a plan as a gift."""

    kind: Literal["feature", "limit", "plan"]
    key: str
    value: bool | Amount = True
    expires_at: datetime | None = None
    reason: str | None = None
    actor: str | None = None


class CustomerState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the entitlements of one customer are derived from.

    `version` grows with every change of any of it: it is the epoch of the caches.
    """

    customer: str
    created_at: datetime
    version: int = 0
    items: tuple[Item, ...] = ()
    overrides: tuple[Override, ...] = ()
