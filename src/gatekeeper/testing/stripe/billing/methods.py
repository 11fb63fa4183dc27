"""Payment methods: made, attached to customers, taken off again."""

from typing import Any

from gatekeeper.testing.stripe.billing.cards import TOKENS, BankAccount, Card
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

NO_BILLING_DETAILS: Obj = {
    "address": dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state")),
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def new_method(
    state: State,
    instrument: Card | BankAccount,
    *,
    expires: tuple[int, int] | None = None,
    billing: dict[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
) -> Obj:
    """A payment method that is attached to nobody; `expires` is (month, year)."""
    details = {**NO_BILLING_DETAILS, **(billing or {})}
    if isinstance(instrument, Card):
        kind, own = "card", _card(state, instrument, expires)
    else:
        kind, own = "sepa_debit", _sepa_debit(state, instrument)
    method: Obj = {
        "id": state.ids.new("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": details,
        "created": state.now(),
        "customer": None,
        "customer_account": None,
        kind: own,
        "livemode": state.settings.livemode,
        "metadata": metadata or {},
        "type": kind,
    }
    return state.store.add("payment_method", method, instrument=instrument, authenticated=False)


def _card(state: State, card: Card, expires: tuple[int, int] | None) -> Obj:
    month, year = expires or (12, state.clock.utc().year + 3)
    return {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": f"fp{card.number[-8:]}Simulator"[:16],
        "funding": card.funding,
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _sepa_debit(state: State, account: BankAccount) -> Obj:
    return {
        "bank_code": account.iban[4:12],
        "branch_code": "",
        "country": account.iban[:2],
        "fingerprint": f"fp{account.iban[-8:]}Simulator"[:16],
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": account.last4,
    }


def usable(state: State, identifier: str, param: str, customer: str | None = None) -> Obj | Card:
    """The payment method (or the ready-made test card of that name) for `customer` to pay with.

    One that belongs to another customer is refused, as Stripe refuses it.
    """
    if identifier in TOKENS:
        return TOKENS[identifier]
    method = state.store.need("payment_method", identifier, param)
    if method["customer"] is not None and method["customer"] != customer:
        raise invalid("The payment method you provided is attached to another customer.", param)
    return method


def concrete(state: State, identifier: str, param: str, customer: str | None = None) -> Obj:
    """As `usable`; a ready-made test card becomes a payment method of its own, as at Stripe."""
    found = usable(state, identifier, param, customer)
    return new_method(state, found) if isinstance(found, Card) else found


def attachable(state: State, identifier: str, customer: str | None = None) -> Obj:
    """As `concrete`, for keeps: a card that declines at once is a 402."""
    method = concrete(state, identifier, "payment_method", customer)
    instrument: Card | BankAccount = state.store.hidden(method)["instrument"]
    if isinstance(instrument, Card) and not instrument.attachable and instrument.decline:
        raise declined(instrument.decline)
    return method


def attach(state: State, identifier: str, customer: Obj) -> Obj:
    """Let a customer keep a payment method, if it is `attachable`."""
    method = attachable(state, identifier, customer["id"])
    if method["customer"] is None:
        method["customer"] = customer["id"]
        state.emit("payment_method.attached", method)
    return method


def detach(state: State, method: Obj) -> Obj:
    """Take a payment method off its customer for good, as default too."""
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer.")
    customer = state.store.get("customer", method["customer"])
    with state.changing(method) as changed:
        changed["customer"] = None
    state.emit("payment_method.detached", method, {"customer": customer["id"]})
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        with state.changing(customer, "customer.updated"):
            customer["invoice_settings"]["default_payment_method"] = None
    for subscription in state.store.where("subscription", default_payment_method=method["id"]):
        with state.changing(subscription, "customer.subscription.updated"):
            subscription["default_payment_method"] = None
    return method


def declined(decline: tuple[str, str | None, str], **extra: Any) -> ApiError:
    """A 402 `card_error`."""
    code, decline_code, message = decline
    return ApiError(
        402, message, type="card_error", code=code, decline_code=decline_code, extra=extra
    )
