"""Checking one cap of a plan."""

from typing import get_args

from gatekeeper.catalog.units import CapSpec, Unit
from gatekeeper.catalog.validation.faults import Faults
from gatekeeper.catalog.validation.names import Names
from gatekeeper.types import Every


def check_cap(faults: Faults, names: Names, place: str, cap: CapSpec) -> bool:
    """Whether the cap is sound by itself; notes every fault of it."""
    sound = faults.instance(f"{place}.unit", cap.unit, Unit) and names.declare(place, cap.unit)
    sound = faults.choice(f"{place}.every", cap.every, get_args(Every)) and sound
    return faults.whole(f"{place}.limit", cap.limit) and sound
