"""How a customer stands: all that they have, and what they should know, read at one moment."""

from gatekeeper.services.standing.desk import StandingDesk, standing_of
from gatekeeper.services.standing.values import (
    Expiring,
    Running,
    Standing,
    StandingWarning,
    UnitStanding,
    WarningKind,
)

__all__ = [
    "Expiring",
    "Running",
    "Standing",
    "StandingDesk",
    "StandingWarning",
    "UnitStanding",
    "WarningKind",
    "standing_of",
]
