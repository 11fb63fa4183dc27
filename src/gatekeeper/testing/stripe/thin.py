"""Events of API v2: thin notifications (what changed, without the object), and their wholes.

Source: Stripe's pages "Event destinations" and "Thin events"; API reference, `/v2/core/events`.
Simplified: a destination is declared with `Simulator.event_destination`, not by the API.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gatekeeper.testing.stripe.core.store import Obj

if TYPE_CHECKING:
    from gatekeeper.testing.stripe.core.store import Store

KIND = "v2.core.event_destination"
EVENT = "v2.core.event"
_TWIN = "evt_thin"

# Where the object of a kind is fetched; what is not here is its name with an s.
_PATHS = {
    "billing.meter": "billing/meters",
    "billing_portal.session": "billing_portal/sessions",
    "checkout.session": "checkout/sessions",
    "radar.early_fraud_warning": "radar/early_fraud_warnings",
}


def destinations_for(store: "Store", event_type: str) -> list[str]:
    """The ids of the destinations that want this type (a snapshot's name), the oldest first."""
    return [
        found["id"]
        for found in reversed(store.where(KIND, status="enabled"))
        if {"*", event_type, f"v1.{event_type}"} & set(found["enabled_events"])
    ]


def notification(event: Obj, context: str | None) -> Obj:
    """What a destination gets: of an event of API v2, or the thin twin of a snapshot, with an id of
    its own, always the same."""
    found: Obj = {
        "id": event["id"] if event["object"] == EVENT else _twin(event["id"]),
        "object": EVENT,
        "type": event["type"] if event["object"] == EVENT else f"v1.{event['type']}",
        "created": datetime.fromtimestamp(event["created"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "livemode": event["livemode"],
        "related_object": _related(event),
    }
    return found if context is None else {**found, "context": context}


def whole(event: Obj) -> Obj:
    """What `/v2/core/events/{id}` answers: why it came, and its data; absent what there is none."""
    found = notification(event, event.get("account"))
    if found["related_object"] is None:
        del found["related_object"]
    if event["object"] == EVENT:
        found["data"] = event["data"]
    if event["request"]["id"] is not None:
        key = event["request"]["idempotency_key"] or ""
        request = {"id": event["request"]["id"], "idempotency_key": key}
        found["reason"] = {"type": "request", "request": request}
    return found


def original(store: "Store", identifier: str) -> Obj | None:
    """The event of API v2, or the snapshot whose twin has this id."""
    found = store.find(EVENT, identifier)
    if found is None and identifier.startswith(_TWIN):
        found = store.find("event", f"evt_{identifier.removeprefix(_TWIN)}")
    return found


def _twin(identifier: str) -> str:
    return f"{_TWIN}{identifier.removeprefix('evt_')}"


def _related(event: Obj) -> Obj | None:
    if event["object"] == EVENT:
        known: Obj | None = event["related_object"]
        return known
    obj = event["data"]["object"]
    if "id" not in obj:
        return None
    path = _PATHS.get(obj["object"], f"{obj['object']}s")
    if obj["object"] == "capability":
        path = f"accounts/{obj['account']}/capabilities"
    return {"id": obj["id"], "type": obj["object"], "url": f"/v1/{path}/{obj['id']}"}
