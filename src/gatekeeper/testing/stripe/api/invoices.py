"""`/v1/invoices` and `/v1/invoice_payments`."""

from typing import Any

from gatekeeper.testing.stripe.billing import invoices, renewals, subscriptions
from gatekeeper.testing.stripe.billing.methods import concrete
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Flag,
    Kind,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page, plain_list_params, whole
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

_UPDATE: dict[str, Kind] = {
    "auto_advance": Flag(),
    "default_payment_method": Text(),
    "description": Text(1_500),
    "metadata": Metadata(),
}

_PAY = Fields({"off_session": Flag(), "paid_out_of_band": Flag(), "payment_method": Text()})

_STATUS = Choice(("draft", "open", "paid", "uncollectible", "void"))


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/invoices/{invoice}`."""
    invoice = state.store.need("invoice", identifier)
    with state.changing(invoice, "invoice.updated"):
        for key in ("auto_advance", "default_payment_method", "description"):
            if key in params:
                invoice[key] = params[key]
        if "metadata" in params:
            invoice["metadata"] = merge_metadata(invoice["metadata"], params["metadata"])
    return invoice


def finalize(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/invoices/{invoice}/finalize`; with `auto_advance` it is collected as well."""
    invoice = state.store.need("invoice", identifier)
    subscription = invoices.subscription_of(state, invoice)
    if params.get("auto_advance") is not None:
        invoice["auto_advance"] = params["auto_advance"]
    invoices.finalize(state, invoice)
    if invoice["auto_advance"] and invoice["status"] == "open" and subscription is not None:
        renewals.collect(state, subscription, invoice)
    return invoice


def pay(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/invoices/{invoice}/pay`."""
    invoice = state.store.need("invoice", identifier)
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] == "draft":
        invoices.finalize(state, invoice)
    if invoice["status"] not in ("open", "uncollectible"):
        return invoice if invoice["status"] == "paid" else _unpayable(invoice)
    if params.get("paid_out_of_band"):
        invoices.pay_out_of_band(state, invoice)
        return invoice
    invoice["status"] = "open"
    method = _method(state, invoice, params.get("payment_method"))
    off_session = params.get("off_session")
    refusal = invoices.collect(
        state, invoice, method, off_session=True if off_session is None else off_session
    )
    if refusal is not None:
        raise refusal
    return invoice


def _unpayable(invoice: Obj) -> Obj:
    raise invalid(f"Invoice is {invoice['status']} and cannot be paid.")


def _method(state: State, invoice: Obj, given: str | None) -> Obj | None:
    if given is not None:
        return concrete(state, given, "payment_method", invoice["customer"])
    subscription = invoices.subscription_of(state, invoice)
    if subscription is not None:
        return subscriptions.method_of(state, subscription)
    customer = state.store.get("customer", invoice["customer"])
    default = customer["invoice_settings"]["default_payment_method"]
    return state.store.find("payment_method", default)


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/invoices`."""
    names = ("collection_method", "customer", "status")
    exact = {name: params[name] for name in names if params.get(name) is not None}
    subscription = params.get("subscription")
    rows = [
        invoice
        for invoice in state.store.where("invoice", **exact)
        if subscription in (None, state.store.hidden(invoice)["subscription"])
    ]
    return page("/v1/invoices", rows, params)


def list_lines(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/invoices/{invoice}/lines`, in the invoice's order."""
    invoice = state.store.need("invoice", identifier)
    return page(f"/v1/invoices/{identifier}/lines", invoice["lines"]["data"], params)


def list_payments(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/invoice_payments`: which invoice an intent paid, and the other way round."""
    names = ("invoice", "status")
    exact = {name: params[name] for name in names if params.get(name) is not None}
    intent = (params.get("payment") or {}).get("payment_intent")
    rows = [
        payment
        for payment in state.store.where("invoice_payment", **exact)
        if intent in (None, payment["payment"]["payment_intent"])
    ]
    return page("/v1/invoice_payments", rows, params)


def register(api: Api) -> None:
    """Declare the operations."""

    def one(kind: str) -> Any:
        return lambda state, params, identifier: state.store.need(kind, identifier)

    def act(function: Any) -> Any:
        return lambda state, params, identifier: function(
            state, state.store.need("invoice", identifier)
        )

    def included(state: State, invoice: Obj) -> Obj:
        return whole("/v1/invoice_payments", invoices.payments_of(state, invoice))

    path, own = "/v1/invoices", "/v1/invoices/{invoice}"
    methods = Choice(("charge_automatically", "send_invoice"))
    filters: dict[str, Kind] = {"collection_method": methods, "customer": Text()}
    api.add("GET", path, list_all, list_params(**filters, status=_STATUS, subscription=Text()))
    api.add("GET", own, one("invoice"))
    api.add("POST", own, update, Fields(_UPDATE))
    api.add("POST", f"{own}/finalize", finalize, Fields({"auto_advance": Flag()}))
    api.add("POST", f"{own}/pay", pay, _PAY)
    api.add("POST", f"{own}/void", act(invoices.void))
    api.add("POST", f"{own}/mark_uncollectible", act(invoices.mark_uncollectible))
    api.add("GET", f"{own}/lines", list_lines, plain_list_params())
    payment = Fields({"payment_intent": Text(), "type": Choice(("payment_intent",))}, ("type",))
    api.add(
        "GET",
        "/v1/invoice_payments",
        list_payments,
        list_params(invoice=Text(), payment=payment, status=Choice(("canceled", "open", "paid"))),
    )
    api.add("GET", "/v1/invoice_payments/{invoice_payment}", one("invoice_payment"))
    api.expander.includable("invoice", "payments", included)
    api.expander.includable("invoice", "confirmation_secret", invoices.confirmation_secret)
