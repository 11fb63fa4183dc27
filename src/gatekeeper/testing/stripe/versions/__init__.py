"""Objects in the shapes of older API versions, for webhook endpoints that were made under one.

`as_of(obj, version, known)` walks down from the simulator's own version, one step for each version
at which one of the kinds below changed its shape. Pure: what a step must know of other
objects (the price that a line names, the intent that paid) it asks of `known`.

Simplified: of other objects only the version's name changes; fields are removed and put back where
they were, but values that an old version could not express stay as they are.
"""

import copy
from collections.abc import Callable

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.versions import acacia, basil, clover, oldest
from gatekeeper.testing.stripe.versions.known import Known

VERSIONS = (
    "2026-10-28.endive",
    "2026-05-27.dahlia",
    "2025-09-30.clover",
    "2025-03-31.basil",
    "2025-02-24.acacia",
    "2020-03-02",
)
"""The versions that an endpoint may have, the newest first."""

Step = Callable[[Obj, Known], None]

# What leads into a version from the one before it in VERSIONS. Into dahlia nothing has to be done:
# the simulator's objects hold no field that came with endive.
_STEPS: dict[str, dict[str, Step]] = {
    "2025-09-30.clover": {"subscription": clover.subscription, "invoice": clover.invoice},
    "2025-03-31.basil": {
        "discount": basil.discount,
        "promotion_code": basil.promotion_code,
        "subscription": basil.subscription,
    },
    "2025-02-24.acacia": {
        "charge": acacia.of_invoice,
        "invoice": acacia.invoice,
        "payment_intent": acacia.of_invoice,
        "subscription": acacia.subscription,
    },
    "2020-03-02": {
        "charge": oldest.charge,
        "invoice": oldest.invoice,
        "payment_intent": oldest.payment_intent,
        "subscription": oldest.subscription,
    },
}


def as_of(obj: Obj, version: str, known: Known) -> Obj:
    """A copy of an object in the shape of one of `VERSIONS`."""
    shown = copy.deepcopy(obj)
    for name in VERSIONS[: VERSIONS.index(version) + 1]:
        step = _STEPS.get(name, {}).get(obj["object"])
        if step is not None:
            step(shown, known)
    return shown


def event_as_of(event: Obj, version: str, known: Known) -> Obj:
    """A copy of an event, with the object in it in that version's shape.

    `previous_attributes` keep the names of the simulator's own version, where they differ.
    """
    if version == event["api_version"]:
        return event
    data = {**event["data"], "object": as_of(event["data"]["object"], version, known)}
    return {**event, "api_version": version, "data": data}
