"""Builders of signed events and of the objects that they are about, for fast tests of handlers.

The objects have what this library reads, in the shape of the pinned API version; the simulator in
`gatekeeper.testing.stripe` has all the rest, and behaves.

    event = make_event("invoice.paid", invoice("in_1", customer="cus_1"))
    body, signature = signed(event, "whsec_test")
    client.post("/billing/webhooks", content=body, headers={"Stripe-Signature": signature})
"""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from gatekeeper.stripe.client import API_VERSION
from gatekeeper.stripe.signature import sign

Obj = dict[str, Any]

DEFAULT_SECRET: Final = "whsec_test_secret"  # noqa: S105 -- for tests, and nothing is behind it
DEFAULT_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When the objects begin, unless it is said."""

_numbers = itertools.count(1)


class SignedEvent(NamedTuple):
    """The body of a webhook request and its `Stripe-Signature` header."""

    body: bytes
    signature: str


def unix(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return int(moment.timestamp())


def signed(
    event: Obj | bytes, secret: str = DEFAULT_SECRET, at: datetime | None = None
) -> SignedEvent:
    """Sign an event as Stripe does; `at` is now by default, since receivers look at its age."""
    body = event if isinstance(event, bytes) else msgspec.json.encode(event)
    return SignedEvent(body, sign(body, secret, at or datetime.now(UTC)))


def make_event(
    type: str,
    obj: Obj,
    *,
    id: str | None = None,
    created: datetime = DEFAULT_START,
    livemode: bool = False,
    account: str | None = None,
    api_version: str = API_VERSION,
) -> Obj:
    """A snapshot event about `obj`, with an id of its own unless one is given."""
    event: Obj = {
        "id": id or f"evt_{next(_numbers):06d}",
        "object": "event",
        "api_version": api_version,
        "created": unix(created),
        "data": {"object": obj},
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type,
    }
    return event if account is None else {**event, "account": account}


def thin_event(
    type: str,
    *,
    object_type: str,
    object_id: str,
    id: str | None = None,
    context: str | None = None,
    snapshot: Obj | None = None,
) -> Obj:
    """A thin event notification, which names its object and no more; `snapshot` is its twin."""
    more = {"context": context, "snapshot_event": None if snapshot is None else snapshot["id"]}
    return {
        **{name: value for name, value in more.items() if value is not None},
        "id": id or f"evt_{next(_numbers):06d}",
        "object": "v2.core.event",
        "type": type,
        "created": "2026-01-01T00:00:00.000Z",
        "livemode": False,
        "related_object": {"id": object_id, "type": object_type, "url": f"/v1/{object_id}"},
    }


# -- objects ------------------------------------------------------------------------------------


def stripe_customer(id: str = "cus_1", *, email: str | None = None, name: str | None = None) -> Obj:
    """A customer."""
    return {"id": id, "object": "customer", "livemode": False, "email": email, "name": name}


def price(
    id: str = "price_pro",
    *,
    lookup_key: str | None = "pro_monthly",
    amount_minor: int = 999,
    currency: str = "eur",
    every: str | None = "month",
) -> Obj:
    """A price; one-time if `every` is None."""
    recurring = None if every is None else {"interval": every, "interval_count": 1}
    return {
        "id": id,
        "object": "price",
        "active": True,
        "currency": currency,
        "livemode": False,
        "lookup_key": lookup_key,
        "product": f"prod_{id}",
        "recurring": recurring,
        "type": "one_time" if recurring is None else "recurring",
        "unit_amount": amount_minor,
    }


def subscription_item(
    id: str = "si_1",
    *,
    of_price: Obj | None = None,
    quantity: int = 1,
    start: datetime = DEFAULT_START,
    days: int = 31,
) -> Obj:
    """An item whose present period is `days` long."""
    return {
        "id": id,
        "object": "subscription_item",
        "created": unix(start),
        "current_period_start": unix(start),
        "current_period_end": unix(start + timedelta(days=days)),
        "price": of_price or price(),
        "quantity": quantity,
    }


def subscription(
    id: str = "sub_1",
    *,
    customer: str = "cus_1",
    status: str = "active",
    items: Sequence[Obj] | None = None,
    start: datetime = DEFAULT_START,
    latest_invoice: Obj | str | None = None,
    **fields: object,
) -> Obj:
    """A subscription; `fields` are set on top, as Stripe writes them."""
    ended = unix(start) if status in ("canceled", "incomplete_expired") else None
    return {
        "id": id,
        "object": "subscription",
        "billing_cycle_anchor": unix(start),
        "cancel_at": None,
        "cancel_at_period_end": False,
        "collection_method": "charge_automatically",
        "created": unix(start),
        "customer": customer,
        "ended_at": ended,
        "items": _list([subscription_item(start=start)] if items is None else items),
        "latest_invoice": latest_invoice,
        "livemode": False,
        "pause_collection": None,
        "start_date": unix(start),
        "status": status,
        "trial_end": None,
        **fields,
    }


def invoice_line(
    id: str = "il_1",
    *,
    item: str = "si_1",
    of_subscription: str = "sub_1",
    price_id: str = "price_pro",
    amount_minor: int = 999,
    start: datetime = DEFAULT_START,
    days: int = 31,
    quantity: int = 1,
    proration: bool = False,
) -> Obj:
    """The line of a subscription item for a period of `days`."""
    details = {
        "proration": proration,
        "subscription": of_subscription,
        "subscription_item": item,
    }
    return {
        "id": id,
        "object": "line_item",
        "amount": amount_minor,
        "currency": "eur",
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
        "period": {"start": unix(start), "end": unix(start + timedelta(days=days))},
        "pricing": {"type": "price_details", "price_details": {"price": price_id}},
        "quantity": quantity,
    }


def invoice(
    id: str = "in_1",
    *,
    customer: str = "cus_1",
    status: str = "paid",
    of_subscription: str | None = "sub_1",
    lines: Sequence[Obj] | None = None,
    start: datetime = DEFAULT_START,
    **fields: object,
) -> Obj:
    """An invoice, with one line for the first item unless others are given."""
    lines = [invoice_line(start=start)] if lines is None else lines
    due = max(0, sum(line["amount"] for line in lines))
    final = None if status == "draft" else unix(start)
    details = {"subscription": of_subscription}
    return {
        "id": id,
        "object": "invoice",
        "amount_due": due,
        "amount_paid": due if status == "paid" else 0,
        "created": unix(start),
        "currency": "eur",
        "customer": customer,
        "due_date": None,
        "lines": _list(lines),
        "livemode": False,
        "parent": (
            None
            if of_subscription is None
            else {"type": "subscription_details", "subscription_details": details}
        ),
        "status": status,
        "status_transitions": {
            "finalized_at": final,
            "paid_at": final if status == "paid" else None,
        },
        **fields,
    }


def checkout_session(
    id: str = "cs_1",
    *,
    customer: str | None = "cus_1",
    mode: str = "payment",
    status: str = "complete",
    payment_status: str = "paid",
    of_price: Obj | None = None,
    quantity: int = 1,
    **fields: object,
) -> Obj:
    """A checkout session with one line, as it comes when its line items are asked for."""
    of_price = of_price or price("price_pack", lookup_key="topup_100", amount_minor=500, every=None)
    line = {"id": "li_1", "object": "item", "price": of_price, "quantity": quantity}
    return {
        "id": id,
        "object": "checkout.session",
        "amount_total": of_price["unit_amount"] * quantity,
        "client_reference_id": None,
        "created": unix(DEFAULT_START),
        "currency": of_price["currency"],
        "customer": customer,
        "line_items": _list([line]),
        "livemode": False,
        "mode": mode,
        "payment_intent": "pi_1" if mode == "payment" else None,
        "payment_status": payment_status,
        "status": status,
        "subscription": None,
        **fields,
    }


def _list(data: Sequence[Obj]) -> Obj:
    return {"object": "list", "data": list(data), "has_more": False}
