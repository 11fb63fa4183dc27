"""`/v1/billing/meters` with summaries, `/v1/billing/meter_events` and their adjustments."""

from decimal import Decimal
from typing import Any

from gatekeeper.testing.stripe.billing import metering
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import Choice, Fields, Kind, Mapped, Moment, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import page, plain_list_params
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

_WINDOWS = {"day": DAY_SECONDS, "hour": HOUR_SECONDS}

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
    """`POST /v1/billing/meter_events`: an identifier counts once in a day; bounded timestamps.

    With `settings.meter_errors` "later", what is wrong is accepted and reported afterwards.
    """
    at = params.get("timestamp")
    event: Obj = {
        "object": "billing.meter_event",
        "created": state.now(),
        "event_name": params["event_name"],
        "identifier": params.get("identifier") or state.ids.token(32),
        "livemode": state.settings.livemode,
        "payload": params["payload"],
        "timestamp": state.now() if at is None else at,
    }
    meter, problem = metering.problem_of(state, event)
    if problem is not None and state.settings.meter_errors == "at_once":
        raise problem.refusal
    metering.keep(state, event, counts=problem is None)
    if problem is not None:
        metering.complain(state, meter, problem.code, event["identifier"])
    return event


def adjust(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/billing/meter_event_adjustments`: cancel an event of the last 24 hours."""
    identifier = (params.get("cancel") or {}).get("identifier")
    if identifier is None:
        raise missing_parameter("cancel[identifier]")
    metering.cancel(state, identifier)
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": params["event_name"],
        "livemode": state.settings.livemode,
        "status": "pending",
        "type": "cancel",
    }


def summaries(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`GET /v1/billing/meters/{id}/event_summaries`: one sum over whole minutes, or one for each
    hour or day (UTC) in which something was used; at once, where Stripe takes a while."""
    meter = state.store.need("billing.meter", identifier)
    customer = state.store.need("customer", params["customer"], "customer")["id"]
    start, end = params["start_time"], params["end_time"]
    grouped = params.get("value_grouping_window")
    step = _WINDOWS[grouped] if grouped else MINUTE_SECONDS
    for name, second in (("start_time", start), ("end_time", end)):
        if second % step:
            raise invalid(f"The time must be aligned with {grouped or 'minute'} boundaries.", name)
    if start >= end:
        raise invalid("The start must be before the end.", "start_time")
    key = meter["customer_mapping"]["event_payload_key"]
    events = [
        event
        for event in state.store.where(metering.EVENT, event_name=meter["event_name"])
        if event["payload"].get(key) == customer and start <= event["timestamp"] < end
    ]
    spans = {(start, end): events} if events else {}
    if grouped:
        spans = {}
        for event in events:
            begun = event["timestamp"] - event["timestamp"] % step
            spans.setdefault((begun, begun + step), []).append(event)
    rows = [
        {
            "id": f"mtrusg_{identifier}_{begun}_{over}",
            "object": "billing.meter_event_summary",
            "aggregated_value": _aggregate(meter, found),
            "end_time": over,
            "livemode": state.settings.livemode,
            "meter": identifier,
            "start_time": begun,
        }
        for (begun, over), found in sorted(spans.items(), reverse=True)
    ]
    return page(f"/v1/billing/meters/{identifier}/event_summaries", rows, params)


def _aggregate(meter: Obj, events: list[Obj]) -> int | float:
    key = meter["value_settings"]["event_payload_key"]
    match meter["default_aggregation"]["formula"]:
        case "count":
            return len(events)
        case "last":
            latest = max(events, key=lambda event: event["timestamp"])
            return float(latest["payload"][key])
        case _:
            return float(sum(Decimal(event["payload"][key]) for event in events))


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
    grouping: dict[str, Kind] = {"value_grouping_window": Choice(tuple(_WINDOWS))}
    api.add(
        "GET",
        f"{path}/{{id}}/event_summaries",
        summaries,
        Fields({**plain_list_params().kinds, **span, **grouping}, tuple(span)),
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
    adjusting: dict[str, Kind] = {
        "cancel": Fields({"identifier": Text(100)}),
        "event_name": Text(100),
        "type": Choice(("cancel",)),
    }
    path = "/v1/billing/meter_event_adjustments"
    api.add("POST", path, adjust, Fields(adjusting, ("event_name", "type")))
