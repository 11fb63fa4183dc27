"""What Stripe is asked for to pay an order: from the order's own row alone."""

import hashlib
from typing import Any, Final

import msgspec

from gatekeeper.storage.orders import Order
from gatekeeper.stripe.checkout_params import with_purchase
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.orders.values import PayOptions

REQUEST: Final = "gatekeeper_request"
"""The key of metadata by which a payment or session is found again whose making was not heard
of."""

TERMS: Final = "gatekeeper_terms"
"""The key of a session's metadata by which it is known to be for what is asked now."""

ORDER_ID: Final = "{ORDER_ID}"
"""What stands for the order's id in a success URL."""


def noted(order: Order, request: str | None = None) -> dict[str, str]:
    """The host's metadata, and ours: for people. Nothing is read from it but by `REQUEST`."""
    words = msgspec.json.decode(order.metadata, type=dict[str, str])
    own = {"gatekeeper_order": order.id}
    return {**words, **own, **({} if request is None else {REQUEST: request})}


def is_ours(found: Obj) -> bool:
    """Whether a payment was made by us: one of a checkout session's can't be gone on with in the
    host's page."""
    return REQUEST in (found.get("metadata") or {})


def key_of(*parts: object) -> str:
    """An idempotency key that everybody derives who asks for the same."""
    return f"gatekeeper-order-{hashlib.sha256(repr(parts).encode()).hexdigest()[:40]}"


def terms_of(order: Order, destination: str | None) -> dict[str, Any]:
    """What of a payment the order decides, but for its amount and currency.

    Args:
        destination: the connected account of the order's seller.
    """
    found: dict[str, Any] = {"capture_method": order.capture}
    if order.description is not None:
        found["description"] = order.description
    if destination is None:
        return found
    if order.transfers == "separate":
        return {**found, "transfer_group": order.id}
    found["transfer_data"] = {"destination": destination}
    if order.commission_minor:
        found["application_fee_amount"] = order.commission_minor
    return found


def _terms_key(
    order: Order, destination: str | None, options: PayOptions, urls: tuple[str, str]
) -> str:
    """The same for the same order, priced at the same time, with the same options and URLs."""
    return key_of("terms", order.id, order.revision, destination, options, urls)


def creation(
    order: Order, stripe_customer: str, destination: str | None, request: str
) -> dict[str, Any]:
    """The parameters of a new payment intent."""
    return {
        "amount": order.amount_minor,
        "currency": order.currency,
        "customer": stripe_customer,
        "automatic_payment_methods": {"enabled": True},
        "metadata": noted(order, request),
        **terms_of(order, destination),
    }


def changes(order: Order, found: Obj, options: PayOptions) -> dict[str, Any]:
    """What has to be changed of a payment intent that can be brought to an order; empty if nothing
    (https://docs.stripe.com/api/payment_intents/update)."""
    wanted: dict[str, Any] = {
        "amount": order.amount_minor,
        "currency": order.currency,
        "description": order.description,
        "receipt_email": options.receipt_email or found.get("receipt_email"),
        "setup_future_usage": options.save_card or found.get("setup_future_usage"),
    }
    changed = {
        name: "" if value is None else value
        for name, value in wanted.items()
        if found.get(name) != value
    }
    now, words = found.get("metadata") or {}, noted(order)
    gone = {name: "" for name in now if name not in words and name != REQUEST}
    if gone or any(now.get(name) != value for name, value in words.items()):
        changed["metadata"] = {**words, **gone}
    return changed


def can_be_changed(order: Order, found: Obj, destination: str | None) -> bool:
    """Whether a payment intent can be brought to the order: else another one is made."""
    terms = terms_of(order, destination)
    share = (found.get("transfer_data") or {}).get("destination")
    is_held = found.get("capture_method") == "manual"  # "automatic_async" is not
    own = (is_held, share, found.get("application_fee_amount"), found.get("transfer_group"))
    return own == (
        order.capture == "manual",
        (terms.get("transfer_data") or {}).get("destination"),
        terms.get("application_fee_amount"),
        terms.get("transfer_group"),
    )


def session(
    order: Order,
    stripe_customer: str,
    destination: str | None,
    options: PayOptions,
    urls: tuple[str, str],
    request: str,
) -> dict[str, Any]:
    """The parameters of a checkout session whose one line is the order
    (https://docs.stripe.com/api/checkout/sessions/create)."""
    success_url, cancel_url = urls
    intent: dict[str, Any] = {"metadata": noted(order), **terms_of(order, destination)}
    given = {"receipt_email": options.receipt_email, "setup_future_usage": options.save_card}
    intent |= {name: value for name, value in given.items() if value is not None}
    product = {"name": order.description or "Order"}
    price = {
        "currency": order.currency,
        "unit_amount": order.amount_minor,
        "product_data": product,
    }
    return {
        "mode": "payment",
        "customer": stripe_customer,
        "client_reference_id": order.id,
        "line_items": [{"price_data": price, "quantity": 1}],
        "metadata": {**noted(order, request), TERMS: _terms_key(order, destination, options, urls)},
        "payment_intent_data": intent,
        "success_url": with_purchase(success_url, order.id).replace(ORDER_ID, order.id),
        "cancel_url": cancel_url,
    }
