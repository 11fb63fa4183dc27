"""What the ledger keeps: accounts, grants, holds and entries, as immutable values.

An account is one row per customer and unit. It carries its spendable grants inside itself, so that
one lock and one read show a whole and consistent account. Amounts are whole numbers of the unit's
smallest part; instants are aware UTC datetimes.
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class GrantKind(StrEnum):
    """Where a grant came from."""

    PLAN = "plan"
    TRIAL = "trial"
    ROLLOVER = "rollover"
    TOP_UP = "top_up"
    MANUAL = "manual"
    OVERAGE = "overage"


class HoldStatus(StrEnum):
    """A hold is open, or has ended in exactly one way."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


class EntryKind(StrEnum):
    """Why an entry was written."""

    GRANT = "grant"
    GRANT_EXPIRED = "grant_expired"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    HOLD_EXPIRED = "hold_expired"
    MINT = "mint"
    UNMINT = "unmint"
    CLAWBACK = "clawback"
    DEBT = "debt"
    DEBT_REPAID = "debt_repaid"


class LiveGrant(msgspec.Struct, frozen=True, array_like=True):
    """The part of a grant that still matters, packed into its account's row.

    `remaining` can be spent, `held` belongs to open holds. A minting grant (an unlimited unit, or
    overage) has nothing remaining: it makes exactly what a hold asks of it, at most `mint_left`
    (None: no bound), and nothing while it is `paused`. `meter` names the meter that bills what a
    minting grant has made.
    """

    id: str
    remaining: int
    created_at: datetime
    held: int = 0
    priority: int = 0
    expires_at: datetime | None = None
    series: str | None = None
    window_key: str | None = None
    window_end: datetime | None = None
    on_cancel: str = "expire"
    mints: bool = False
    mint_left: int | None = None
    meter: str | None = None
    paused: bool = False


class Received(msgspec.Struct, frozen=True, array_like=True):
    """What one target has already been given, and where its window stands in its series.

    `until` None: remembered for ever. The latest window of a series is remembered beyond its
    `until`, until a later one is granted. `left` is what had not been used when its time was over:
    a window that is paid for late takes over what it would have had in time.
    """

    amount: int | None
    until: datetime | None = None
    series: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    left: int = 0


class Account(msgspec.Struct, frozen=True):
    """One customer's account of one unit.

    `posted` counts every credit that is there, `held` those of them that open holds claim;
    `posted - held` can be spent. `debt` is what a clawback could not find. `version` is the
    sequence number of the last entry.
    """

    customer: str
    unit: str
    posted: int = 0
    held: int = 0
    debt: int = 0
    version: int = 0
    grants: tuple[LiveGrant, ...] = ()
    received: dict[str, Received] = {}
    last_entry_at: datetime | None = None

    @property
    def available(self) -> int:
        """What can be spent now, leaving minting grants aside."""
        return self.posted - self.held


class Grant(msgspec.Struct, frozen=True):
    """The immutable record of an allotment. `source_key` is the business key of what gave it."""

    id: str
    customer: str
    unit: str
    kind: GrantKind
    amount: int | None
    created_at: datetime
    expires_at: datetime | None = None
    source_key: str | None = None
    actor: str | None = None
    reason: str | None = None


class Allocation(msgspec.Struct, frozen=True, array_like=True):
    """How much of a hold came from which grant."""

    grant_id: str
    amount: int


class Hold(msgspec.Struct, frozen=True):
    """A pending claim on a unit. Its allocations are in burn order and sum up to `amount`.

    The cost (credits = quantity x numerator / denominator, rounded up once) is fixed when the
    hold is made: a later change of the catalogue or plan does not touch it.
    """

    id: str
    customer: str
    unit: str
    amount: int
    allocations: tuple[Allocation, ...]
    created_at: datetime
    expires_at: datetime
    status: HoldStatus = HoldStatus.OPEN
    captured: int = 0
    overrun: int = 0
    cost_numerator: int = 1
    cost_denominator: int = 1
    ended_at: datetime | None = None
    actor: str | None = None
    feature: str | None = None
    reference: str | None = None

    def credits_for(self, quantity: int) -> int:
        """The credits that `quantity` of the measured thing costs at the hold's own rate."""
        return -(-quantity * self.cost_numerator // self.cost_denominator)


class Entry(msgspec.Struct, frozen=True):
    """One append-only row of the ledger; an account's entries are numbered from 1 on."""

    customer: str
    unit: str
    sequence: int
    kind: EntryKind
    at: datetime
    posted_delta: int = 0
    held_delta: int = 0
    debt_delta: int = 0
    grant_id: str | None = None
    hold_id: str | None = None
    actor: str | None = None
    feature: str | None = None
    reference: str | None = None


class OverageUse(msgspec.Struct, frozen=True):
    """Use beyond the grants that a capture has made final, to be billed through `meter`."""

    meter: str
    amount: int
    entry_sequence: int


class Change(msgspec.Struct, frozen=True):
    """All that one command does to an account, to be written in one transaction."""

    account: Account
    entries: tuple[Entry, ...] = ()
    grants: tuple[Grant, ...] = ()
    hold: Hold | None = None
    overage: tuple[OverageUse, ...] = ()
