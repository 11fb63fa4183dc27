"""Subscription schedules: phases that change a subscription when their time comes.

Source: Stripe's page "Subscription schedules"; API reference, "Subscription Schedule". Where a
phase has a price that the subscription has not, its item is a new one. Simplified: phases have no
trials, discounts and one-time items; a schedule that releases its subscription in the end is told
of as released, one that cancels it as completed.
"""

from typing import Any

from gatekeeper.testing.stripe.billing import bills, changes, items, subscriptions
from gatekeeper.testing.stripe.billing.calendar import boundary
from gatekeeper.testing.stripe.billing.modes import billing_mode
from gatekeeper.testing.stripe.billing.plans import Start
from gatekeeper.testing.stripe.billing.subscriptions import UPDATED, period_of
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

KIND = "subscription_schedule"
NOTICE_SECONDS = 7 * DAY_SECONDS
OPEN = ("not_started", "active")

_FIELDS = ("collection_method", "default_payment_method", "description")


def phase(state: State, given: dict[str, Any], start: int, path: str) -> Obj:
    """A phase of these parameters; without an end it lasts for one interval of its price."""
    rows = []
    if not given["items"]:
        raise missing_parameter(f"{path}[items]")
    for index, one in enumerate(given["items"]):
        price = state.store.need("price", one.get("price") or "", f"{path}[items][{index}][price]")
        row = {"discounts": [], "metadata": one.get("metadata") or {}, "price": price["id"]}
        quantity = one.get("quantity")
        if price["recurring"] is None:
            raise invalid(
                f"The price specified is not a recurring price: {price['id']}",
                f"{path}[items][{index}][price]",
            )
        if price["recurring"]["usage_type"] != "metered":
            row["quantity"] = 1 if quantity is None else quantity
        rows.append({**row, "tax_rates": []})
    first = state.store.get("price", rows[0]["price"])
    lasts = given.get("duration") or first["recurring"]
    length = (lasts["interval"], lasts.get("interval_count") or 1)
    end = given.get("end_date")
    end = state.now() if end == "now" else end
    made: Obj = {
        **dict.fromkeys(
            "application_fee_percent billing_thresholds collection_method default_payment_method"
            " description invoice_settings on_behalf_of transfer_data trial_end".split()
        ),
        "add_invoice_items": [],
        "billing_cycle_anchor": given.get("billing_cycle_anchor"),
        "currency": first["currency"],
        "default_tax_rates": [],
        "discounts": [],
        "end_date": boundary(start, *length, 1) if end is None else end,
        "items": rows,
        "metadata": given.get("metadata") or {},
        "proration_behavior": given.get("proration_behavior") or "create_prorations",
        "start_date": start,
    }
    made.update({name: given[name] for name in _FIELDS if given.get(name) is not None})
    if made["end_date"] <= made["start_date"]:
        raise invalid("A phase must end after it starts.", f"{path}[end_date]")
    return made


def new(state: State, customer: str, phases: list[Obj], end_behavior: str, metadata: Obj) -> Obj:
    """Make a schedule that has still to begin."""
    now = state.now()
    made: Obj = {
        "id": state.ids.new("sub_sched"),
        "object": KIND,
        "application": None,
        "billing_mode": billing_mode("flexible", now),
        "canceled_at": None,
        "completed_at": None,
        "created": now,
        "current_phase": None,
        "customer": customer,
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {
                "account_tax_ids": None,
                "days_until_due": None,
                "issuer": {"type": "self"},
            },
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": end_behavior,
        "livemode": state.settings.livemode,
        "metadata": metadata,
        "phases": phases,
        "released_at": None,
        "released_subscription": None,
        "status": "not_started",
        "subscription": None,
        "test_clock": None,
    }
    return state.store.add(KIND, made)


def adopt(state: State, schedule: Obj, subscription: Obj) -> None:
    """Let a new schedule have a running subscription, in its first phase."""
    schedule.update(status="active", subscription=subscription["id"])
    _begin(schedule, schedule["phases"][0])
    state.emit(f"{KIND}.created", schedule)
    with state.changing(subscription, UPDATED):
        subscription["schedule"] = schedule["id"]
    watch(state, schedule)


def begin(state: State, schedule: Obj) -> None:
    """The first phase: the subscription is made."""
    if schedule["status"] != "not_started":
        return
    first = schedule["phases"][0]
    rows = [
        (state.store.get("price", row["price"]), row.get("quantity"), dict(row["metadata"]))
        for row in first["items"]
    ]
    with state.changing(schedule, f"{KIND}.updated"):
        subscription = subscriptions.start(
            state,
            Start(
                customer=state.store.get("customer", schedule["customer"]),
                items=rows,
                metadata=dict(first["metadata"]),
                description=first["description"],
                default_payment_method=first["default_payment_method"],
                collection_method=first["collection_method"] or "charge_automatically",
                behavior="scheduled",
                off_session=True,
                schedule=schedule["id"],
            ),
        )
        schedule.update(status="active", subscription=subscription["id"])
        _begin(schedule, first)
    watch(state, schedule)


def _begin(schedule: Obj, found: Obj) -> None:
    schedule["current_phase"] = {"end_date": found["end_date"], "start_date": found["start_date"]}


