"""`/v1/balance` and `/v1/balance_transactions`."""

from typing import Any

from gatekeeper.testing.stripe.billing import ledger
from gatekeeper.testing.stripe.core.params import Currency, Kind, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page
from gatekeeper.testing.stripe.routing import Api, one_of
from gatekeeper.testing.stripe.state import State

PATH = "/v1/balance_transactions"


def balance(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/balance`: also what tells the key's mode."""
    return {
        "object": "balance",
        "available": amounts(state, "available"),
        "livemode": state.settings.livemode,
        "pending": amounts(state, "pending"),
    }


def amounts(state: State, status: str) -> list[Obj]:
    """What is "available" or "pending", as in a balance."""
    sums = ledger.balances(state, status) or {state.settings.currency: 0}
    return [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in sorted(sums.items())
    ]


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/balance_transactions`; `source` finds no dispute, as at Stripe."""
    names = ("currency", "source", "type")
    exact = {name: params[name] for name in names if params.get(name) is not None}
    rows = state.store.where(ledger.KIND, **exact)
    if params.get("payout") is not None:
        state.store.need("payout", params["payout"], "payout")
        rows = [r for r in rows if state.store.hidden(r)["payout"] == params["payout"]]
    if "source" in exact:
        rows = [row for row in rows if not row["source"].startswith("du_")]
    return page(PATH, rows, params)


def register(api: Api) -> None:
    """Declare the operations."""
    filters: dict[str, Kind] = dict.fromkeys(("payout", "source", "type"), Text())
    api.add("GET", "/v1/balance", balance)
    api.add("GET", PATH, list_all, list_params(**filters, currency=Currency()))
    api.add("GET", f"{PATH}/{{id}}", one_of(ledger.KIND))
