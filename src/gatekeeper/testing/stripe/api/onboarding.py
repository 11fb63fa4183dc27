"""`/v1/account_links` and the login links of accounts: addresses of Stripe's pages for sellers.

Source: API reference, "Account Links" and "Login Links". A link is good once, and for minutes.
"""

from typing import Any

from gatekeeper.testing.stripe.core.errors import invalid, no_access
from gatekeeper.testing.stripe.core.params import Choice, Fields, Kind, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

LINK_SECONDS = 300
"""For how long a link is good."""

KIND = "account_link"


def create_link(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/account_links`: to the pages where an account's owner says who they are."""
    account = state.store.find("account", params["account"])
    if account is None or account.get("deleted"):
        raise no_access(params["account"])
    for name in ("refresh_url", "return_url"):
        if params.get(name) is None:
            raise invalid(f"You must provide a {name} for this link.", name)
    identifier = state.ids.new("setup")
    made: Obj = {
        "object": KIND,
        "created": state.now(),
        "expires_at": state.now() + LINK_SECONDS,
        "url": f"{state.base_url}/setup/e/{identifier}",
    }
    kept = {"id": identifier, **made}
    state.store.add(KIND, kept, **{name: params[name] for name in _ASKED}, used=False)
    return made


def create_login(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/accounts/{account}/login_links`: to the account's own dashboard."""
    account = state.store.find("account", identifier)
    if account is None or account.get("deleted"):
        raise no_access(identifier)
    dashboard = (account.get("controller") or {}).get("stripe_dashboard") or {}
    if dashboard.get("type") != "express" and account["type"] != "express":
        raise invalid(f"Cannot create a login link for {identifier}: it is no Express account.")
    if not account["details_submitted"]:
        raise invalid("Cannot create a login link for an account that has not completed onboarding")
    return {
        "object": "login_link",
        "created": state.now(),
        "url": f"{state.base_url}/express/{identifier}",
    }


_ASKED = ("account", "refresh_url", "return_url")


def register(api: Api) -> None:
    """Declare the operations."""
    kinds = Choice(("account_onboarding", "account_update"))
    link: dict[str, Kind] = {**dict.fromkeys(_ASKED, Text()), "type": kinds}
    api.add("POST", "/v1/account_links", create_link, Fields(link, ("account", "type")))
    api.add("POST", "/v1/accounts/{account}/login_links", create_login)
