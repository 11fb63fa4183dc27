"""`/v1/transfers` and `/v1/application_fees`."""

from typing import Any

from gatekeeper.testing.stripe.billing import transfers
from gatekeeper.testing.stripe.billing.transfers import FEES, PATH
from gatekeeper.testing.stripe.core.errors import missing
from gatekeeper.testing.stripe.core.params import (
    Currency,
    Fields,
    Flag,
    Integer,
    Kind,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page, plain_list_params
from gatekeeper.testing.stripe.routing import Api, listed, one_of
from gatekeeper.testing.stripe.state import State

_CREATE: dict[str, Kind] = {
    "amount": Integer(1),
    "currency": Currency(),
    "description": Text(),
    "destination": Text(),
    "metadata": Metadata(),
    "source_transaction": Text(),
    "transfer_group": Text(),
}

_BACK: dict[str, Kind] = {"amount": Integer(1), "metadata": Metadata()}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/transfers`: money of the platform to a connected account."""
    account = transfers.destination(state, params["destination"], "destination")
    source = None
    if params.get("source_transaction") is not None:
        source = state.store.need("charge", params["source_transaction"], "source_transaction")
    fields = {
        name: params[name]
        for name in ("description", "transfer_group")
        if params.get(name) is not None
    }
    return transfers.transfer(
        state,
        account,
        params["amount"],
        params["currency"],
        source=source,
        metadata=merge_metadata({}, params.get("metadata")),
        **fields,
    )


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/transfers/{transfer}`."""
    found = state.store.need("transfer", identifier)
    with state.changing(found, "transfer.updated"):
        if "description" in params:
            found["description"] = params["description"]
        found["metadata"] = merge_metadata(found["metadata"], params.get("metadata"))
    return found


def reverse(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/transfers/{id}/reversals`; its share of the application fee too, if asked."""
    found = state.store.need("transfer", identifier)
    metadata = merge_metadata({}, params.get("metadata"))
    made = transfers.reverse(state, found, params.get("amount"), metadata=metadata)
    fees = state.store.where("application_fee", charge=found["destination_payment"])
    if params.get("refund_application_fee") and fees:
        left = fees[0]["amount"] - fees[0]["amount_refunded"]
        part = fees[0]["amount"] * made["amount"] // found["amount"]
        if part:
            transfers.refund_fee(state, fees[0], left if found["reversed"] else min(part, left))
    return made


def list_reversals(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/transfers/{id}/reversals`."""
    found = state.store.need("transfer", identifier)
    return page(f"{PATH}/{identifier}/reversals", found["reversals"]["data"], params)


def refund_fee(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/application_fees/{id}/refunds`."""
    fee = state.store.need("application_fee", identifier)
    metadata = merge_metadata({}, params.get("metadata"))
    return transfers.refund_fee(state, fee, params.get("amount"), metadata)


def list_fee_refunds(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/application_fees/{id}/refunds`."""
    fee = state.store.need("application_fee", identifier)
    return page(f"{FEES}/{identifier}/refunds", fee["refunds"]["data"], params)


def _part_of(kind: str, field: str) -> Any:
    """One part, which the path names within its whole."""

    def handler(state: State, params: dict[str, Any], whole: str, identifier: str) -> Obj:
        part = state.store.need(kind, identifier)
        if part[field] != whole:
            raise missing(kind, identifier)
        return part

    return handler


def register(api: Api) -> None:
    """Declare the operations."""
    own = f"{PATH}/{{transfer}}"
    names = ("destination", "transfer_group")
    filters: dict[str, Kind] = dict.fromkeys(names, Text())
    api.add("POST", PATH, create, Fields(_CREATE, ("amount", "currency", "destination")))
    api.add("GET", PATH, listed("transfer", PATH, *names), list_params(**filters))
    api.add("GET", own, one_of("transfer"))
    api.add("POST", own, update, Fields({"description": Text(), "metadata": Metadata()}))
    back = {**_BACK, "refund_application_fee": Flag()}
    reversals = f"{PATH}/{{id}}/reversals"
    api.add("POST", reversals, reverse, Fields(back))
    api.add("GET", reversals, list_reversals, plain_list_params())
    one_reversal = f"{PATH}/{{transfer}}/reversals/{{id}}"
    api.add("GET", one_reversal, _part_of("transfer_reversal", "transfer"))
    fees = listed("application_fee", FEES, "charge")
    api.add("GET", FEES, fees, list_params(charge=Text()))
    api.add("GET", f"{FEES}/{{id}}", one_of("application_fee"))
    api.add("POST", f"{FEES}/{{id}}/refunds", refund_fee, Fields(_BACK))
    api.add("GET", f"{FEES}/{{id}}/refunds", list_fee_refunds, plain_list_params())
    api.add("GET", f"{FEES}/{{fee}}/refunds/{{id}}", _part_of("fee_refund", "fee"))
