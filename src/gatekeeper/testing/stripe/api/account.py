"""`/v1/account`, `/v1/webhook_endpoints`, portal sessions."""

from typing import Any
from urllib.parse import urlsplit

from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import (
    Fields,
    Flag,
    Kind,
    Many,
    Metadata,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import page, plain_list_params
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State
from gatekeeper.testing.stripe.thin import KIND as DESTINATION
from gatekeeper.testing.stripe.versions import VERSIONS

_ENDPOINT_CHANGE: dict[str, Kind] = {
    "description": Text(),
    "enabled_events": Many(Text(), 1_000),
    "metadata": Metadata(),
    "url": Text(),
}

_ENDPOINT: dict[str, Kind] = {**_ENDPOINT_CHANGE, "api_version": Text(), "connect": Flag()}


def account(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/account`. The mode is not in it: `/v1/balance` tells that."""
    settings = state.settings
    return {
        "id": settings.account_id,
        "object": "account",
        "business_profile": None,
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": settings.country,
        "default_currency": settings.currency,
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "settings": None,
        "type": "standard",
    }


def create_endpoint(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/webhook_endpoints`: only this answer carries the secret."""
    endpoint = new_endpoint(state, **params)
    return {**endpoint, "secret": state.store.hidden(endpoint)["secret"]}


def new_endpoint(
    state: State,
    *,
    url: str,
    enabled_events: list[str],
    secret: str | None = None,
    api_version: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    connect: bool | None = None,
) -> Obj:
    """Make an endpoint; `secret` is the simulator's choice unless it is given."""
    _check_url(url)
    if api_version not in (None, *VERSIONS):
        raise invalid(f"Invalid API version: {api_version}", "api_version")
    endpoint: Obj = {
        "id": state.ids.new("we"),
        "object": "webhook_endpoint",
        "api_version": api_version,
        "application": None,
        "created": state.now(),
        "description": description,
        "enabled_events": enabled_events,
        "livemode": state.settings.livemode,
        "metadata": merge_metadata({}, metadata),
        "status": "enabled",
        "url": url,
    }
    secret = secret or state.ids.new("whsec")
    return state.store.add("webhook_endpoint", endpoint, secret=secret, connect=bool(connect))


def new_destination(
    state: State, *, url: str, enabled_events: list[str], context: str | None
) -> Obj:
    """Make a destination of thin notifications."""
    _check_url(url)
    destination: Obj = {
        "id": state.ids.new("ed"),
        "object": DESTINATION,
        "context": context,
        "enabled_events": enabled_events,
        "status": "enabled",
        "url": url,
    }
    return state.store.add(DESTINATION, destination, secret=state.ids.new("whsec"))


def _check_url(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise invalid("Invalid URL: URL must be publicly accessible and start with https.", "url")


def update_endpoint(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/webhook_endpoints/{webhook_endpoint}`."""
    endpoint = state.store.need("webhook_endpoint", identifier)
    if params.get("url") is not None:
        _check_url(params["url"])
    for key in ("description", "enabled_events", "url"):
        if key in params:
            endpoint[key] = params[key]
    if "metadata" in params:
        endpoint["metadata"] = merge_metadata(endpoint["metadata"], params["metadata"])
    if params.get("disabled") is not None:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    return endpoint


def delete_endpoint(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`DELETE /v1/webhook_endpoints/{webhook_endpoint}`."""
    endpoint = state.store.need("webhook_endpoint", identifier)
    return state.store.bury("webhook_endpoint", endpoint)


def create_portal_session(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/billing_portal/sessions`: a link to the customer's own page."""
    customer = state.store.need("customer", params["customer"], "customer")
    identifier = state.ids.new("bps")
    session: Obj = {
        "id": identifier,
        "object": "billing_portal.session",
        "configuration": params.get("configuration") or "bpc_simulator",
        "created": state.now(),
        "customer": customer["id"],
        "customer_account": None,
        "flow": None,
        "livemode": state.settings.livemode,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url"),
        "url": f"{state.base_url}/p/session/{identifier}",
    }
    state.store.add("billing_portal.session", session)
    state.emit("billing_portal.session.created", session)
    return session


def register(api: Api) -> None:
    """Declare the operations."""

    def one(kind: str) -> Any:
        return lambda state, params, identifier: state.store.need(kind, identifier)

    api.add("GET", "/v1/account", account)
    path, own = "/v1/webhook_endpoints", "/v1/webhook_endpoints/{webhook_endpoint}"

    def list_endpoints(state: State, params: dict[str, Any]) -> Obj:
        return page(path, state.store.all("webhook_endpoint"), params)

    api.add("POST", path, create_endpoint, Fields(_ENDPOINT, ("enabled_events", "url")))
    api.add("GET", path, list_endpoints, plain_list_params())
    api.add("GET", own, one("webhook_endpoint"))
    api.add("POST", own, update_endpoint, Fields({**_ENDPOINT_CHANGE, "disabled": Flag()}))
    api.add("DELETE", own, delete_endpoint)
    portal: dict[str, Kind] = {
        "configuration": Text(),
        "customer": Text(),
        "locale": Text(),
        "return_url": Text(),
    }
    api.add(
        "POST",
        "/v1/billing_portal/sessions",
        create_portal_session,
        Fields(portal, ("customer",)),
    )
