"""The outbox: what has to leave is written with the change that it tells of, and delivered after.

`tell` writes, `Deliverer` delivers to the receivers of a `SignalRegistry`; `caches` is the part
that tells the caches.
"""

from gatekeeper.services.outbox.deliverer import Deliverer
from gatekeeper.services.outbox.policy import DeliveryPolicy
from gatekeeper.services.outbox.signals import (
    TOPICS,
    Receiver,
    Signal,
    SignalRegistry,
    tell,
)

__all__ = [
    "TOPICS",
    "Deliverer",
    "DeliveryPolicy",
    "Receiver",
    "Signal",
    "SignalRegistry",
    "tell",
]
