"""What becomes of meter events: counted, refused, canceled, or told of as errors afterwards.

Source: Stripe's page "Record usage for billing with the API" (which errors are reported, and in
which events); API reference, `v1.billing.meter.error_report_triggered` and
`v1.billing.meter.no_meter_found`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from gatekeeper.testing.stripe.core.clock import DAY_SECONDS, MINUTE_SECONDS
from gatekeeper.testing.stripe.core.errors import ApiError, invalid, missing
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

EVENT = "billing.meter_event"
UNCOUNTED = "billing.meter_event.uncounted"
"""Where events are kept that were accepted and count for nothing."""

OLDEST_SECONDS = 35 * DAY_SECONDS
NEWEST_SECONDS = 5 * MINUTE_SECONDS
UNIQUE_SECONDS = DAY_SECONDS
SAMPLES = 5

MESSAGES = {
    "archived_meter": "The meter is archived.",
    "meter_event_customer_not_found": "No such customer.",
    "meter_event_invalid_value": "The value of the event is not a number.",
    "meter_event_no_customer_defined": (
        "Customer mapping key stripe_customer_id not found in payload."
    ),
    "no_meter": "No meter found for the event name.",
    "timestamp_in_future": "The timestamp is too far in the future.",
    "timestamp_too_far_in_past": "The timestamp is too far in the past.",
}
"""Stripe's codes of errors, with words for each."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an event: Stripe's code for a report, and the answer if it is refused."""

    code: str
    refusal: ApiError


def problem_of(state: State, event: Obj) -> tuple[Obj | None, Problem | None]:
    """The event's meter, and what is wrong with it."""
    name, payload, now = event["event_name"], event["payload"], state.now()
    meters = state.store.where("billing.meter", event_name=name)
    meter = next((one for one in meters if one["status"] == "active"), None)
    if meter is None:
        code = "archived_meter" if meters else "no_meter"
        refusal = invalid(f"No active meter found for event name {name}.", "event_name")
        return (meters[0] if meters else None), Problem(code, refusal)
    key = meter["customer_mapping"]["event_payload_key"]
    customer = payload.get(key)
    if customer is None:
        refusal = invalid(f"Event payload must contain the key {key}.", f"payload[{key}]")
        return meter, Problem("meter_event_no_customer_defined", refusal)
    found = state.store.find("customer", customer)
    if found is None or found.get("deleted"):
        refusal = missing("customer", customer, "payload[stripe_customer_id]")
        return meter, Problem("meter_event_customer_not_found", refusal)
    wrong = _value_problem(meter, payload)
    if wrong is not None:
        return meter, Problem("meter_event_invalid_value", wrong)
    at = event["timestamp"]
    if at < now - OLDEST_SECONDS or at > now + NEWEST_SECONDS:
        code = "timestamp_too_far_in_past" if at < now else "timestamp_in_future"
        return meter, Problem(
            code,
            invalid(
                "The timestamp must be within the past 35 days and at most 5 minutes in the"
                " future.",
                "timestamp",
                code,
            ),
        )
    return meter, None


def _value_problem(meter: Obj, payload: dict[str, Any]) -> ApiError | None:
    key = meter["value_settings"]["event_payload_key"]
    if key not in payload:
        if meter["default_aggregation"]["formula"] == "count":
            payload[key] = "1"
            return None
        return invalid(f"Event payload must contain the key {key}.", f"payload[{key}]")
    try:
        finite = Decimal(payload[key] or "").is_finite()
    except InvalidOperation:
        finite = False
    return None if finite else invalid(f"The value of {key} must be a number.", f"payload[{key}]")


def keep(state: State, event: Obj, *, counts: bool) -> None:
    """Keep an event; its identifier has not been there for a day."""
    identifier = event["identifier"]
    for kind in (EVENT, UNCOUNTED):
        before = state.store.find(kind, identifier)
        if before is None:
            continue
        if state.now() - before["created"] < UNIQUE_SECONDS:
            raise invalid(f"An event already exists with identifier {identifier}.")
        state.store.forget(kind, identifier)
        state.store.keep_as(kind, f"{identifier}@{before['created']}", before)
    state.store.keep_as(EVENT if counts else UNCOUNTED, identifier, event)


def cancel(state: State, identifier: str) -> None:
    """Take an event back that came within the last day."""
    event = state.store.find(EVENT, identifier)
    if event is None or state.now() - event["created"] >= UNIQUE_SECONDS:
        raise invalid(
            f"No meter event of the last 24 hours has the identifier {identifier}.",
            "cancel[identifier]",
        )
    state.store.forget(EVENT, identifier)
    state.store.keep_as(UNCOUNTED, identifier, event)


def complain(state: State, meter: Obj | None, code: str, identifier: str) -> None:
    """Put an error into the running report of its meter, which is told of when it is full of
    `settings.meter_report_seconds`."""
    key = meter["id"] if meter else "none"
    reports: dict[str, list[tuple[str, str]]] = state.store.hidden({"id": "meter_reports"})
    if key not in reports:
        begun, rows = state.now(), reports.setdefault(key, [])
        due = begun + state.settings.meter_report_seconds

        def tell() -> None:
            del reports[key]
            report(state, meter, rows, begun)

        state.agenda.at(due, tell)
    reports[key].append((code, identifier))


def report(state: State, meter: Obj | None, errors: list[tuple[str, str]], begun: int) -> Obj:
    """Tell of errors, each a code and the identifier of its event."""
    codes = sorted({code for code, _ in errors})
    types = []
    for code in codes:
        named = [identifier for of, identifier in errors if of == code]
        samples = [
            {
                "error_message": MESSAGES.get(code, code),
                "request": {"identifier": identifier},
            }
            for identifier in named[:SAMPLES]
        ]
        types.append({"code": code, "error_count": len(named), "sample_errors": samples})
    many = f"are {len(errors)} invalid events" if len(errors) != 1 else "is 1 invalid event"
    data = {
        "developer_message_summary": f"There {many}",
        "reason": {"error_count": len(errors), "error_types": types},
        "validation_end": _moment(state.now()),
        "validation_start": _moment(begun),
    }
    if meter is None:
        return state.notify("v1.billing.meter.no_meter_found", None, data)
    related = {
        "id": meter["id"],
        "type": "billing.meter",
        "url": f"/v1/billing/meters/{meter['id']}",
    }
    return state.notify("v1.billing.meter.error_report_triggered", related, data)


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
