"""`/v1/refunds` and `/v1/charges`."""

from typing import Any

from gatekeeper.testing.stripe.billing import refunds
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Flag,
    Integer,
    Kind,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, whole
from gatekeeper.testing.stripe.routing import Api, listed, one_of
from gatekeeper.testing.stripe.state import State

PATH = "/v1/refunds"
CHARGES = "/v1/charges"

_CREATE: dict[str, Kind] = {
    "amount": Integer(1),
    "charge": Text(),
    "metadata": Metadata(),
    "payment_intent": Text(),
    "refund_application_fee": Flag(),
    "reverse_transfer": Flag(),
    "reason": Choice(("duplicate", "fraudulent", "requested_by_customer")),
}

_CHARGE: dict[str, Kind] = {"description": Text(), "metadata": Metadata(), "receipt_email": Text()}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/refunds`: of a charge, or of the charge behind an intent."""
    if params.get("charge") is not None:
        charge = state.store.need("charge", params["charge"])  # a 404 too, as at Stripe
    elif params.get("payment_intent") is not None:
        intent = state.store.need("payment_intent", params["payment_intent"], "payment_intent")
        found = state.store.find("charge", intent["latest_charge"])
        if found is None:
            raise invalid(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
            )
        charge = found
    else:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or"
            " charge."
        )
    metadata = merge_metadata({}, params.get("metadata"))
    return refunds.refund(state, charge, {**params, "metadata": metadata})


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/refunds/{refund}`: its metadata."""
    refund = state.store.need("refund", identifier)
    with state.changing(refund, "refund.updated"):
        refund["metadata"] = merge_metadata(refund["metadata"], params.get("metadata"))
    return refund


def cancel(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/refunds/{refund}/cancel`: only while it waits for the customer."""
    refund = state.store.need("refund", identifier)
    if refund["status"] != "requires_action":
        raise invalid("Canceling this refund is unsupported.")
    return refunds.cancel(state, refund)


def update_charge(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/charges/{charge}`."""
    charge = state.store.need("charge", identifier)
    with state.changing(charge, "charge.updated"):
        for key in ("description", "receipt_email"):
            if key in params:
                charge[key] = params[key]
        if "metadata" in params:
            charge["metadata"] = merge_metadata(charge["metadata"], params["metadata"])
    return charge


def refunds_of(state: State, charge: Obj) -> Obj:
    """The includable `refunds` of a charge."""
    rows = state.store.where("refund", charge=charge["id"])
    return whole(f"{CHARGES}/{charge['id']}/refunds", rows[:10], more=len(rows) > 10)


def register(api: Api) -> None:
    """Declare the operations."""
    of = ("charge", "payment_intent")
    own = f"{PATH}/{{refund}}"
    filters: dict[str, Kind] = dict.fromkeys(of, Text())
    api.add("POST", PATH, create, Fields(_CREATE))
    api.add("GET", PATH, listed("refund", PATH, *of), list_params(**filters))
    api.add("GET", own, one_of("refund"))
    api.add("POST", own, update, Fields({"metadata": Metadata()}))
    api.add("POST", f"{own}/cancel", cancel)
    names = ("customer", "payment_intent", "transfer_group")
    filters = dict.fromkeys(names, Text())
    api.add("GET", CHARGES, listed("charge", CHARGES, *names), list_params(**filters))
    api.add("GET", f"{CHARGES}/{{charge}}", one_of("charge"))
    api.add("POST", f"{CHARGES}/{{charge}}", update_charge, Fields(_CHARGE))
    api.expander.includable("charge", "refunds", refunds_of)
