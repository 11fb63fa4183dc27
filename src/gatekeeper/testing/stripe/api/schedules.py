"""`/v1/subscription_schedules`."""

from typing import Any

from gatekeeper.testing.stripe.billing import schedules
from gatekeeper.testing.stripe.billing.subscriptions import ENDED, period_of
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import (
    Choice,
    Fields,
    Flag,
    Integer,
    Kind,
    Many,
    Metadata,
    Moment,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page
from gatekeeper.testing.stripe.routing import Api, one_of
from gatekeeper.testing.stripe.state import State

PATH = "/v1/subscription_schedules"

_PRORATION = Choice(("always_invoice", "create_prorations", "none"))

_ITEM = Fields({"metadata": Metadata(), "price": Text(), "quantity": Integer(0)}, ("price",))

_DURATION = Fields(
    {"interval": Choice(("day", "month", "week", "year")), "interval_count": Integer(1)},
    ("interval",),
)

_PHASE: dict[str, Kind] = {
    "billing_cycle_anchor": Choice(("automatic", "phase_start")),
    "collection_method": Choice(("charge_automatically", "send_invoice")),
    "default_payment_method": Text(),
    "description": Text(),
    "duration": _DURATION,
    "end_date": Moment(),
    "items": Many(_ITEM, 20),
    "metadata": Metadata(),
    "proration_behavior": _PRORATION,
}

_LATER_PHASE = Fields(
    {**_PHASE, "end_date": Moment(now=True), "start_date": Moment(now=True)}, ("items",)
)

_END = Choice(("cancel", "none", "release", "renew"))

_CREATE: dict[str, Kind] = {
    "customer": Text(),
    "end_behavior": _END,
    "from_subscription": Text(),
    "metadata": Metadata(),
    "phases": Many(Fields(_PHASE, ("items",)), 10),
    "start_date": Moment(now=True),
}

_UPDATE: dict[str, Kind] = {
    "end_behavior": _END,
    "metadata": Metadata(),
    "phases": Many(_LATER_PHASE, 10),
    "proration_behavior": _PRORATION,
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/subscription_schedules`: of a subscription, or of a customer and phases."""
    if params.get("from_subscription") is not None:
        return _from_subscription(state, params)
    for name in ("customer", "phases", "start_date"):
        if not params.get(name):
            raise missing_parameter(name)
    customer = state.store.need("customer", params["customer"], "customer")["id"]
    now, start = state.now(), params["start_date"]
    start = now if start == "now" else start
    if start < now:
        raise invalid("The start_date must not be in the past.", "start_date")
    made = schedules.new(
        state,
        customer,
        _phases(state, params["phases"], start),
        params.get("end_behavior") or "release",
        merge_metadata({}, params.get("metadata")),
    )
    state.emit(f"{schedules.KIND}.created", made)
    if start == now:
        schedules.begin(state, made)
    else:
        schedules.watch(state, made)
    return made


def _from_subscription(state: State, params: dict[str, Any]) -> Obj:
    for name in sorted(set(params) - {"from_subscription"}):
        raise invalid(f"You cannot set `{name}` if `from_subscription` is set.", name)
    named = params["from_subscription"]
    found = state.store.need("subscription", named, "from_subscription")
    if found["status"] in ENDED:
        raise invalid("You cannot migrate a subscription that has ended.", "from_subscription")
    if found["schedule"] is not None:
        raise invalid(
            "You cannot migrate a subscription that is already attached to a schedule:"
            f" {found['schedule']}.",
            "from_subscription",
        )
    period = period_of(found)
    rows = [
        {"price": row["price"]["id"], "quantity": row.get("quantity")}
        for row in found["items"]["data"]
    ]
    given = {"items": rows, "end_date": period.end}
    phase = schedules.phase(state, given, period.start, "phases[0]")
    made = schedules.new(state, found["customer"], [phase], "release", {})
    schedules.adopt(state, made, found)
    return made


def _phases(state: State, given: list[dict[str, Any]], start: int) -> list[Obj]:
    made: list[Obj] = []
    for index, one in enumerate(given):
        begins = one.get("start_date")
        if begins == "now":
            begins = state.now()
        if made and begins not in (None, made[-1]["end_date"]):
            raise invalid("Phases must follow each other.", f"phases[{index}][start_date]")
        begins = made[-1]["end_date"] if made else start
        made.append(schedules.phase(state, one, begins, f"phases[{index}]"))
    return made


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/subscription_schedules/{schedule}`: the phases are given whole, from the current
    one on, with its `start_date`."""
    found = state.store.need(schedules.KIND, identifier)
    schedules.must_be_open(found, "update")
    given = params.get("phases")
    current = found["current_phase"]
    if given and given[0].get("start_date") is None:
        raise invalid(
            "The subscription schedule update is missing at least one phase with a `start_date` to"
            " anchor end dates to.",
            "phases",
        )
    begins = given[0]["start_date"] if given else 0
    begins = state.now() if begins == "now" else begins
    if given and current is not None and begins != current["start_date"]:
        raise invalid("You can not modify the start date of the current phase.", "phases")
    before = current and _current(found)["items"]
    with state.changing(found, f"{schedules.KIND}.updated"):
        if given:
            found["phases"] = _phases(state, given, begins)
        if current is not None:
            found["current_phase"] = {**current, "end_date": _current(found)["end_date"]}
        if params.get("end_behavior") is not None:
            found["end_behavior"] = params["end_behavior"]
        if "metadata" in params:
            found["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    if current is not None and before != _current(found)["items"]:
        behavior = params.get("proration_behavior") or "create_prorations"
        schedules.apply(state, found, _current(found), behavior)
    schedules.watch(state, found)
    schedules.advance(state, found)
    return found


def _current(schedule: Obj) -> Obj:
    start = schedule["current_phase"]["start_date"]
    found: Obj = next(one for one in schedule["phases"] if one["start_date"] == start)
    return found


def release(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/subscription_schedules/{schedule}/release`."""
    found = state.store.need(schedules.KIND, identifier)
    schedules.release(state, found)
    return found


def cancel(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/subscription_schedules/{schedule}/cancel`: its subscription ends too."""
    found = state.store.need(schedules.KIND, identifier)
    schedules.cancel(state, found)
    return found


def list_all(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/subscription_schedules`; `scheduled` narrows to those that have not begun."""
    customer = params.get("customer")
    rows = [
        one
        for one in state.store.all(schedules.KIND)
        if customer in (None, one["customer"])
        and (not params.get("scheduled") or one["status"] == "not_started")
    ]
    return page(PATH, rows, params)


def register(api: Api) -> None:
    """Declare the operations."""
    own = f"{PATH}/{{schedule}}"
    api.add("POST", PATH, create, Fields(_CREATE))
    api.add("GET", PATH, list_all, list_params(customer=Text(), scheduled=Flag()))
    api.add("GET", own, one_of(schedules.KIND))
    api.add("POST", own, update, Fields(_UPDATE))
    api.add("POST", f"{own}/release", release)
    api.add("POST", f"{own}/cancel", cancel)
