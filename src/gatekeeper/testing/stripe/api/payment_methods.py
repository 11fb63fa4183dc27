"""`/v1/payment_methods`."""

from typing import Any

from gatekeeper.testing.stripe.api.customers import ADDRESS
from gatekeeper.testing.stripe.billing import methods
from gatekeeper.testing.stripe.billing.cards import (
    TOKENS,
    BankAccount,
    Card,
    bank_account_of,
    card_of,
)
from gatekeeper.testing.stripe.core.errors import ApiError, invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Integer,
    Kind,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import page, plain_list_params
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

BILLING = Fields({"address": ADDRESS, "email": Text(), "name": Text(), "phone": Text()})

_CARD = Fields(
    {
        "cvc": Text(4),
        "exp_month": Integer(1, 12),
        "exp_year": Integer(0, 9_999),
        "number": Text(32),
        "token": Text(),
    }
)

_TYPES = Choice(("card", "sepa_debit"))

_CREATE: dict[str, Kind] = {
    "billing_details": BILLING,
    "card": _CARD,
    "metadata": Metadata(),
    "sepa_debit": Fields({"iban": Text(34)}, ("iban",)),
    "type": _TYPES,
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/payment_methods`."""
    kind = params.get("type")
    if kind is None or params.get(kind) is None:
        raise missing_parameter(kind or "type")
    instrument: Card | BankAccount
    expires = None
    if kind == "sepa_debit":
        instrument = instrument_of(None, params["sepa_debit"]["iban"])
    else:
        instrument, expires = _card(params["card"])
    given: dict[str, Any] = params.get("billing_details") or {}
    billing = {key: value for key, value in given.items() if value is not None}
    if "address" in billing:
        billing["address"] = {key: billing["address"].get(key) for key in ADDRESS.kinds}
    return methods.new_method(
        state,
        instrument,
        expires=expires,
        billing=billing,
        metadata=merge_metadata({}, params.get("metadata")),
    )


def _card(given: dict[str, Any]) -> tuple[Card | BankAccount, tuple[int, int] | None]:
    if given.get("token") is not None:
        card = TOKENS.get(f"pm_card_{given['token'].removeprefix('tok_')}")
        if card is None:
            raise invalid(f"No such token: '{given['token']}'", "card[token]", "resource_missing")
        return card, None
    for name in ("number", "exp_month", "exp_year"):
        if given.get(name) is None:
            raise missing_parameter(f"card[{name}]")
    year = given["exp_year"]
    expires = (given["exp_month"], year if year > 99 else 2_000 + year)
    return instrument_of(given["number"], None), expires


def instrument_of(number: str | None, iban: str | None) -> Card | BankAccount:
    """The test card or test account; any other number is a card error, as in test mode."""
    found: Card | BankAccount | None = card_of(number) if number else bank_account_of(iban or "")
    if found is not None:
        return found
    if number:
        raise ApiError(
            402,
            "Your card number is incorrect.",
            type="card_error",
            code="incorrect_number",
            param="number",
        )
    raise invalid("The IBAN you entered is invalid.", "iban", "invalid_bank_account_iban")


def attach(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_methods/{payment_method}/attach`."""
    customer = state.store.need("customer", params["customer"], "customer")
    return methods.attach(state, identifier, customer)


def detach(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_methods/{payment_method}/detach`."""
    return methods.detach(state, state.store.need("payment_method", identifier))


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payment_methods/{payment_method}`: its metadata, and a card's expiry."""
    method = state.store.need("payment_method", identifier)
    renewed: dict[str, Any] = params.get("card") or {}
    if renewed and method["type"] != "card":
        raise invalid("Only a card can be renewed.", "card")
    with state.changing(method, "payment_method.updated"):
        if renewed:
            method["card"] = {**method["card"], **renewed}
        method["metadata"] = merge_metadata(method["metadata"], params.get("metadata"))
    return method


def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/payment_methods/{payment_method}`; ready-made names answer a fresh example."""
    if identifier in TOKENS:
        return methods.new_method(state, TOKENS[identifier])
    return state.store.need("payment_method", identifier)


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/payment_methods`: a customer's."""
    customer = params.get("customer")
    if customer is None:
        raise missing_parameter("customer")
    return of_customer(state, params, customer)


def of_customer(state: State, params: dict[str, Any], customer: str) -> Obj:
    """`GET /v1/customers/{customer}/payment_methods`."""
    state.store.need("customer", customer, "customer")
    kind = params.get("type")
    rows = state.store.where("payment_method", customer=customer)
    rows = [method for method in rows if kind in (None, method["type"])]
    return page("/v1/payment_methods", rows, params)


def register(api: Api) -> None:
    """Declare the operations."""
    path, own = "/v1/payment_methods", "/v1/payment_methods/{payment_method}"
    api.add("POST", path, create, Fields(_CREATE))
    api.add("GET", path, list_all, plain_list_params(customer=Text(), type=_TYPES))
    api.add("GET", own, retrieve)
    expiry = Fields({"exp_month": Integer(1, 12), "exp_year": Integer(2_000, 2_999)})
    api.add("POST", own, update, Fields({"card": expiry, "metadata": Metadata()}))
    api.add("POST", f"{own}/attach", attach, Fields({"customer": Text()}, ("customer",)))
    api.add("POST", f"{own}/detach", detach)
    api.add(
        "GET",
        "/v1/customers/{customer}/payment_methods",
        of_customer,
        plain_list_params(type=_TYPES),
    )
