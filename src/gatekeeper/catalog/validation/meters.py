"""Checking what the use of meters costs."""

from collections.abc import Container, Iterable
from typing import Final, get_args

from gatekeeper.catalog.currencies import MAX_PRICE_MINOR, find_currency
from gatekeeper.catalog.features import Meter, MeterPrice
from gatekeeper.catalog.plans import PriceInterval
from gatekeeper.catalog.validation.faults import Faults, shown
from gatekeeper.catalog.validation.prices import MAX_INTERVALS, MAX_LOOKUP_KEY_CHARS

MAX_PER: Final = 10**12
"""Stripe takes the amount of one unit as a decimal of at most 12 places
(https://docs.stripe.com/api/prices/create)."""


def check_meter_prices(faults: Faults, meters: Iterable[Meter], taken: Container[str]) -> None:
    """Check the prices of meters; `taken` are the lookup keys of plans and packs."""
    seen: dict[str, str] = {}
    for meter in meters:
        for where, price in faults.items(f"meters[{meter.key!r}].prices", meter.prices, MeterPrice):
            _check(faults, where, price)
            key = price.lookup_key
            if not isinstance(key, str):
                continue  # which is a fault already
            if key in taken or key in seen:
                faults.add(where, f"{key!r} is the lookup key of another price already")
            seen[key] = where


def _check(faults: Faults, where: str, price: MeterPrice) -> None:
    faults.text(f"{where}.lookup_key", price.lookup_key, at_most=MAX_LOOKUP_KEY_CHARS)
    faults.whole(f"{where}.amount_minor", price.amount_minor, minimum=0, maximum=MAX_PRICE_MINOR)
    if find_currency(price.currency) is None:
        faults.add(
            f"{where}.currency",
            f"{shown(price.currency)} is no currency of Stripe's in three lower-case letters",
        )
    if faults.whole(f"{where}.per", price.per, maximum=MAX_PER) and not _is_exact(price.per):
        faults.add(f"{where}.per", "must be made of twos and fives alone, such as 1, 10 or 100")
    most = 1
    if faults.choice(f"{where}.every", price.every, get_args(PriceInterval)):
        most = MAX_INTERVALS[price.every]
    faults.whole(f"{where}.every_count", price.every_count, maximum=most)


def _is_exact(per: int) -> bool:
    """Whether one unit's amount has at most 12 decimal places, whatever the amount."""
    return 10**12 % per == 0
