"""What a browser may do with the publishable key.

It may make a payment method, and read and confirm the one intent whose client secret it has; of an
intent it sees what Stripe.js hands out. Sources: Stripe's pages "API keys" and "How PaymentIntents
and SetupIntents work" (client secrets); Stripe.js reference, "The PaymentIntent object"
(publishable: a subset of the object's properties).
"""

from typing import Any

from gatekeeper.testing.stripe.core.errors import ApiError, missing_parameter
from gatekeeper.testing.stripe.core.forms import Raw
from gatekeeper.testing.stripe.core.store import Obj

_OF_AN_INTENT = frozenset(
    (kind, path)
    for intents in ("payment_intents", "setup_intents")
    for kind, path in (
        ("GET", f"/v1/{intents}/{{intent}}"),
        ("POST", f"/v1/{intents}/{{intent}}/confirm"),
    )
)
_ALLOWED = _OF_AN_INTENT | {("POST", "/v1/payment_methods")}

_MAY_SAY = frozenset(
    (
        *("client_secret", "expand", "payment_method", "receipt_email", "return_url"),
        *("setup_future_usage", "use_stripe_sdk"),
    )
)
"""Of a confirmation; whether nobody is there to authenticate, say, is the server's to say."""

_SHOWN = {
    "payment_intent": frozenset(
        "id object amount amount_details automatic_payment_methods canceled_at cancellation_reason"
        " capture_method client_secret confirmation_method created currency description"
        " last_payment_error livemode next_action payment_method"
        " payment_method_configuration_details payment_method_types processing receipt_email"
        " setup_future_usage shipping status".split()
    ),
    "setup_intent": frozenset(
        "id object automatic_payment_methods cancellation_reason client_secret created description"
        " last_setup_error livemode next_action payment_method"
        " payment_method_configuration_details payment_method_types status usage".split()
    ),
}


def check(method: str, path: str, form: dict[str, Raw]) -> None:
    """Refuse what needs the secret key."""
    if (method, path) not in _ALLOWED:
        raise ApiError(
            401,
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            code="secret_key_required",
        )
    if (method, path) in _OF_AN_INTENT:
        if not form.get("client_secret"):
            raise missing_parameter("client_secret")
        for name in sorted(set(form) - _MAY_SAY):
            raise ApiError(
                401,
                f"The parameter `{name}` cannot be used with a publishable API key.",
                code="secret_key_required",
                param=name,
            )


def shown(obj: Any) -> Any:
    """What a browser sees of an answer."""
    if not isinstance(obj, dict):
        return obj
    fields = _SHOWN.get(obj.get("object", ""))
    return obj if fields is None else {key: obj[key] for key in obj if key in fields}


def hide(error: ApiError) -> ApiError:
    """The same error with what a browser sees of the objects in it."""
    more: Obj = {key: shown(value) for key, value in error.extra.items()}
    error.extra = more
    return error
