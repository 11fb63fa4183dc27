"""`POST /v1/checkout/sessions`: what it accepts, and the session that it makes."""

from typing import Any

from gatekeeper.testing.stripe.api.prices import new_price
from gatekeeper.testing.stripe.billing import (
    baskets,
    checkout,
    checkout_setups,
    takings,
)
from gatekeeper.testing.stripe.billing.lines import cost
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS, MINUTE_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import (
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/checkout/sessions`."""
    mode = params.get("mode") or _mode_missing()
    _check(state, params, mode)
    rows = [
        _row(state, line, mode, f"line_items[{index}]")
        for index, line in enumerate(params.get("line_items") or [])
    ]
    currency = _currency(params, rows)
    total = sum(row["amount_total"] for row in rows) if rows else None
    takings.terms(state, _data(params, "payment_intent_data"), total or 0)
    takings.subscription_terms(state, _data(params, "subscription_data"))
    session = _session(state, params, mode, currency, total)
    state.store.add(
        "checkout.session",
        session,
        line_items=rows,
        subscription_data=_data(params, "subscription_data"),
        payment_intent_data=_data(params, "payment_intent_data"),
        intent=None,
        new_customer=None,
        method=None,
        details=None,
        reductions=[],
    )
    if mode == "setup":
        checkout_setups.begin(state, session, _data(params, "setup_intent_data"))
    if params.get("discounts"):
        baskets.give(state, session, params["discounts"], checkout.due_now(state, session))
    baskets.check_total(session)
    state.agenda.at(session["expires_at"], lambda: checkout.expire_if_open(state, session))
    return session


def _currency(params: dict[str, Any], rows: list[Obj]) -> str | None:
    currencies = {row["currency"] for row in rows}
    if len(currencies) > 1:
        raise invalid("All line items must have the same currency.", "line_items")
    asked: str | None = params.get("currency")
    currency = currencies.pop() if currencies else asked
    if asked not in (None, currency):
        raise invalid(f"The prices are in {currency}.", "currency")
    return currency


def _mode_missing() -> str:
    raise missing_parameter("mode")


def _check(state: State, params: dict[str, Any], mode: str) -> None:
    _check_lines(params, mode)
    hosted = params.get("ui_mode") in (None, "hosted_page")
    wanted, other = ("success_url", "return_url") if hosted else ("return_url", "success_url")
    if params.get(wanted) is None:
        raise missing_parameter(wanted)
    if params.get(other) is not None:
        raise invalid(f"You may not pass `{other}` in this `ui_mode`.", other)
    if params.get("discounts") and params.get("allow_promotion_codes") is not None:
        raise invalid(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.",
            "allow_promotion_codes",
        )
    if params.get("customer") is not None:
        state.store.need("customer", params["customer"], "customer")
        if params.get("customer_email") is not None:
            raise invalid(
                "You may only specify one of these parameters: customer, customer_email.",
                "customer",
            )
    for name, only in (
        ("subscription_data", "subscription"),
        ("payment_intent_data", "payment"),
        ("setup_intent_data", "setup"),
    ):
        if params.get(name) and mode != only:
            raise invalid(f"You can not pass `{name}` in `{mode}` mode.", name)
    if params.get("customer_creation") and mode == "subscription":
        raise invalid(
            "`customer_creation` can only be used in `payment` and `setup` mode.",
            "customer_creation",
        )
    expires = params.get("expires_at")
    soonest = state.now() + 30 * MINUTE_SECONDS
    if expires is not None and not soonest - 5 <= expires <= state.now() + DAY_SECONDS:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from"
            " Checkout Session creation.",
            "expires_at",
        )


def _check_lines(params: dict[str, Any], mode: str) -> None:
    if mode != "setup":
        if not params.get("line_items"):
            raise missing_parameter("line_items")
        return
    for name in ("line_items", "discounts", "allow_promotion_codes"):
        if params.get(name) is not None:
            raise invalid(f"You can not pass `{name}` in `setup` mode.", name)
    if params.get("currency") is None and not params.get("payment_method_types"):
        raise missing_parameter("currency")


def _data(params: dict[str, Any], name: str) -> dict[str, Any]:
    given: dict[str, Any] = params.get(name) or {}
    return {**given, "metadata": merge_metadata({}, given.get("metadata"))}


def _row(state: State, line: dict[str, Any], mode: str, path: str) -> Obj:
    if line.get("price") is not None:
        price = state.store.need("price", line["price"], f"{path}[price]")
    elif line.get("price_data") is not None:
        price = new_price(state, line["price_data"], f"{path}[price_data]")
    else:
        raise missing_parameter(f"{path}[price]")
    recurring = price["recurring"]
    if not price["active"]:
        raise invalid(f"The price specified is inactive: {price['id']}", f"{path}[price]")
    if mode == "payment" and recurring is not None:
        raise invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to"
            " `subscription` mode or use only one-time prices.",
            f"{path}[price]",
        )
    if mode == "subscription" and recurring is None:
        raise invalid(
            "The simulator's subscription mode takes recurring prices only.", f"{path}[price]"
        )
    metered = recurring is not None and recurring["usage_type"] == "metered"
    quantity = line.get("quantity")
    if metered and quantity is not None:
        raise invalid("Quantity should not be specified for metered prices.", f"{path}[quantity]")
    if not metered and not quantity:
        raise missing_parameter(f"{path}[quantity]")
    amount = 0 if metered else cost(price, quantity)
    return {
        "id": state.ids.new("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": state.store.get("product", price["product"])["name"],
        "metadata": {},
        "price": price,
        "quantity": None if metered else quantity,
    }


def _session(
    state: State, params: dict[str, Any], mode: str, currency: str | None, total: int | None
) -> Obj:
    live = "live" if state.settings.livemode else "test"
    identifier = state.ids.new(f"cs_{live}")
    creation = params.get("customer_creation") or "if_required"
    types = params.get("payment_method_types") or ["card", "sepa_debit"]
    page = params.get("ui_mode") or "hosted_page"
    hosted = page == "hosted_page"
    return {
        "id": identifier,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None if hosted else f"{identifier}_secret_{state.ids.token(40)}",
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": state.now(),
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer": params.get("customer"),
        "customer_account": None,
        "customer_creation": creation if mode != "subscription" else None,
        "customer_details": None,
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "excluded_payment_method_types": [],
        "expires_at": params.get("expires_at") or state.now() + DAY_SECONDS,
        "invoice": None,
        "invoice_creation": None,
        "livemode": state.settings.livemode,
        "locale": params.get("locale"),
        "metadata": merge_metadata({}, params.get("metadata")),
        "mode": mode,
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": (
            params.get("payment_method_collection") or "always" if mode == "subscription" else None
        ),
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": types,
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        **({} if hosted else {"return_url": params["return_url"]}),
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "subscription": None,
        "success_url": params.get("success_url"),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": page,
        "url": f"{state.base_url}/c/pay/{identifier}" if hosted else None,
        "wallet_options": None,
    }
