"""From Stripe's subscription to what we keep of it.

Only what is in force is read: never `metadata`, `pending_update` or a schedule, so that nothing is
granted early (https://docs.stripe.com/billing/subscriptions/pending-updates).
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gatekeeper.errors import ProjectionError
from gatekeeper.projection.prices import price_of
from gatekeeper.projection.reading import Node


class ItemFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a subscription.

    Attributes:
        quantity: 1 where Stripe has none (metered prices).
        cancel_at: when the item ends if nothing else happens: the subscription's `cancel_at`, else
            the end of the item's own period if the subscription cancels at its end.
    """

    id: str
    price_id: str
    lookup_key: str | None
    product_id: str | None
    currency: str | None
    unit_amount_minor: int | None
    quantity: int
    created_at: datetime
    period_start: datetime
    period_end: datetime
    cancel_at: datetime | None


class SubscriptionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as Stripe has it now.

    Attributes:
        customer: Stripe's id.
        status: Stripe's word, whether we know it or not.
        anchor: the billing cycle anchor.
        cancel_at: when it ends if nothing else happens; the latest of its items, should Stripe name
            no moment.
        has_more_items: the list of items is longer than what was sent: fetch the rest.
    """

    id: str
    customer: str
    livemode: bool
    status: str
    created_at: datetime
    started_at: datetime
    anchor: datetime
    trial_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    collection_paused: bool
    latest_invoice_id: str | None
    items: tuple[ItemFacts, ...]
    has_more_items: bool = False


def project_subscription(value: Mapping[str, object]) -> SubscriptionFacts:
    """Read a subscription of any API version.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    root = Node.root(value, "subscription")
    cancel_at = root.maybe_moment("cancel_at")
    at_period_end = root.flag("cancel_at_period_end")
    if not root.has("items"):
        raise ProjectionError("subscription.items", "is missing")
    items = tuple(
        _item(root, node, cancel_at, at_period_end=at_period_end)
        for node in root.nodes("items")
        if not node.flag("deleted")
    )
    if cancel_at is None and at_period_end:
        cancel_at = max((item.period_end for item in items), default=None)
    created_at = root.moment("created")
    return SubscriptionFacts(
        id=root.word("id"),
        customer=root.reference("customer"),
        livemode=root.flag("livemode"),
        status=root.word("status"),
        created_at=created_at,
        started_at=root.maybe_moment("start_date") or created_at,
        anchor=root.moment("billing_cycle_anchor"),
        trial_end=root.maybe_moment("trial_end"),
        cancel_at=cancel_at,
        ended_at=root.maybe_moment("ended_at"),
        collection_paused=root.maybe_node("pause_collection") is not None,
        latest_invoice_id=root.maybe_reference("latest_invoice"),
        items=items,
        has_more_items=root.has_more("items"),
    )


def _item(
    subscription: Node, node: Node, cancel_at: datetime | None, *, at_period_end: bool
) -> ItemFacts:
    price_id, price = price_of(node)
    if price_id is None:
        raise ProjectionError(f"{node.path}.price", "is missing")
    period_start, period_end = _period(subscription, node)
    if cancel_at is None and at_period_end:
        cancel_at = period_end
    quantity = node.maybe_whole("quantity", minimum=0)
    legacy = price is not None and price.has("amount")  # a plan, of before there were prices
    return ItemFacts(
        id=node.word("id"),
        price_id=price_id,
        lookup_key=None if price is None else price.maybe_word("lookup_key"),
        product_id=None if price is None else price.maybe_reference("product"),
        currency=None if price is None else price.maybe_word("currency"),
        unit_amount_minor=(
            None if price is None else price.maybe_whole("amount" if legacy else "unit_amount")
        ),
        quantity=1 if quantity is None else quantity,
        created_at=node.moment("created"),
        period_start=period_start,
        period_end=period_end,
        cancel_at=cancel_at,
    )


def _period(subscription: Node, item: Node) -> tuple[datetime, datetime]:
    """The item's period; before 2025-03-31 (basil) the subscription had one for all its items
    (https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end)."""
    holder = item if item.has("current_period_end") else subscription
    return holder.moment("current_period_start"), holder.moment("current_period_end")
