"""What `/v1/subscriptions` takes."""

from gatekeeper.testing.stripe.api.prices import PRICE_DATA
from gatekeeper.testing.stripe.billing import discounts, takings
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Flag,
    Integer,
    Kind,
    Many,
    Metadata,
    Moment,
    Text,
)

PRORATION = Choice(("always_invoice", "create_prorations", "none"))

_ITEM: dict[str, Kind] = {
    "metadata": Metadata(),
    "price": Text(),
    "price_data": PRICE_DATA,
    "quantity": Integer(0),
}

ITEM_CHANGE: dict[str, Kind] = {**_ITEM, "deleted": Flag(), "id": Text()}

DETAILS = Fields({"comment": Text(), "feedback": Text()})

_PAYMENT_SETTINGS = Fields(
    {
        "payment_method_types": Many(Choice(("card", "sepa_debit"))),
        "save_default_payment_method": Choice(("off", "on_subscription")),
    }
)

_END_BEHAVIOR = Fields({"missing_payment_method": Choice(("cancel", "create_invoice", "pause"))})

_COMMON: dict[str, Kind] = {
    "cancel_at": Moment(),
    "cancel_at_period_end": Flag(),
    "days_until_due": Integer(1),
    "default_payment_method": Text(),
    "description": Text(500),
    "discounts": discounts.GIVEN,
    "metadata": Metadata(),
    "off_session": Flag(),
    "payment_settings": _PAYMENT_SETTINGS,
    "proration_behavior": PRORATION,
    "trial_end": Moment(now=True),
}

CREATE: dict[str, Kind] = {
    **_COMMON,
    **takings.SUBSCRIPTION,
    "billing_mode": Fields({"type": Choice(("classic", "flexible"))}, ("type",)),
    "collection_method": Choice(("charge_automatically", "send_invoice")),
    "currency": Text(3),
    "customer": Text(),
    "items": Many(Fields(_ITEM), 20),
    "payment_behavior": Choice(("allow_incomplete", "default_incomplete", "error_if_incomplete")),
    "trial_period_days": Integer(0, 730),
    "trial_settings": Fields({"end_behavior": _END_BEHAVIOR}),
}

_PAUSE = Fields(
    {
        "behavior": Choice(("keep_as_draft", "mark_uncollectible", "void")),
        "resumes_at": Moment(),
    },
    ("behavior",),
)

UPDATE: dict[str, Kind] = {
    **_COMMON,
    "cancellation_details": DETAILS,
    "items": Many(Fields(ITEM_CHANGE), 20),
    "billing_cycle_anchor": Choice(("now", "unchanged")),
    "pause_collection": _PAUSE,
    "payment_behavior": Choice(
        (
            *("allow_incomplete", "default_incomplete", "error_if_incomplete"),
            "pending_if_incomplete",
        )
    ),
    "proration_date": Moment(),
}

RESUME: dict[str, Kind] = {
    "billing_cycle_anchor": Choice(("now", "unchanged")),
    "proration_behavior": PRORATION,
}
