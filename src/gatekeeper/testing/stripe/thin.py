"""Thin event notifications (API v2): what changed, without the object.

Source: Stripe's pages "Event destinations" and "Thin events"; API reference, `/v2/core/events`.
Simplified: a destination is declared with `Simulator.event_destination`, not by the API; the event
itself, `/v2/core/events/{id}`, is not served; `reason` is left out.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gatekeeper.testing.stripe.core.store import Obj

if TYPE_CHECKING:
    from gatekeeper.testing.stripe.core.store import Store

KIND = "v2.core.event_destination"

# Where the object of a kind is fetched; what is not here is its name with an s.
_PATHS = {
    "billing.meter": "billing/meters",
    "billing_portal.session": "billing_portal/sessions",
    "checkout.session": "checkout/sessions",
}


def destinations_for(store: "Store", event_type: str) -> list[str]:
    """The ids of the destinations that want this type (a snapshot's name), the oldest first."""
    return [
        found["id"]
        for found in reversed(store.where(KIND, status="enabled"))
        if {"*", event_type, f"v1.{event_type}"} & set(found["enabled_events"])
    ]


def notification(event: Obj, context: str | None) -> Obj:
    """The thin twin of a snapshot event, with an id of its own, always the same."""
    obj = event["data"]["object"]
    name = obj["object"]
    found: Obj = {
        "id": f"evt_thin{event['id'].removeprefix('evt_')}",
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "created": datetime.fromtimestamp(event["created"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "livemode": event["livemode"],
        "related_object": None,
    }
    if "id" in obj:
        path = _PATHS.get(name, f"{name}s")
        found["related_object"] = {
            "id": obj["id"],
            "type": name,
            "url": f"/v1/{path}/{obj['id']}",
        }
    return found if context is None else {**found, "context": context}
