"""What `POST /v1/checkout/sessions` takes."""

from gatekeeper.testing.stripe.api.prices import PRICE_DATA
from gatekeeper.testing.stripe.billing import discounts, takings
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Currency,
    Fields,
    Flag,
    Integer,
    Kind,
    Many,
    Metadata,
    Moment,
    Text,
)

_ADJUSTABLE = Fields({"enabled": Flag(), "maximum": Integer(0), "minimum": Integer(0)})

_LINE = Fields(
    {
        "adjustable_quantity": _ADJUSTABLE,
        "price": Text(),
        "price_data": PRICE_DATA,
        "quantity": Integer(0),
    }
)

_END_BEHAVIOR = Fields({"missing_payment_method": Choice(("cancel", "create_invoice", "pause"))})

_SUBSCRIPTION_DATA = Fields(
    {
        **takings.SUBSCRIPTION,
        "description": Text(500),
        "metadata": Metadata(),
        "trial_end": Moment(),
        "trial_period_days": Integer(1, 730),
        "trial_settings": Fields({"end_behavior": _END_BEHAVIOR}),
    }
)

_INTENT_DATA = Fields(
    {
        **takings.PARAMS,
        "capture_method": Choice(("automatic", "automatic_async", "manual")),
        "description": Text(1_000),
        "metadata": Metadata(),
        "receipt_email": Text(),
        "setup_future_usage": Choice(("off_session", "on_session")),
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
    }
)

_SETUP_DATA = Fields({"description": Text(1_000), "metadata": Metadata()})

CREATE: dict[str, Kind] = {
    "allow_promotion_codes": Flag(),
    "automatic_tax": Fields({"enabled": Flag()}),
    "billing_address_collection": Choice(("auto", "required")),
    "cancel_url": Text(),
    "client_reference_id": Text(200),
    "currency": Currency(),
    "customer": Text(),
    "customer_creation": Choice(("always", "if_required")),
    "customer_email": Text(800),
    "customer_update": Fields({"address": Text(), "name": Text(), "shipping": Text()}),
    "discounts": discounts.NEW,
    "expires_at": Moment(),
    "line_items": Many(_LINE),
    "locale": Text(),
    "metadata": Metadata(),
    "mode": Choice(("payment", "setup", "subscription")),
    "payment_intent_data": _INTENT_DATA,
    "payment_method_collection": Choice(("always", "if_required")),
    "payment_method_types": Many(Choice(("card", "sepa_debit"))),
    "return_url": Text(),
    "setup_intent_data": _SETUP_DATA,
    "submit_type": Choice(("auto", "book", "donate", "pay", "subscribe")),
    "subscription_data": _SUBSCRIPTION_DATA,
    "success_url": Text(),
    "ui_mode": Choice(("elements", "embedded_page", "hosted_page")),
}
