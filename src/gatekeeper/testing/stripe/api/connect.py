"""`/v1/accounts` and their capabilities.

A request with a `Stripe-Account` header sees that account's own objects and no others (see
`State.of`). Simplified: nothing is required of an account, and it has what it asked for once it is
onboarded (`Simulator.onboard`), until a test says otherwise (`Simulator.set_capability`).
"""

from typing import Any

from gatekeeper.testing.stripe.api.account import account as own_account
from gatekeeper.testing.stripe.billing import accounts
from gatekeeper.testing.stripe.core.errors import invalid, no_access
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
from gatekeeper.testing.stripe.listing import list_params, page, whole
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

PATH = "/v1/accounts"

_REQUESTED = Fields({"requested": Flag()})

_CONTROLLER = Fields(
    {
        "fees": Fields({"payer": Choice(("account", "application"))}),
        "losses": Fields({"payments": Choice(("application", "stripe"))}),
        "requirement_collection": Choice(("application", "stripe")),
        "stripe_dashboard": Fields({"type": Choice(("express", "full", "none"))}),
    }
)


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/accounts`: one that has still to be onboarded; without `capabilities` it asks for
    card payments and transfers."""
    wanted = {
        name: bool((asked or {}).get("requested"))
        for name, asked in (params.get("capabilities") or {}).items()
    }
    names = [name for name, asked in wanted.items() if asked] or list(accounts.CAPABILITIES)
    if params.get("controller") and params.get("type"):
        raise invalid("You may only specify one of these parameters: controller, type.", "type")
    made = {
        **own_account(state, {}),
        "controller": accounts.controller(params.get("controller"), params.get("type")),
        "id": state.ids.new("acct"),
        "capabilities": dict.fromkeys(names, "inactive"),
        "charges_enabled": False,
        "country": params.get("country") or state.settings.country,
        "created": state.now(),
        "details_submitted": False,
        "email": params.get("email"),
        "metadata": merge_metadata({}, params.get("metadata")),
        "payouts_enabled": False,
        "requirements": accounts.requirements(accounts.ASKED),
        "type": params.get("type") or ("none" if params.get("controller") else "standard"),
    }
    return state.store.add("account", made, requested=dict.fromkeys(names, state.now()))


def _need(state: State, identifier: str) -> Obj:
    found = state.platform.store.find("account", identifier)
    if found is None or found.get("deleted"):
        raise no_access(identifier)
    return found


def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/accounts/{account}`; one that left the platform is a 403."""
    if identifier == state.settings.account_id:
        return own_account(state, params)
    return _need(state, identifier)


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/accounts/{account}`: its `account.updated` is the connected account's event."""
    found = _need(state, identifier)
    for name, asked in (params.get("capabilities") or {}).items():
        accounts.request(state, found, name, bool((asked or {}).get("requested")))
    with state.of(identifier).changing(found, "account.updated"):
        if "email" in params:
            found["email"] = params["email"]
        if "metadata" in params:
            found["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    return found


def delete(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`DELETE /v1/accounts/{account}`."""
    return state.platform.store.bury("account", _need(state, identifier))


def list_accounts(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/accounts`."""
    return page(PATH, state.store.all("account"), params)


def capabilities(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/accounts/{account}/capabilities`."""
    found = _need(state, identifier)
    rows = [accounts.capability(state, found, name) for name in accounts.named(state, found)]
    return whole(f"{PATH}/{identifier}/capabilities", rows)


def capability(state: State, params: dict[str, Any], identifier: str, name: str) -> Obj:
    """`GET /v1/accounts/{account}/capabilities/{capability}`."""
    return accounts.capability(state, _need(state, identifier), name)


def request_capability(state: State, params: dict[str, Any], identifier: str, name: str) -> Obj:
    """`POST /v1/accounts/{account}/capabilities/{capability}`."""
    found = _need(state, identifier)
    if params.get("requested") is not None:
        accounts.request(state, found, name, params["requested"])
    return accounts.capability(state, found, name)


def register(api: Api) -> None:
    """Declare the operations."""
    asking = Fields(dict.fromkeys(accounts.CAPABILITIES, _REQUESTED))
    change: dict[str, Kind] = {"capabilities": asking, "email": Text(), "metadata": Metadata()}
    kinds = Choice(("custom", "express", "standard"))
    fixed: dict[str, Kind] = {"controller": _CONTROLLER, "country": Text(2), "type": kinds}
    own = f"{PATH}/{{account}}"
    api.add("POST", PATH, create, Fields({**change, **fixed}))
    api.add("GET", PATH, list_accounts, list_params())
    api.add("GET", own, retrieve)
    api.add("POST", own, update, Fields(change))
    api.add("DELETE", own, delete)
    api.add("GET", f"{own}/capabilities", capabilities)
    api.add("GET", f"{own}/capabilities/{{capability}}", capability)
    api.add("POST", f"{own}/capabilities/{{capability}}", request_capability, _REQUESTED)
