"""What is said of how a customer stands."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from gatekeeper.types import Amount

WarningKind = Literal[
    "cancel_scheduled",
    "credits_exhausted",
    "credits_expiring",
    "credits_low",
    "debt",
    "frozen",
    "paused",
    "payment_failing",
    "trial_ending",
    "unpaid",
]
"""What a customer should know of: see `warnings`."""


class Expiring(msgspec.Struct, frozen=True, kw_only=True):
    """So much of a unit, in its steps, can't be used from an instant on."""

    amount: int
    at: datetime


class UnitStanding(msgspec.Struct, frozen=True, kw_only=True):
    """An account of a customer's, in the unit's steps.

    Attributes:
        available: what can be spent without overage; None is without bound.
        overage: what can be used beyond that and is billed later; None is without bound.
        held: what open holds claim.
        spent: what was captured since `spent_since`.
        spent_since: the start of the running window of what is granted in windows; where nothing
            is, when the customer began.
        debt: what has to be repaid before anything can be spent.
        renews_at: when the next window begins; None if nothing is granted in windows, or what
            grants it ends before.
        expiring: what has a date, the soonest first; not what a renewal replaces.
    """

    unit: str
    available: int | None
    overage: int | None
    held: int
    spent: int
    spent_since: datetime
    debt: int
    renews_at: datetime | None = None
    expiring: tuple[Expiring, ...] = ()


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that is not over.

    Attributes:
        plans: what its items stand for, by key.
        quantity: of its first item.
        has_access: whether it gives its plans now.
        renews_at: when its next period begins; None if it ends before, or is paused.
        cancel_at: when it ends if nothing else happens.
        grace_until: of one that is past due: until when it gives access all the same.
    """

    id: str
    status: str
    plans: tuple[str, ...]
    quantity: int
    has_access: bool
    renews_at: datetime | None = None
    cancel_at: datetime | None = None
    trial_end: datetime | None = None
    grace_until: datetime | None = None
    collection_paused: bool = False


class StandingWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the customer should know, or do something about.

    Attributes:
        kind: stable, for programs.
        at: when it takes effect: access ends, credits expire, the subscription or trial ends.
        unit: of what, for those of credits.
        amount: how much is left, expires, or is owed, in the unit's steps.
        subscription: which, for those of subscriptions.
        invoice: the open invoice that is to be paid.
        amount_minor: what it asks for, in minor units of `currency`.
        next_attempt_at: when Stripe tries to collect it again.
    """

    kind: WarningKind
    at: datetime | None = None
    unit: str | None = None
    amount: int | None = None
    subscription: str | None = None
    invoice: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    next_attempt_at: datetime | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a customer stands at `now`.

    Attributes:
        version: of what entitles them; it grows.
        plan: the plan that counts: of those in force the one that includes most others.
        status: Stripe's word for the subscription that gives it; None of a plan that nobody pays
            for.
        plans: all that is satisfied, included ones among them.
        units: by key, in the catalogue's order of names.
        changes_at: when any of this changes by itself; None if not in sight.
    """

    customer: str
    now: datetime
    version: int
    plan: str
    status: str | None
    plans: frozenset[str]
    features: frozenset[str]
    limits: Mapping[str, Amount]
    units: tuple[UnitStanding, ...]
    subscriptions: tuple[Running, ...]
    warnings: tuple[StandingWarning, ...]
    changes_at: datetime | None = None
