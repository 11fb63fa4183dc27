"""Metered usage: recorded as it happens, sealed into windows, told to Stripe from those."""

from gatekeeper.services.metering.recording import UsageRecorder
from gatekeeper.services.metering.sealing import LENGTHS, MAX_AGE, TOO_OLD, Sealer, WindowLength
from gatekeeper.services.metering.windows import UsageWindows, log_dead, reject, was_rejected

__all__ = [
    "LENGTHS",
    "MAX_AGE",
    "TOO_OLD",
    "Sealer",
    "UsageRecorder",
    "UsageWindows",
    "WindowLength",
    "log_dead",
    "reject",
    "was_rejected",
]
