"""Metered prices: what is declared, as Stripe wants and has it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from gatekeeper.catalog import Meter, MeterPrice
from gatekeeper.stripe.client import Obj

MADE_BY: Final = {"made_by": "gatekeeper"}
"""The metadata of what `gatekeeper stripe setup` makes."""


def is_as_declared(price: MeterPrice, found: Obj) -> bool:
    """Whether Stripe's price is a metered one, in force, of the declared amount and interval."""
    recurring = found.get("recurring") or {}
    amount = found.get("unit_amount_decimal")
    return (
        bool(found.get("active", True))
        and amount is not None
        and Decimal(amount) == Decimal(price.unit_amount_decimal)
        and found.get("currency") == price.currency
        and recurring.get("usage_type") == "metered"
        and recurring.get("interval") == price.every
        and (recurring.get("interval_count") or 1) == price.every_count
    )


def metered_problem(
    price: MeterPrice, found: Obj | None, meter: Meter, ids: Mapping[str, str]
) -> str | None:
    """How Stripe's price differs from the declared one, as people read it; None if it does not.
    `ids` are those of Stripe's meters, by their event names."""
    wanted = f"{price.unit_amount_decimal} {price.currency}"
    if found is None:
        return f"is missing ({wanted} for one)"
    of_meter = (found.get("recurring") or {}).get("meter")
    if is_as_declared(price, found) and of_meter == ids.get(meter.event_name):
        return None
    return f"{found['id']} is another than {wanted} for one; a new one takes the lookup key"


def metered_params(price: MeterPrice, product_id: str) -> dict[str, Any]:
    """The parameters of a metered price but for its meter's id, which may not be known yet."""
    return {
        "product": product_id,
        "currency": price.currency,
        "unit_amount_decimal": price.unit_amount_decimal,
        "lookup_key": price.lookup_key,
        "transfer_lookup_key": True,
        "recurring": {
            "interval": price.every,
            "interval_count": price.every_count,
            "usage_type": "metered",
        },
        "metadata": dict(MADE_BY),
    }
