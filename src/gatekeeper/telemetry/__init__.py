"""What Gatekeeper tells of itself: metrics, spans and logs.

All of it is declared here, in tables (`metrics`, `spans`); the other rooms tell by a `Telemetry`
that they are handed. The pure rooms tell nothing.
"""

from functools import cache

from gatekeeper.telemetry.port import (
    OFF,
    Attributes,
    Reading,
    Readings,
    Span,
    Stopwatch,
    Telemetry,
)

__all__ = [
    "OFF",
    "Attributes",
    "Reading",
    "Readings",
    "Span",
    "Stopwatch",
    "Telemetry",
    "telemetry_of_process",
]


@cache
def telemetry_of_process() -> Telemetry:
    """What tells OpenTelemetry's global providers; without the package, nobody.

    One for all gates of the process: an instrument is made once."""
    try:
        from gatekeeper.telemetry.otel import OpenTelemetry  # here: it is an extra
    except ImportError:
        return OFF
    return OpenTelemetry()
