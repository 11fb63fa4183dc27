"""Invoice lines: what a subscription item costs for a period, full, prorated or by use."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from gatekeeper.testing.stripe.core.money import money
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` to `end`, in unix seconds."""

    start: int
    end: int


def cost(price: Obj, quantity: int | None) -> int:
    """Minor units for a quantity; a fraction of one is rounded half up, once."""
    amount = Decimal(price["unit_amount_decimal"]) * (1 if quantity is None else quantity)
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def new_line(
    state: State,
    item: Obj,
    *,
    amount: int,
    quantity: int | None,
    period: Period,
    proration: bool = False,
    description: str,
    price: Obj | None = None,
) -> Obj:
    """A line of a subscription item, which does not belong to an invoice yet."""
    price = price or item["price"]
    return {
        "id": state.ids.new("il"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": description,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": None,
        "livemode": state.settings.livemode,
        "metadata": {},
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
        },
        "period": {"start": period.start, "end": period.end},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "subtotal": amount,
        "taxes": [],
    }


def is_metered(item: Obj) -> bool:
    """Whether the item is billed by use, after the period."""
    return bool(item["price"]["recurring"]["usage_type"] == "metered")


def licensed_line(state: State, item: Obj, period: Period, *, trial: bool = False) -> Obj:
    """The line that buys the item for a period; nothing during a trial."""
    price, quantity = item["price"], item["quantity"]
    name = state.store.get("product", price["product"])["name"]
    each = money(price["unit_amount"] or cost(price, 1), price["currency"])
    interval = price["recurring"]["interval"]
    text = f"{quantity} × {name} (at {each} / {interval})"
    return new_line(
        state,
        item,
        amount=0 if trial else cost(price, quantity),
        quantity=quantity,
        period=period,
        description=f"Trial period for {name}" if trial else text,
    )


def metered_line(state: State, item: Obj, customer: str, period: Period) -> Obj:
    """The line that bills a period's use, as the meter's events tell it."""
    used = usage(state, item["price"]["recurring"]["meter"], customer, period)
    name = state.store.get("product", item["price"]["product"])["name"]
    return new_line(
        state,
        item,
        amount=cost(item["price"], used),
        quantity=used,
        period=period,
        description=f"{used} × {name}",
    )


def usage(state: State, meter_id: str, customer: str, period: Period) -> int:
    """A customer's use within a period by the meter's own formula."""
    meter = state.store.get("billing.meter", meter_id)
    mapping, value = meter["customer_mapping"], meter["value_settings"]
    events: list[Any] = [
        event
        for event in state.store.all("billing.meter_event")
        if event["event_name"] == meter["event_name"]
        and event["payload"].get(mapping["event_payload_key"]) == customer
        and period.start <= event["timestamp"] < period.end
    ]
    values = [Decimal(event["payload"][value["event_payload_key"]]) for event in events]
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return len(values)
    if formula == "last":
        latest = max(events, key=lambda event: event["timestamp"], default=None)
        return int(values[events.index(latest)]) if latest else 0
    return int(sum(values))


def proration_line(
    state: State,
    item: Obj,
    period: Period,
    now: int,
    *,
    credit: bool,
    share: Decimal = Decimal(1),
) -> Obj:
    """What an item costs for the rest of a period, to the second, or the credit for that; `share`
    is what discounts leave of its price.

    Source: Stripe's page "Prorations".
    """
    left = Decimal(period.end - now) / Decimal(max(1, period.end - period.start))
    price, quantity = item["price"], item["quantity"]
    exact = Decimal(price["unit_amount_decimal"]) * quantity * left * share
    exact = -exact if credit else exact
    name = state.store.get("product", price["product"])["name"]
    words = "Unused time on" if credit else "Remaining time on"
    return new_line(
        state,
        item,
        amount=int(exact.quantize(Decimal(1), ROUND_HALF_UP)),
        quantity=quantity,
        period=Period(now, period.end),
        proration=True,
        description=f"{words} {quantity} × {name}",
    )
