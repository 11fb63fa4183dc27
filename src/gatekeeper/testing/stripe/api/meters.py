"""`/v1/billing/meters` with their summaries, and `/v1/billing/meter_events`."""

from decimal import Decimal, InvalidOperation
from typing import Any

from gatekeeper.testing.stripe.core.clock import DAY_SECONDS, MINUTE_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import Choice, Fields, Kind, Mapped, Moment, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import page, plain_list_params
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

OLDEST_SECONDS = 35 * DAY_SECONDS
NEWEST_SECONDS = 5 * MINUTE_SECONDS
UNIQUE_SECONDS = DAY_SECONDS

_CREATE: dict[str, Kind] = {
    "customer_mapping": Fields(
        {"event_payload_key": Text(100), "type": Choice(("by_id",))}, ("event_payload_key", "type")
    ),
    "default_aggregation": Fields({"formula": Choice(("count", "last", "sum"))}, ("formula",)),
    "display_name": Text(250),
    "event_name": Text(100),
    "event_time_window": Choice(("day", "hour")),
    "value_settings": Fields({"event_payload_key": Text(100)}, ("event_payload_key",)),
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/billing/meters`: one active meter for an event name."""
    name = params["event_name"]
    if state.store.where("billing.meter", event_name=name, status="active"):
        raise invalid(f"There is already an active meter with the event name {name}.", "event_name")
    meter: Obj = {
        "id": state.ids.new("mtr_test" if not state.settings.livemode else "mtr"),
        "object": "billing.meter",
        "created": state.now(),
        "customer_mapping": params.get("customer_mapping")
        or {"event_payload_key": "stripe_customer_id", "type": "by_id"},
        "default_aggregation": params["default_aggregation"],
        "display_name": params["display_name"],
        "event_name": name,
        "event_time_window": params.get("event_time_window"),
        "livemode": state.settings.livemode,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": state.now(),
        "value_settings": params.get("value_settings") or {"event_payload_key": "value"},
    }
    state.store.add("billing.meter", meter)
    state.emit("billing.meter.created", meter)
    return meter


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/billing/meters/{id}`: its display name."""
    meter = state.store.need("billing.meter", identifier)
    with state.changing(meter, "billing.meter.updated"):
        if params.get("display_name") is not None:
            meter.update(display_name=params["display_name"], updated=state.now())
    return meter


def _switch(active: bool) -> Any:
    def handler(state: State, params: dict[str, Any], identifier: str) -> Obj:
        meter = state.store.need("billing.meter", identifier)
        status = "active" if active else "inactive"
        if meter["status"] == status:
            raise invalid(f"The meter is already {status}.")
        meter.update(status=status, updated=state.now())
        meter["status_transitions"]["deactivated_at"] = None if active else state.now()
        state.emit(f"billing.meter.{'reactivated' if active else 'deactivated'}", meter)
        return meter

    return handler


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/billing/meters`."""
    status = params.get("status")
    rows = [m for m in state.store.all("billing.meter") if status in (None, m["status"])]
    return page("/v1/billing/meters", rows, params)


def report(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/billing/meter_events`: an identifier counts once in a day; bounded timestamps."""
    name, payload, now = params["event_name"], params["payload"], state.now()
    meters = state.store.where("billing.meter", event_name=name, status="active")
    if not meters:
        raise invalid(f"No active meter found for event name {name}.", "event_name")
    meter = meters[0]
    customer = payload.get(meter["customer_mapping"]["event_payload_key"])
    if customer is None:
        key = meter["customer_mapping"]["event_payload_key"]
        raise invalid(f"Event payload must contain the key {key}.", f"payload[{key}]")
    state.store.need("customer", customer, "payload[stripe_customer_id]")
    _check_value(meter, payload)
    at = params.get("timestamp")
    at = now if at is None else at
    if at < now - OLDEST_SECONDS or at > now + NEWEST_SECONDS:
        raise invalid(
            "The timestamp must be within the past 35 days and at most 5 minutes in the future.",
            "timestamp",
            "timestamp_too_far_in_past" if at < now else "timestamp_in_future",
        )
    identifier = params.get("identifier") or state.ids.token(32)
    before = state.store.find("billing.meter_event", identifier)
    if before is not None and now - before["created"] < UNIQUE_SECONDS:
        raise invalid(f"An event already exists with identifier {identifier}.")
    key = identifier if before is None else f"{identifier}@{before['created']}"
    event: Obj = {
        "object": "billing.meter_event",
        "created": now,
        "event_name": name,
        "identifier": identifier,
        "livemode": state.settings.livemode,
        "payload": payload,
        "timestamp": at,
    }
    if before is not None:
        state.store.keep_as("billing.meter_event", key, before)
    state.store.keep_as("billing.meter_event", identifier, event)
    return event


def summaries(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/billing/meters/{id}/event_summaries`: one sum over whole minutes, at once."""
    meter = state.store.need("billing.meter", identifier)
    customer = state.store.need("customer", params["customer"], "customer")["id"]
    start, end = params["start_time"], params["end_time"]
    for name, second in (("start_time", start), ("end_time", end)):
        if second % MINUTE_SECONDS:
            raise invalid("The time must be aligned with minute boundaries.", name)
    if start >= end:
        raise invalid("The start must be before the end.", "start_time")
    key = meter["customer_mapping"]["event_payload_key"]
    events = [
        event
        for event in state.store.where("billing.meter_event", event_name=meter["event_name"])
        if event["payload"].get(key) == customer and start <= event["timestamp"] < end
    ]
    url = f"/v1/billing/meters/{identifier}/event_summaries"
    if not events:
        return page(url, [], params)
    summary = {
        "id": f"mtrusg_{identifier}_{start}_{end}",
        "object": "billing.meter_event_summary",
        "aggregated_value": _aggregate(meter, events),
        "end_time": end,
        "livemode": state.settings.livemode,
        "meter": identifier,
        "start_time": start,
    }
    return page(url, [summary], params)


def _aggregate(meter: Obj, events: list[Obj]) -> int | float:
    key = meter["value_settings"]["event_payload_key"]
    values = [Decimal(event["payload"][key]) for event in events]
    match meter["default_aggregation"]["formula"]:
        case "count":
            return len(values)
        case "last":
            return float(values[-1])
        case _:
            return float(sum(values))


def _check_value(meter: Obj, payload: dict[str, Any]) -> None:
    key = meter["value_settings"]["event_payload_key"]
    if key not in payload:
        if meter["default_aggregation"]["formula"] == "count":
            payload[key] = "1"
            return
        raise invalid(f"Event payload must contain the key {key}.", f"payload[{key}]")
    try:
        finite = Decimal(payload[key] or "").is_finite()
    except InvalidOperation:
        finite = False
    if not finite:
        raise invalid(f"The value of {key} must be a number.", f"payload[{key}]")


def register(api: Api) -> None:
    """Declare the operations."""
    path = "/v1/billing/meters"

    def retrieve(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need("billing.meter", identifier)

    required = ("default_aggregation", "display_name", "event_name")
    statuses = Choice(("active", "inactive"))
    api.add("POST", path, create, Fields(_CREATE, required))
    api.add("GET", path, list_all, plain_list_params(status=statuses))
    api.add("GET", f"{path}/{{id}}", retrieve)
    api.add("POST", f"{path}/{{id}}", update, Fields({"display_name": Text(250)}))
    api.add("POST", f"{path}/{{id}}/deactivate", _switch(False))
    api.add("POST", f"{path}/{{id}}/reactivate", _switch(True))
    span: dict[str, Kind] = {"customer": Text(5000), "start_time": Moment(), "end_time": Moment()}
    api.add(
        "GET",
        f"{path}/{{id}}/event_summaries",
        summaries,
        Fields({**plain_list_params().kinds, **span}, tuple(span)),
    )
    reporting: dict[str, Kind] = {
        "event_name": Text(100),
        "identifier": Text(100),
        "payload": Mapped(Text(100)),
        "timestamp": Moment(),
    }
    api.add(
        "POST", "/v1/billing/meter_events", report, Fields(reporting, ("event_name", "payload"))
    )