def watch(state: State, schedule: Obj) -> None:
    """Plan a schedule's next moments; called whenever its phases have changed."""
    if schedule["status"] == "not_started":
        state.agenda.at(schedule["phases"][0]["start_date"], lambda: begin(state, schedule))
        return
    state.agenda.at(schedule["current_phase"]["end_date"], lambda: advance(state, schedule))
    end = schedule["phases"][-1]["end_date"]
    notice = max(state.now(), end - NOTICE_SECONDS)
    state.agenda.at(notice, lambda: _notice(state, schedule, end))


def _notice(state: State, schedule: Obj, end: int) -> None:
    hidden = state.store.hidden(schedule)
    still = schedule["status"] == "active" and schedule["phases"][-1]["end_date"] == end
    if still and hidden.get("noticed") != end:
        hidden["noticed"] = end
        state.emit(f"{KIND}.expiring", schedule)


def period_due(state: State, subscription: Obj) -> None:
    """A period is about to end: a phase that begins then comes first."""
    schedule = state.store.find(KIND, subscription["schedule"])
    if schedule is not None:
        advance(state, schedule)


def advance(state: State, schedule: Obj) -> None:
    """Enter the phases whose time has come, or end."""
    while schedule["status"] == "active" and schedule["current_phase"]["end_date"] <= state.now():
        end = schedule["current_phase"]["end_date"]
        following = [one for one in schedule["phases"] if one["start_date"] >= end]
        if not following and schedule["end_behavior"] == "renew":
            last = schedule["phases"][-1]
            length = last["end_date"] - last["start_date"]
            following = [{**last, "start_date": end, "end_date": end + length}]
            schedule["phases"] = [*schedule["phases"], *following]
        if not following:
            _end(state, schedule)
            return
        with state.changing(schedule, f"{KIND}.updated"):
            _begin(schedule, following[0])
        apply(state, schedule, following[0], following[0]["proration_behavior"])
        watch(state, schedule)


def apply(state: State, schedule: Obj, found: Obj, behavior: str) -> None:
    """Give the subscription what the phase says."""
    subscription = state.store.get("subscription", schedule["subscription"])
    wanted, left = [], [dict(row) for row in found["items"]]
    for item in subscription["items"]["data"]:
        same = next((row for row in left if row["price"] == item["price"]["id"]), None)
        if same is None:
            wanted.append({"id": item["id"], "deleted": True})
            continue
        left.remove(same)
        wanted.append({"id": item["id"], "quantity": same.get("quantity")})
    wanted += [
        {"price": r["price"], "quantity": r.get("quantity"), "metadata": r["metadata"]}
        for r in left
    ]
    if period_of(subscription).end <= state.now():
        behavior = "none"  # nothing of the period is left to share out
    restart = found["billing_cycle_anchor"] == "phase_start"
    proposal = items.propose(state, subscription, wanted, behavior, restart=restart)
    invoice = None
    with state.changing(subscription, UPDATED):
        items.adopt(state, subscription, proposal)
        subscription["metadata"] = {**subscription["metadata"], **found["metadata"]}
        subscription.update({n: found[n] for n in _FIELDS if found[n] is not None})
        if proposal.at_once:
            invoice = bills.bill_change(state, subscription, proposal.lines)
    state.hooks.subscription_started(state, subscription)
    if invoice is not None:
        changes.collect_now(state, subscription, invoice, True)


def _end(state: State, schedule: Obj) -> None:
    if schedule["end_behavior"] != "cancel":
        release(state, schedule)
        return
    subscription = state.store.get("subscription", schedule["subscription"])
    schedule.update(status="completed", completed_at=state.now(), current_phase=None)
    state.emit(f"{KIND}.completed", schedule)
    if subscription["status"] not in subscriptions.ENDED:
        subscriptions.cancel(state, subscription, "cancellation_requested")


def release(state: State, schedule: Obj) -> None:
    """Let the subscription go on without its schedule."""
    must_be_open(schedule, "release")
    subscription = state.store.find("subscription", schedule["subscription"])
    schedule.update(
        status="released",
        released_at=state.now(),
        released_subscription=schedule["subscription"],
        subscription=None,
        current_phase=None,
    )
    state.emit(f"{KIND}.released", schedule)
    if subscription is not None:
        with state.changing(subscription, UPDATED):
            subscription["schedule"] = None


def cancel(state: State, schedule: Obj, word: str = "canceled") -> None:
    """End the schedule and its subscription; `word` "aborted": for want of payment."""
    must_be_open(schedule, "cancel")
    subscription = state.store.find("subscription", schedule["subscription"])
    schedule.update(status="canceled", canceled_at=state.now(), current_phase=None)
    state.emit(f"{KIND}.{word}", schedule)
    if subscription is not None and subscription["status"] not in subscriptions.ENDED:
        subscriptions.cancel(state, subscription, "cancellation_requested")


def subscription_ended(state: State, subscription: Obj) -> None:
    """The subscription has ended by itself: so does its schedule."""
    schedule = state.store.find(KIND, subscription["schedule"])
    if schedule is not None and schedule["status"] in OPEN:
        reason = subscription["cancellation_details"]["reason"]
        cancel(state, schedule, "aborted" if reason == "payment_failed" else "canceled")


def must_be_open(schedule: Obj, verb: str) -> None:
    """Refuse what would change a schedule that is over."""
    if schedule["status"] not in OPEN:
        raise invalid(
            f"You cannot {verb} a subscription schedule that is currently in the"
            f" `{schedule['status']}` status."
        )
