"""`/v1/payouts`."""

from typing import Any

from gatekeeper.testing.stripe.billing import payouts
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Currency,
    Fields,
    Integer,
    Kind,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params
from gatekeeper.testing.stripe.routing import Api, listed, one_of
from gatekeeper.testing.stripe.state import State

PATH = "/v1/payouts"

_CREATE: dict[str, Kind] = {
    "amount": Integer(1),
    "currency": Currency(),
    "description": Text(),
    "metadata": Metadata(),
    "method": Choice(("instant", "standard")),
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/payouts`."""
    return payouts.pay_out(
        state,
        params["amount"],
        params["currency"],
        description=params.get("description"),
        metadata=params.get("metadata"),
        method=params.get("method") or "standard",
    )


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payouts/{payout}`: its metadata."""
    found = state.store.need("payout", identifier)
    with state.changing(found, "payout.updated"):
        found["metadata"] = merge_metadata(found["metadata"], params.get("metadata"))
    return found


def cancel(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/payouts/{payout}/cancel`."""
    return payouts.cancel(state, state.store.need("payout", identifier))


def register(api: Api) -> None:
    """Declare the operations."""
    own = f"{PATH}/{{payout}}"
    api.add("POST", PATH, create, Fields(_CREATE, ("amount", "currency")))
    api.add("GET", PATH, listed("payout", PATH, "status"), list_params(status=Text()))
    api.add("GET", own, one_of("payout"))
    api.add("POST", own, update, Fields({"metadata": Metadata()}))
    api.add("POST", f"{own}/cancel", cancel)
