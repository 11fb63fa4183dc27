"""Denials, told: why something was refused, and which name of the catalogue it was about."""

from gatekeeper.errors import DeniedError
from gatekeeper.telemetry import Telemetry, metrics


def tell_denial(telemetry: Telemetry, error: DeniedError, subject: str) -> None:
    """Count a denial. `subject` is a name of the catalogue, which has been found there."""
    telemetry.count(metrics.DENIALS, {metrics.REASON: error.code, metrics.SUBJECT: subject})
