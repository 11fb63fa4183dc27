"""Checking a catalogue: every fault is found in one run and named with its place.

`declarations.py` checks each value by itself and gathers the sound ones; `resolution.py` checks how
the plans fit together and works out what each one's terms are.
"""

from gatekeeper.catalog.validation.declarations import Declarations
from gatekeeper.catalog.validation.faults import Faults
from gatekeeper.catalog.validation.resolution import resolve

__all__ = ["Declarations", "Faults", "resolve"]
