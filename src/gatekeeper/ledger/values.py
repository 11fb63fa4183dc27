"""What the ledger keeps: accounts, grants, holds and entries, as immutable values.

An account is one row per customer and unit. It carries its spendable grants inside itself, so that
one lock and one read show a whole and consistent account. Amounts are whole numbers of the unit's
smallest part; instants are aware UTC datetimes.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

import msgspec

from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.types import Every


class GrantKind(StrEnum):
    """Where a grant came from."""

    PLAN = "plan"
    TRIAL = "trial"
    ROLLOVER = "rollover"
    TOP_UP = "top_up"
    MANUAL = "manual"
    PROMOTIONAL = "promotional"
    RETURNED = "returned"
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
    GRANT_REVOKED = "grant_revoked"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    HOLD_EXPIRED = "hold_expired"
    MINT = "mint"
    UNMINT = "unmint"
    CLAWBACK = "clawback"
    DEBT = "debt"
    DEBT_REPAID = "debt_repaid"


class LiveGrant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of a grant that still matters, packed into its account's row.

    `remaining` can be spent, `held` belongs to open holds. A minting grant (an unlimited unit, or
    overage) has nothing remaining: it makes exactly what a hold asks of it, at most `mint_left`
    (None: no bound), and nothing while it is `paused`. `meter` names the meter that bills what a
    minting grant has made. A grant that begins later has its amount `pending` until `starts_at`.
    What comes back to a grant that was ended on purpose (`lapses`) is lost. A `returned` grant
    holds what came back to grants that had ended; more may be added to it.
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
    pending: int = 0
    starts_at: datetime | None = None
    lapses: bool = False
    returned: bool = False


class Received(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one target has already been given, and where its window stands in its series.

    `until` None: remembered for ever. The latest window of a series is remembered beyond its
    `until`, until a later one is granted. `left` is what had not been used when its time was over:
    a window that is paid for late takes over what it would have had in time. `room` is how much
    more this window may take over, of what holds claim of the window before (None: no bound).
    """

    amount: int | None
    until: datetime | None = None
    series: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    left: int = 0
    room: int | None = 0


class Cap(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How much of an account may be used, held or spent, in each window of the UTC calendar.

    `scope` "" is the whole account; "design" is a part of it, and "design/ann" a part of that. A
    `limit` of None counts without refusing. It counts from `window_start` on, which is later than
    the window's own start where a plan's cap came into force within it. `reached` says that its
    being used up was told.
    """

    every: Every
    limit: int | None
    window_start: datetime
    window_end: datetime
    used: int = 0
    scope: str = ""
    source: Literal["plan", "host"] = "plan"
    reached: bool = False


class Fresh(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Up to when, and for which facts, an account is up to date.

    Until `until` (None: for ever), and as long as the customer's `version` and the gate's `rules`
    are the same, bringing it up to date would change nothing. `formulas` are the customer's own
    rates, by the key of the cost. `frozen` is why nothing may be held for the customer now.
    """

    version: int
    rules: str
    until: datetime | None = None
    formulas: dict[str, Formula] = {}
    frozen: str | None = None


class Account(msgspec.Struct, frozen=True, gc=False):
    """One customer's account of one unit.

    `posted` counts every credit that is there, `held` those of them that open holds claim;
    `posted - held` can be spent. `debt` is what a clawback could not find. `version` is the
    sequence number of the last entry; `revision` moves on with everything that is written here or
    about its holds. No open hold ends before `holds_due_at` (None: there is none). `alerts` names
    the thresholds that were crossed and told; `notice_due_at` is when a grant's expiry is to be
    told of. `top_up_below` is the available amount below which an automatic top-up is due.
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
    revision: int = 0
    caps: tuple[Cap, ...] = ()
    alerts: tuple[str, ...] = ()
    fresh: Fresh | None = None
    holds_due_at: datetime | None = None
    notice_due_at: datetime | None = None
    top_up_below: int | None = None

    @property
    def available(self) -> int:
        """What can be spent now, leaving minting grants aside."""
        return self.posted - self.held


class Grant(msgspec.Struct, frozen=True, gc=False):
    """The immutable record of an allotment. `source_key` is the business key of what gave it.

    `metadata` is the caller's own, as the text of a JSON object; here and everywhere else.
    """

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
    effective_at: datetime | None = None
    priority: int = 0
    metadata: str | None = None


class Allocation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How much of a hold came from which grant."""

    grant_id: str
    amount: int


class Hold(msgspec.Struct, frozen=True, gc=False):
    """A pending claim on a unit. Its allocations are in burn order and sum up to `remaining`.

    The cost (credits = quantity x numerator / denominator, or a formula; rounded up once) is fixed
    when the hold is made: a later change of the catalogue or plan does not touch it.
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
    scope: str = ""
    metadata: str | None = None
    formula: Formula | None = None

    @property
    def remaining(self) -> int:
        """What has been neither captured nor given back, while the hold is open."""
        return self.amount - self.captured

    def credits_for(self, measured: int | Mapping[str, int]) -> int:
        """The credits that `measured` of the measured thing costs at the hold's own rate."""
        if self.formula is not None:
            return self.formula.amount_for(measured)
        if isinstance(measured, Mapping):
            term = RateTerm(self.cost_numerator, self.cost_denominator)
            return Formula(terms=(term,)).amount_for(measured)
        return -(-measured * self.cost_numerator // self.cost_denominator)


class Entry(msgspec.Struct, frozen=True, gc=False):
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
    scope: str = ""
    metadata: str | None = None


class OverageUse(msgspec.Struct, frozen=True):
    """Use beyond the grants that a capture has made final, to be billed through `meter`."""

    meter: str
    amount: int
    entry_sequence: int


class UnitPolicy(msgspec.Struct, frozen=True):
    """What is declared of a unit, whoever has it.

    Attributes:
        low: tell when no more than this is left; None is never.
        expiry_notice: how long before its expiry a grant that is not used up is told of.
        late_return: what a hold gives back to a grant that has expired meanwhile can be spent for
            so long; zero lapses it at once.
    """

    low: int | None = None
    expiry_notice: timedelta | None = None
    late_return: timedelta = timedelta(0)


SignalKind = Literal[
    "credits.low", "credits.exhausted", "cap.reached", "grant.expiring", "top_up.due"
]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold that an account has crossed, told once for each crossing.

    `left` is what is not spent yet (held or not); of "top_up.due" it is what can be spent. The
    other fields are those of its kind: the cap that is used up, or the grant that is about to
    expire.
    """

    kind: SignalKind
    customer: str
    unit: str
    left: int
    threshold: int | None = None
    scope: str | None = None
    every: Every | None = None
    grant_id: str | None = None
    expires_at: datetime | None = None


class Change(msgspec.Struct, frozen=True, gc=False):
    """All that one command does to an account, to be written in one transaction.

    `caps` are the scoped caps that have changed; those of the whole account are inside it.
    """

    account: Account
    entries: tuple[Entry, ...] = ()
    grants: tuple[Grant, ...] = ()
    hold: Hold | None = None
    overage: tuple[OverageUse, ...] = ()
    caps: tuple[Cap, ...] = ()
    signals: tuple[Signal, ...] = ()
