"""The ledger, as pure functions over values: accounts, grants, holds, entries, and their rules."""

from gatekeeper.ledger.allotments import Allotment, Target, refresh
from gatekeeper.ledger.balance import Balance, balance_of
from gatekeeper.ledger.burn import spendable
from gatekeeper.ledger.commands import (
    AccountCommand,
    Capture,
    Clawback,
    Expire,
    Extend,
    GrantCredits,
    HoldCommand,
    Overrun,
    Release,
    Reserve,
)
from gatekeeper.ledger.engine import apply, settle
from gatekeeper.ledger.idempotency import Receipt, check_replay, fingerprint
from gatekeeper.ledger.values import (
    Account,
    Allocation,
    Change,
    Entry,
    EntryKind,
    Grant,
    GrantKind,
    Hold,
    HoldStatus,
    LiveGrant,
    OverageUse,
    Received,
)

__all__ = [
    "Account",
    "AccountCommand",
    "Allocation",
    "Allotment",
    "Balance",
    "Capture",
    "Change",
    "Clawback",
    "Entry",
    "EntryKind",
    "Expire",
    "Extend",
    "Grant",
    "GrantCredits",
    "GrantKind",
    "Hold",
    "HoldCommand",
    "HoldStatus",
    "LiveGrant",
    "OverageUse",
    "Overrun",
    "Receipt",
    "Received",
    "Release",
    "Reserve",
    "Target",
    "apply",
    "balance_of",
    "check_replay",
    "fingerprint",
    "refresh",
    "settle",
    "spendable",
]
