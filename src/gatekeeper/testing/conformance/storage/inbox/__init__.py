"""The inbox: stored once, one claimer for each object, in order, and nothing forgotten."""

from gatekeeper.testing.conformance.storage.inbox.arriving import ArrivalConformance
from gatekeeper.testing.conformance.storage.inbox.claiming import ClaimConformance
from gatekeeper.testing.conformance.storage.inbox.settling import SettlingConformance

__all__ = ["InboxConformance"]


class InboxConformance(ArrivalConformance, ClaimConformance, SettlingConformance):
    """What every store must do with received events. Provide an opened `store` as a fixture."""
