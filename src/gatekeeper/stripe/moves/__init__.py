"""Moves of subscriptions to other prices, many at once."""

from gatekeeper.stripe.moves.mover import MoveOptions, PriceMover
from gatekeeper.stripe.moves.values import (
    ItemMove,
    Move,
    MovePlan,
    MoveReport,
    Proration,
    Skipped,
    Target,
)

__all__ = [
    "ItemMove",
    "Move",
    "MoveOptions",
    "MovePlan",
    "MoveReport",
    "PriceMover",
    "Proration",
    "Skipped",
    "Target",
]
