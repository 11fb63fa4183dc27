"""`/v1/disputes`."""

from typing import Any

from gatekeeper.testing.stripe.billing import disputes
from gatekeeper.testing.stripe.core.params import Fields, Flag, Kind, Metadata, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params
from gatekeeper.testing.stripe.routing import Api, listed, one_of
from gatekeeper.testing.stripe.state import State

PATH = "/v1/disputes"


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/disputes/{dispute}`: evidence, handed in at once unless `submit` is false."""
    found = state.store.need("dispute", identifier)
    evidence = params.get("evidence")
    submits = params.get("submit")
    now = bool(submits) or (submits is None and evidence is not None)
    disputes.submit(state, found, evidence or {}, metadata=params.get("metadata"), now=now)
    return found


def close(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/disputes/{dispute}/close`: give it up."""
    found = state.store.need("dispute", identifier)
    inquiry = found["status"].startswith("warning")
    return disputes.close(state, found, "warning_closed" if inquiry else "lost")


def register(api: Api) -> None:
    """Declare the operations."""
    of = ("charge", "payment_intent")
    filters: dict[str, Kind] = dict.fromkeys(of, Text())
    evidence: dict[str, Kind] = dict.fromkeys(disputes.TEXTS, Text(20_000))
    changing: dict[str, Kind] = {
        "evidence": Fields(evidence),
        "metadata": Metadata(),
        "submit": Flag(),
    }
    own = f"{PATH}/{{dispute}}"
    api.add("GET", PATH, listed("dispute", PATH, *of), list_params(**filters))
    api.add("GET", own, one_of("dispute"))
    api.add("POST", own, update, Fields(changing))
    api.add("POST", f"{own}/close", close)
