"""`/v1/accounts` and `/v1/transfers`: Connect.

A request with a `Stripe-Account` header sees that account's own objects and no others (see
`State.of`). Simplified: accounts have every capability once they are onboarded
(`Simulator.onboard`), transfers need no balance, and leave no payment at their destination.
"""

from typing import Any

from gatekeeper.testing.stripe.api.account import account as own_account
from gatekeeper.testing.stripe.core.errors import invalid
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
from gatekeeper.testing.stripe.listing import list_params, page, plain_list_params, whole
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

PATH = "/v1/accounts"
TRANSFERS = "/v1/transfers"


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/accounts`: one that has still to be onboarded."""
    made = {
        **own_account(state, {}),
        "id": state.ids.new("acct"),
        "capabilities": {"card_payments": "inactive", "transfers": "inactive"},
        "charges_enabled": False,
        "country": params.get("country") or state.settings.country,
        "created": state.now(),
        "details_submitted": False,
        "email": params.get("email"),
        "metadata": merge_metadata({}, params.get("metadata")),
        "payouts_enabled": False,
        "type": params.get("type") or "standard",
    }
    return state.store.add("account", made)


def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/accounts/{account}`."""
    if identifier == state.settings.account_id:
        return own_account(state, params)
    return state.store.need("account", identifier)


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/accounts/{account}`: its `account.updated` is the connected account's event."""
    found = state.store.need("account", identifier)
    with state.of(identifier).changing(found, "account.updated"):
        if "email" in params:
            found["email"] = params["email"]
        if "metadata" in params:
            found["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    return found


def onboard(state: State, identifier: str) -> Obj:
    """What the account's owner does on Stripe's pages: everything is enabled."""
    found = state.store.need("account", identifier)
    with state.of(identifier).changing(found, "account.updated"):
        found.update(charges_enabled=True, details_submitted=True, payouts_enabled=True)
        found["capabilities"] = {"card_payments": "active", "transfers": "active"}
    return found


def list_accounts(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/accounts`."""
    return page(PATH, state.store.all("account"), params)


def transfer(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/transfers`: money of the platform to a connected account."""
    destination = state.store.need("account", params["destination"], "destination")
    if destination["capabilities"]["transfers"] != "active":
        raise invalid(
            "Your destination account needs to have at least one of the following capabilities"
            " enabled: transfers, crypto_transfers, legacy_payments",
            "destination",
            "insufficient_capabilities_for_transfer",
        )
    source = params.get("source_transaction")
    if source is not None:
        state.store.need("charge", source, "source_transaction")
    identifier = state.ids.new("tr")
    made: Obj = {
        "id": identifier,
        "object": "transfer",
        "amount": params["amount"],
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": state.now(),
        "currency": params["currency"],
        "description": params.get("description"),
        "destination": destination["id"],
        "livemode": state.settings.livemode,
        "metadata": merge_metadata({}, params.get("metadata")),
        "reversals": whole(f"{TRANSFERS}/{identifier}/reversals", []),
        "reversed": False,
        "source_transaction": source,
        "source_type": "card",
        "transfer_group": params.get("transfer_group"),
    }
    state.store.add("transfer", made)
    state.emit("transfer.created", made)
    return made


def reverse(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/transfers/{id}/reversals`: all that is left of it, or `amount`."""
    found = state.store.need("transfer", identifier)
    left = found["amount"] - found["amount_reversed"]
    amount = params.get("amount") or left
    if left == 0 or amount > left:
        raise invalid(
            f"Reversal amount ({amount}) is greater than unreversed amount ({left}).", "amount"
        )
    made: Obj = {
        "id": state.ids.new("trr"),
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": None,
        "created": state.now(),
        "currency": found["currency"],
        "destination_payment_refund": None,
        "metadata": merge_metadata({}, params.get("metadata")),
        "source_refund": None,
        "transfer": identifier,
    }
    state.store.add("transfer_reversal", made)
    with state.changing(found, "transfer.reversed"):
        found["amount_reversed"] += amount
        found["reversed"] = found["amount_reversed"] == found["amount"]
        found["reversals"]["data"].insert(0, made)
    return made


def list_transfers(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/transfers`."""
    names = ("destination", "transfer_group")
    exact = {name: params[name] for name in names if params.get(name) is not None}
    return page(TRANSFERS, state.store.where("transfer", **exact), params)


def list_reversals(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/transfers/{id}/reversals`."""
    found = state.store.need("transfer", identifier)
    return page(f"{TRANSFERS}/{identifier}/reversals", found["reversals"]["data"], params)


def register(api: Api) -> None:
    """Declare the operations."""

    def one(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need("transfer", identifier)

    change: dict[str, Kind] = {"email": Text(), "metadata": Metadata()}
    kinds = Choice(("custom", "express", "standard"))
    api.add("POST", PATH, create, Fields({**change, "country": Text(2), "type": kinds}))
    api.add("GET", PATH, list_accounts, list_params())
    api.add("GET", f"{PATH}/{{account}}", retrieve)
    api.add("POST", f"{PATH}/{{account}}", update, Fields(change))
    sending: dict[str, Kind] = {
        "amount": Integer(1),
        "currency": Currency(),
        "description": Text(),
        "destination": Text(),
        "metadata": Metadata(),
        "source_transaction": Text(),
        "transfer_group": Text(),
    }
    api.add("POST", TRANSFERS, transfer, Fields(sending, ("amount", "currency", "destination")))
    filters = list_params(destination=Text(), transfer_group=Text())
    api.add("GET", TRANSFERS, list_transfers, filters)
    api.add("GET", f"{TRANSFERS}/{{transfer}}", one)
    back = Fields({"amount": Integer(1), "metadata": Metadata()})
    api.add("POST", f"{TRANSFERS}/{{id}}/reversals", reverse, back)
    api.add("GET", f"{TRANSFERS}/{{id}}/reversals", list_reversals, plain_list_params())
