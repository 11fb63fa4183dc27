"""`/v1/events`, and `/v2/core/events` for those who got a thin notification."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from gatekeeper.testing.stripe import thin
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.params import Fields, Flag, Integer, Kind, Many, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page
from gatekeeper.testing.stripe.routing import Api, one_of
from gatekeeper.testing.stripe.state import State

V2 = "/v2/core/events"
V2_LIMIT = 20

_BOUNDS: dict[str, Kind] = dict.fromkeys(("gt", "gte", "lt", "lte"), Text(64))


def list_events(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/events`."""
    types = params.get("types") or ([params["type"]] if params.get("type") else None)
    delivered = params.get("delivery_success")
    rows = [
        event
        for event in state.store.all("event")
        if (types is None or any(_matches(event["type"], wanted) for wanted in types))
        and (delivered is None or delivered is (event["pending_webhooks"] == 0))
    ]
    return page("/v1/events", rows, params)


def _matches(event_type: str, wanted: str) -> bool:
    """`invoice.*` stands for every type that begins so."""
    if wanted.endswith("*"):
        return event_type.startswith(wanted[:-1])
    return event_type == wanted


def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v2/core/events/{id}`."""
    found = thin.original(state.store, identifier)
    if found is None:
        raise ApiError(404, f"Event not found: {identifier}", code="not_found")
    return thin.whole(found)


def list_v2(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v2/core/events`, the newest first."""
    wanted, object_id = params.get("types"), params.get("object_id")
    events = [*state.store.all(thin.EVENT), *state.store.all("event")]
    events = [event for event in events if _within(event["created"], params.get("created") or {})]
    rows = [thin.whole(event) for event in events]
    rows = [
        row
        for row in sorted(rows, key=lambda row: str(row["created"]), reverse=True)
        if (not wanted or row["type"] in wanted)
        and object_id in (None, (row.get("related_object") or {}).get("id"))
    ]
    limit = params.get("limit") or V2_LIMIT
    start = int(params.get("page") or 0)
    more, earlier = start + limit, max(0, start - limit)
    return {
        "data": rows[start:more],
        "next_page_url": _url(params, more) if more < len(rows) else None,
        "previous_page_url": _url(params, earlier) if start else None,
    }


def _within(second: int, bounds: dict[str, str]) -> bool:
    spans = {name: datetime.fromisoformat(text).timestamp() for name, text in bounds.items()}
    return (
        spans.get("gt", second - 1) < second
        and spans.get("gte", second) <= second
        and spans.get("lt", second + 1) > second
        and spans.get("lte", second) >= second
    )


def _url(params: dict[str, Any], start: int) -> str:
    asked = [("limit", params.get("limit") or V2_LIMIT), ("page", start)]
    if params.get("object_id") is not None:
        asked.append(("object_id", params["object_id"]))
    for name, text in (params.get("created") or {}).items():
        asked.append((f"created[{name}]", text))
    asked += [(f"types[{index}]", one) for index, one in enumerate(params.get("types") or [])]
    return f"{V2}?{urlencode(asked)}"


class _Page:
    """The place of a page: what `next_page_url` said."""

    def read(self, raw: Any, path: str) -> str:
        if not (isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) < 10):
            raise invalid("Invalid page.", path)
        return raw


class _Bounds:
    """A span of moments (RFC 3339)."""

    def read(self, raw: Any, path: str) -> dict[str, str]:
        found = Fields(_BOUNDS).read(raw, path)
        for name, text in found.items():
            try:
                aware = datetime.fromisoformat(text or "").tzinfo is not None
            except ValueError:
                aware = False
            if not aware:
                raise invalid(f"Invalid date-time: {text}", f"{path}[{name}]")
        return found


def register(api: Api) -> None:
    """Declare the operations."""
    events = list_params(type=Text(), types=Many(Text(), 20), delivery_success=Flag())
    api.add("GET", "/v1/events", list_events, events)
    api.add("GET", "/v1/events/{id}", one_of("event"))
    asked: dict[str, Kind] = {
        "created": _Bounds(),
        "limit": Integer(1, 100),
        "object_id": Text(),
        "page": _Page(),
        "types": Many(Text(), 20),
    }
    api.add("GET", V2, list_v2, Fields(asked))
    api.add("GET", f"{V2}/{{id}}", retrieve)
