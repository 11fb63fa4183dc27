"""Revenue."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from gatekeeper.asgi.billing.back_office.shared import moment, operation
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.values import Instant
from gatekeeper.errors import InvalidInputError
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.back_office.revenue import RevenueReport
from gatekeeper.storage.revenue import Money

_SPAN = timedelta(days=30)


class RevenueQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Of which span; of the last 30 days, if nothing is said.

    Attributes:
        since: from then on.
        until: before then; at most 400 days after `since`.
    """

    since: Instant | None = None
    until: Instant | None = None


class MoneyRow(msgspec.Struct, frozen=True, kw_only=True):
    """So much money, of so many."""

    currency: str
    count: int
    amount_minor: int


class RecurringRow(msgspec.Struct, frozen=True, kw_only=True):
    """Monthly recurring revenue in a currency, before discounts.

    Attributes:
        by_plan: "" is of no plan that is known.
    """

    currency: str
    amount_minor: int
    by_plan: dict[str, int]


class MovementRow(msgspec.Struct, frozen=True, kw_only=True):
    """How the number of paid subscriptions has changed in the span.

    Attributes:
        new: paid for the first time.
        returned: paid before, but not when the span began.
        lost: paid when it began, and no more when it ended.
        new_lost: those of `new` that were not paid any more when it ended.
        churn_rate: `lost` and `new_lost` over `at_start` and `new`.
    """

    at_start: int
    new: int
    returned: int
    lost: int
    new_lost: int
    at_end: int
    churn_rate: float | None


class CreditsRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a unit in the span, in its steps.

    Attributes:
        sold: by packs.
        granted: by plans and their trials.
        given: by hand.
        returned: given back, when a refund or dispute came to nothing.
        spent: captured, overage among it.
        lapsed: expired unused, or revoked.
        taken_back: for refunds and disputes.
    """

    unit: str
    sold: int
    granted: int
    given: int
    returned: int
    spent: int
    lapsed: int
    taken_back: int


class RevenueView(msgspec.Struct, frozen=True, kw_only=True):
    """What recurs at `at`, and what was earned in a span.

    Attributes:
        mrr: a yearly price counts a twelfth; no trials, no metered prices, no late payments beyond
            the grace.
        unpriced: how many items run of whose price the amount is not known; they are not in `mrr`.
        active: how many subscriptions run and are paid for.
        customers: how many customers have them.
        active_by_plan: a subscription of two plans counts for each.
        statuses: how many subscriptions there are in each of Stripe's statuses.
        invoiced: what was paid for invoices, taxes among it.
        one_time: what was paid for packs and orders.
        unknown_purchases: how many paid packs have no payment that is known.
        refunds: what was given back in the span, whenever it was paid.
        disputes: what was withdrawn, of disputes that were opened in the span.
    """

    at: datetime
    since: datetime
    until: datetime
    mrr: list[RecurringRow]
    unpriced: int
    active: int
    customers: int
    active_by_plan: dict[str, int]
    statuses: dict[str, int]
    movement: MovementRow
    invoiced: list[MoneyRow]
    one_time: list[MoneyRow]
    unknown_purchases: int
    refunds: list[MoneyRow]
    disputes: list[MoneyRow]
    credits: list[CreditsRow]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operation."""

    async def revenue(call: Call[None, RevenueQuery]) -> RevenueView:
        now = await gate.back_office.now()
        until = moment(call.query.until, "until") or now
        since = moment(call.query.since, "since") or until - _SPAN
        return _view(await gate.back_office.revenue.report(since, until))

    return (
        operation(
            "GET",
            "/admin/revenue",
            revenue,
            summary="What recurs, how it moves, and what was earned.",
            query=RevenueQuery,
            answer=RevenueView,
            errors=(InvalidInputError,),
        ),
    )


def _view(found: RevenueReport) -> RevenueView:
    moves = msgspec.structs.asdict(found.movement)
    return RevenueView(
        at=found.at,
        since=found.span.since,
        until=found.span.until,
        mrr=[
            RecurringRow(
                currency=one.currency, amount_minor=one.amount_minor, by_plan=dict(one.by_plan)
            )
            for one in found.mrr
        ],
        unpriced=found.unpriced,
        active=found.active,
        customers=found.customers,
        active_by_plan=dict(found.active_by_plan),
        statuses=dict(found.statuses),
        movement=MovementRow(**moves, churn_rate=found.churn_rate),
        invoiced=_monies(found.invoiced),
        one_time=_monies(found.one_time),
        unknown_purchases=found.unknown_purchases,
        refunds=_monies(found.refunds),
        disputes=_monies(found.disputes),
        credits=[CreditsRow(**msgspec.structs.asdict(one)) for one in found.credits],
    )


def _monies(found: Sequence[Money]) -> list[MoneyRow]:
    return [MoneyRow(**msgspec.structs.asdict(one)) for one in found]
