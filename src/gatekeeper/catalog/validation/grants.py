"""Checking one grant of a plan."""

from typing import Final, get_args

from gatekeeper.catalog.features import Meter
from gatekeeper.catalog.units import Cadence, GrantSpec, OnCancel, OnUpgrade, Unit
from gatekeeper.catalog.validation.faults import Faults
from gatekeeper.catalog.validation.names import Names
from gatekeeper.types import UNLIMITED

MAX_EXPIRY_DAYS: Final = 36_525
"""A hundred years: beyond that, say nothing and the grant lives for ever."""
MAX_PRIORITY: Final = 1_000_000

# What the default plan can't have: nobody subscribes to it, it is there from the sign-up.
_NO_QUANTITY: Final = "the default plan has no quantity to count by"
_NOBODY_TO_BILL: Final = "the default plan has no subscription to bill"


def check_grant(
    faults: Faults, names: Names, place: str, spec: GrantSpec, *, on_default: bool
) -> bool:
    """Whether the grant is sound by itself; notes every fault of it."""
    before = len(faults)
    sound = faults.instance(f"{place}.unit", spec.unit, Unit) and names.declare(place, spec.unit)
    if spec.key is not None:
        faults.key(f"{place}.key", spec.key)
    faults.whole(f"{place}.amount", spec.amount, unlimited=True)
    if spec.trial is not None:
        faults.whole(f"{place}.trial", spec.trial, unlimited=True)
    faults.whole(f"{place}.priority", spec.priority, minimum=-MAX_PRIORITY, maximum=MAX_PRIORITY)
    faults.choice(f"{place}.on_cancel", spec.on_cancel, get_args(OnCancel))
    if faults.choice(f"{place}.cadence", spec.cadence, get_args(Cadence)):
        _check_lifetime(faults, place, spec)
    _check_on_upgrade(faults, place, spec, on_default=on_default)
    _check_per_quantity(faults, place, spec, on_default=on_default)
    _check_rollover(faults, place, spec)
    sound = _check_overage(faults, names, place, spec, on_default=on_default) and sound
    return sound and len(faults) == before


def _check_on_upgrade(faults: Faults, place: str, spec: GrantSpec, *, on_default: bool) -> None:
    where = f"{place}.on_upgrade"
    if not faults.choice(where, spec.on_upgrade, get_args(OnUpgrade)) or spec.on_upgrade == "keep":
        return
    if not on_default:
        faults.add(where, "only the default plan gives way to another; there is on_cancel=")
    if spec.cadence == "once":
        faults.add(where, "what is made once is never replaced")


def _check_per_quantity(faults: Faults, place: str, spec: GrantSpec, *, on_default: bool) -> None:
    where = f"{place}.per_quantity"
    if not faults.flag(where, spec.per_quantity) or not spec.per_quantity:
        return
    if on_default:
        faults.add(where, _NO_QUANTITY)
    if spec.amount is UNLIMITED:
        faults.add(where, "UNLIMITED can't be multiplied by a quantity")


def _check_lifetime(faults: Faults, place: str, spec: GrantSpec) -> None:
    where, days = f"{place}.expires_after_days", spec.expires_after_days
    if days is None:
        return
    faults.whole(where, days, maximum=MAX_EXPIRY_DAYS)
    if spec.cadence != "once":
        faults.add(where, "a recurring grant ends with its window")


def _check_rollover(faults: Faults, place: str, spec: GrantSpec) -> None:
    where = f"{place}.rollover"
    if not faults.whole(where, spec.rollover, minimum=0, unlimited=True) or spec.rollover == 0:
        return
    if spec.cadence == "once":
        faults.add(where, "only what recurs can be carried over")
    if spec.amount is UNLIMITED:
        faults.add(where, "UNLIMITED leaves nothing to carry over")


def _check_overage(
    faults: Faults, names: Names, place: str, spec: GrantSpec, *, on_default: bool
) -> bool:
    where, meter = f"{place}.overage", spec.overage
    if spec.overage_limit is not None:
        faults.whole(f"{place}.overage_limit", spec.overage_limit)
        if meter is None:
            faults.add(f"{place}.overage_limit", "there is no overage to limit")
    if meter is None:
        return True
    if spec.cadence == "once":
        faults.add(where, "only a recurring grant has windows to bill")
    if spec.amount is UNLIMITED:
        faults.add(where, "UNLIMITED is never used up")
    if on_default:
        faults.add(where, _NOBODY_TO_BILL)
    return faults.instance(where, meter, Meter) and names.declare(where, meter)
