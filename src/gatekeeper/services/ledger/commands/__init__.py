"""What can be asked of one account: each command says what it has to read, and decides by it."""

from gatekeeper.services.ledger.commands.accounts import AccountChange, CapCommand, GrantCommand
from gatekeeper.services.ledger.commands.base import Command, hold_of
from gatekeeper.services.ledger.commands.holds import (
    CaptureCommand,
    ExtendCommand,
    HoldCommandOf,
    ReleaseCommand,
)
from gatekeeper.services.ledger.commands.reserve import ReserveCommand
from gatekeeper.services.ledger.commands.upkeep import ExpireCommand, NoticeCommand, WatchCommand

__all__ = [
    "AccountChange",
    "CapCommand",
    "CaptureCommand",
    "Command",
    "ExpireCommand",
    "ExtendCommand",
    "GrantCommand",
    "HoldCommandOf",
    "NoticeCommand",
    "ReleaseCommand",
    "ReserveCommand",
    "WatchCommand",
    "hold_of",
]
