"""`GET me`: what the customer has, and what they should know."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import CustomerNotFoundError
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.standing import (
    Running,
    Standing,
    StandingWarning,
    UnitStanding,
    WarningKind,
)
from gatekeeper.types import Unlimited


class ExpiringView(msgspec.Struct, frozen=True, kw_only=True):
    """So much can't be used from an instant on."""

    amount: int
    at: datetime


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """An account of the customer's, in the smallest steps of its unit.

    Attributes:
        available: what may be spent now; null is without a bound.
        overage: what may be used beyond that and is billed later; null is without a bound.
        held: what running work has claimed.
        spent: what was used since `spent_since`.
        spent_since: the start of the running window, where the plan grants in windows (a month,
            say); else when the customer began.
        debt: what was refunded after it was spent, and has to be repaid first.
        renews_at: when the next window begins; null if none follows.
        expiring: what has a date, the soonest first, but for what a renewal replaces.
    """

    available: int | None
    overage: int | None
    held: int
    spent: int
    spent_since: datetime
    debt: int
    renews_at: datetime | None
    expiring: list[ExpiringView]


class SubscriptionStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that is not over.

    Attributes:
        status: Stripe's word.
        plans: what it stands for.
        has_access: whether it gives that now.
        renews_at: when its next period begins and is paid for; null if it ends before, or is late.
        cancel_at: when it ends if nothing else happens.
        grace_until: until when it gives access although a payment is late.
        collection_paused: whether nothing is charged for it at present.
    """

    id: str
    status: str
    plans: list[str]
    quantity: int
    has_access: bool
    renews_at: datetime | None
    cancel_at: datetime | None
    trial_end: datetime | None
    grace_until: datetime | None
    collection_paused: bool


class WarningView(msgspec.Struct, frozen=True, kw_only=True):
    """Something to know, or to do something about.

    Attributes:
        code: which; stable, for programs.
        at: when it takes effect.
        unit: of what, if it is about credits.
        amount: how much is left, expires or is owed of the unit.
        subscription: which, if it is about one.
        invoice: what is to be paid: `POST invoices/{invoice}/pay`.
        amount_minor: what the invoice asks for, in minor units of `currency`.
        next_attempt_at: when Stripe tries to collect it again.
    """

    code: WarningKind
    at: datetime | None = None
    unit: str | None = None
    amount: int | None = None
    subscription: str | None = None
    invoice: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    next_attempt_at: datetime | None = None


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer has.

    Attributes:
        plan: the plan that counts.
        status: of the subscription that gives it, Stripe's word; null if nobody pays for it.
        plans: every plan that is satisfied, included ones among them.
        limits: null is without a bound.
        balances: by unit.
        warnings: what stops everything first, then what is about subscriptions, then credits.
    """

    customer: str
    plan: str
    status: str | None
    plans: list[str]
    features: list[str]
    limits: dict[str, int | None]
    balances: dict[str, BalanceView]
    subscriptions: list[SubscriptionStanding]
    warnings: list[WarningView]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operation."""

    async def me(call: Call) -> Me:
        return shown(await gate.standing.of(call.customer))

    return (
        Operation(
            "GET",
            "/me",
            me,
            summary="What the customer has: plan, features, limits, balances, warnings.",
            answer=Me,
            errors=(CustomerNotFoundError,),
        ),
    )


def shown(standing: Standing) -> Me:
    """How a customer stands, as it is answered."""
    return Me(
        customer=standing.customer,
        plan=standing.plan,
        status=standing.status,
        plans=sorted(standing.plans),
        features=sorted(standing.features),
        limits={
            key: None if isinstance(value, Unlimited) else value
            for key, value in sorted(standing.limits.items())
        },
        balances={unit.unit: balance(unit) for unit in standing.units},
        subscriptions=[_subscription(one) for one in standing.subscriptions],
        warnings=[warning(one) for one in standing.warnings],
    )


def balance(unit: UnitStanding) -> BalanceView:
    """An account, as it is answered."""
    return like(BalanceView, unit, expiring=[like(ExpiringView, one) for one in unit.expiring])


def _subscription(one: Running) -> SubscriptionStanding:
    return like(SubscriptionStanding, one, plans=list(one.plans))


def warning(one: StandingWarning) -> WarningView:
    """A warning, as it is answered."""
    return like(WarningView, one, code=one.kind)
