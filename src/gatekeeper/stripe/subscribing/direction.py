"""Whether a change is more or less than what there is: more is paid for and had at once, less is
had with the next period, unless the host says otherwise."""

from typing import Final

from gatekeeper.catalog import Catalog, Price, PriceEntry

_DAYS: Final = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}


def is_more(
    catalog: Catalog, old: PriceEntry, new: PriceEntry, old_quantity: int, new_quantity: int
) -> bool:
    """Whether the new one is more.

    A plan that includes the other one is. So is, of one plan, the longer period: it is paid in
    advance. Else it is what costs more by the day.
    """
    assert old.plan is not None
    assert new.plan is not None
    if old.plan.key != new.plan.key:
        if new.plan.key in catalog.plans_satisfying(old.plan.key):
            return True
        if old.plan.key in catalog.plans_satisfying(new.plan.key):
            return False
    elif _days(old.price) != _days(new.price):
        return _days(new.price) > _days(old.price)
    return _by_the_day(new.price, new_quantity) > _by_the_day(old.price, old_quantity)


def _days(price: Price) -> float:
    return _DAYS[price.every or "month"] * price.every_count


def _by_the_day(price: Price, quantity: int) -> float:
    return price.amount_minor * quantity / _days(price)
