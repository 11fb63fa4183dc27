"""What can be asked of an account. Commands are data; `engine.apply` carries them out.

Every id is made by the caller before the command is sent, so that sending it again after an
unknown outcome can be recognised.
"""

from datetime import datetime
from typing import Literal

import msgspec

from gatekeeper.formulas import Formula
from gatekeeper.ledger.values import GrantKind
from gatekeeper.types import Every

Overrun = Literal["refuse", "cap", "overage"]
"""What a capture beyond the hold does: raise OverrunError; capture all and note the rest; or take
the rest from the account, and note as debt what is not there."""


class GrantCredits(msgspec.Struct, frozen=True, tag=True):
    """Add a grant of `amount`. `source_key` is the business key of a purchase, unique for ever."""

    grant_id: str
    amount: int
    kind: GrantKind
    source_key: str | None = None
    priority: int = 0
    expires_at: datetime | None = None
    actor: str | None = None
    reason: str | None = None
    effective_at: datetime | None = None
    metadata: str | None = None


class Reserve(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Claim `amount` until `expires_at`: all of it, or with `partial` what is there, if any."""

    hold_id: str
    amount: int
    expires_at: datetime
    partial: bool = False
    cost_numerator: int = 1
    cost_denominator: int = 1
    actor: str | None = None
    feature: str | None = None
    reference: str | None = None
    scope: str = ""
    metadata: str | None = None
    formula: Formula | None = None


class Capture(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Spend `amount` of a hold (None: all that is left of it).

    The rest is given back and the hold ends, unless the capture is not `final`.
    """

    amount: int | None = None
    overrun: Overrun = "refuse"
    final: bool = True


class Release(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Give a hold back unspent; the hold ends."""


class Extend(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Keep a hold until `expires_at`, and claim `add_amount` more, which must be there."""

    expires_at: datetime
    add_amount: int = 0


class Expire(msgspec.Struct, frozen=True, tag=True):
    """End a hold whose time is over and give it back."""


class Clawback(msgspec.Struct, frozen=True, tag=True):
    """Take `amount` back, from `grant_id` first; what can't be found becomes debt."""

    amount: int
    grant_id: str | None = None
    actor: str | None = None
    reference: str | None = None


class Revoke(msgspec.Struct, frozen=True, tag=True):
    """End a grant now: what is left of it lapses; what holds have claimed stays theirs."""

    grant_id: str
    actor: str | None = None
    reason: str | None = None


class SetCap(msgspec.Struct, frozen=True, tag=True):
    """Set the host's cap of a scope for each window of `every`; a `limit` of None removes it.

    `used` is what the scope has used in the running window before.
    """

    every: Every
    limit: int | None
    scope: str = ""
    used: int = 0
    actor: str | None = None


AccountCommand = GrantCredits | Reserve | Clawback | Revoke | SetCap
HoldCommand = Capture | Release | Extend | Expire
