"""The gate: one object that a host app opens, in parts of one subject each."""

from gatekeeper.gate.gatekeeper import Gatekeeper
from gatekeeper.gate.working import WorkDone

__all__ = ["Gatekeeper", "WorkDone"]
