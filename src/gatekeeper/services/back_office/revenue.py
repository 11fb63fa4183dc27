"""Revenue: what recurs, how it moves, and what was earned in a span. What each figure counts is
said here, and in the guide to the back office; none is guessed.

Monthly recurring revenue (MRR) is the sum of the monthly prices of all that runs, forward-looking,
after Stripe's definition (https://docs.stripe.com/billing/subscriptions/analytics/glossary,
https://support.stripe.com/questions/billing-analytics): a yearly price counts a twelfth; trials and
metered prices don't count, nor do taxes. It differs in three points. Discounts are not taken off:
copies don't hold them. A late payment counts until the grace of the access policy is over, where
Stripe counts it until the subscription is unpaid. Of a subscription whose collection is paused
nothing counts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

import msgspec

from gatekeeper.catalog import Catalog
from gatekeeper.errors import InvalidInputError
from gatekeeper.ledger import EntryKind, GrantKind
from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.revenue import Money, Movement, Sold, Span

MAX_SPAN: Final = timedelta(days=400)
"""The longest span that is added up at once."""

_MONTHS: Final[Mapping[str, Fraction]] = {
    "day": Fraction(12, 365),
    "week": Fraction(12, 52),
    "month": Fraction(1),
    "year": Fraction(12),
}
"""How many months an interval has; days and weeks by what a year has of them."""

_SOLD: Final = (GrantKind.TOP_UP,)
_BY_PLANS: Final = (GrantKind.PLAN, GrantKind.TRIAL)
_BY_HAND: Final = (GrantKind.MANUAL, GrantKind.PROMOTIONAL)


class Recurring(msgspec.Struct, frozen=True, kw_only=True):
    """Monthly recurring revenue in a currency.

    Attributes:
        amount_minor: rounded once, half up.
        by_plan: the same by plan, each rounded; "" is of no plan that is known.
    """

    currency: str
    amount_minor: int
    by_plan: Mapping[str, int]


class Credits(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a unit in a span, in the unit's steps; grants without bound aside.

    Attributes:
        sold: by packs, automatic top-ups among them.
        granted: by plans and their trials. What a rollover carries over is not granted anew.
        given: by hand, promotions among them.
        returned: given back, when a refund or dispute came to nothing.
        spent: captured, overage among it.
        lapsed: expired unused, or revoked. What a rollover carries over lapses in one window, and
            is not counted when it begins in the next.
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


class RevenueReport(msgspec.Struct, frozen=True, kw_only=True):
    """What recurs at `at`, and what was earned in a span.

    Attributes:
        mrr: by currency.
        unpriced: how many items run of whose price the amount is not known; they are not in `mrr`.
        active: how many subscriptions run and are paid for.
        customers: how many customers have them.
        active_by_plan: the same by plan; a subscription of two plans counts for each.
        statuses: how many subscriptions there are in each of Stripe's statuses.
        movement: how the number of paid subscriptions has changed, by our own history of them:
            "active" and "past_due" are paid, a trial is not. What was before the first sight of a
            subscription here is not in it.
        churn_rate: those that were lost, over those that were paid at the beginning or became so;
            None if there were none.
        invoiced: what was paid for invoices, taxes among it.
        one_time: what was paid for packs, by checkout or automatic top-up, and for orders.
        unknown_purchases: how many paid packs have no payment that is known: they were free, or the
            copy of the payment has not come yet.
        refunds: what was given back of all of that, in the span, whenever it was paid.
        disputes: what was withdrawn, of disputes that were opened in the span.
        credits: by unit.
    """

    at: datetime
    span: Span
    mrr: Sequence[Recurring]
    unpriced: int
    active: int
    customers: int
    active_by_plan: Mapping[str, int]
    statuses: Mapping[str, int]
    movement: Movement
    churn_rate: float | None
    invoiced: Sequence[Money]
    one_time: Sequence[Money]
    unknown_purchases: int
    refunds: Sequence[Money]
    disputes: Sequence[Money]
    credits: Sequence[Credits]


class RevenueDesk:
    """The revenue of one gate."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    async def report(self, since: datetime, until: datetime) -> RevenueReport:
        """What recurs now, and what was earned from `since` on and before `until`.

        It reads all subscriptions, and all that the ledger has: ask now and then.

        Raises:
            InvalidInputError: the instants are naive or not in order, or further apart than 400
                days.
        """
        if since.tzinfo is None or until.tzinfo is None:
            raise InvalidInputError("A span is between two aware instants.")
        if not since < until:
            raise InvalidInputError("A span begins before it ends.")
        if until - since > MAX_SPAN:
            raise InvalidInputError(f"A span has at most {MAX_SPAN.days} days.")
        span = Span(since=since, until=until)
        return await self._store.read(lambda tx: report(tx, self._rules, span))


def report(tx: Transaction, rules: Rules, span: Span) -> RevenueReport:
    """The report of a span; see `RevenueDesk.report`."""
    now, grace = tx.now(), rules.policy.past_due_grace
    sold = tx.revenue.sold(now, grace)
    mrr, unpriced = recurring(tx, rules.catalog, sold)
    active, customers, by_plan = tx.revenue.running(now, grace)
    purchased, unknown = tx.revenue.purchased(span)
    movement = tx.revenue.movement(span)
    return RevenueReport(
        at=now,
        span=span,
        mrr=mrr,
        unpriced=unpriced,
        active=active,
        customers=customers,
        active_by_plan=by_plan,
        statuses=tx.revenue.statuses(),
        movement=movement,
        churn_rate=churn_rate(movement),
        invoiced=tx.revenue.invoiced(span),
        one_time=_together(purchased, tx.revenue.ordered(span)),
        unknown_purchases=unknown,
        refunds=tx.revenue.refunded(span),
        disputes=tx.revenue.disputed(span),
        credits=_credits(tx, rules.catalog, span),
    )


def recurring(
    tx: Transaction, catalog: Catalog, sold: Sequence[Sold]
) -> tuple[list[Recurring], int]:
    """Monthly recurring revenue by currency, and how many items have no price that is known.

    A price's amount is what its copy says, else what the catalogue says of the lookup key that it
    had at first sight. Metered prices are no part of it.
    """
    sums: dict[tuple[str, str], Fraction] = {}
    unpriced = 0
    for one in sold:
        copy = tx.mirror.get("price", one.price_id)
        facts = {} if copy is None else msgspec.json.decode(copy.facts, type=dict[str, Any])
        if _is_metered(catalog, one.lookup_key or facts.get("lookup_key"), facts):
            continue
        found = _monthly_of_copy(copy, facts) or _monthly_of_catalog(catalog, one)
        if found is None:
            unpriced += one.quantity
            continue
        currency, monthly = found
        key = currency, one.plan or ""
        sums[key] = sums.get(key, Fraction(0)) + monthly * one.quantity
    mrr = []
    for currency in sorted({currency for currency, _ in sums}):
        own = {plan: amount for (of, plan), amount in sorted(sums.items()) if of == currency}
        mrr.append(
            Recurring(
                currency=currency,
                amount_minor=_rounded(sum(own.values(), Fraction(0))),
                by_plan={plan: _rounded(amount) for plan, amount in own.items()},
            )
        )
    return mrr, unpriced


def churn_rate(movement: Movement) -> float | None:
    """How many of those that were paid when a span began, or became so in it, were not any more
    when it ended, after Stripe's subscriber churn rate."""
    base = movement.at_start + movement.new
    return None if not base else (movement.lost + movement.new_lost) / base


def _is_metered(catalog: Catalog, lookup_key: str | None, facts: Mapping[str, Any]) -> bool:
    return facts.get("recurring.usage_type") == "metered" or catalog.is_metered(lookup_key)


def _monthly_of_copy(
    copy: MirrorObject | None, facts: Mapping[str, Any]
) -> tuple[str, Fraction] | None:
    if copy is None or copy.amount_minor is None or copy.currency is None:
        return None
    months = _MONTHS.get(str(facts.get("recurring.interval")))
    count = facts.get("recurring.interval_count") or 1
    return None if months is None else (copy.currency, copy.amount_minor / (months * count))


def _monthly_of_catalog(catalog: Catalog, sold: Sold) -> tuple[str, Fraction] | None:
    entry = catalog.find_price(sold.lookup_key or sold.price_id)
    if entry is None or entry.price.every is None:
        return None
    price = entry.price
    months = _MONTHS[str(price.every)] * price.every_count
    return price.currency, price.amount_minor / months


def _credits(tx: Transaction, catalog: Catalog, span: Span) -> list[Credits]:
    granted, posted = tx.revenue.granted(span), tx.revenue.posted(span)
    units = sorted({unit for unit, _ in (*granted, *posted)}.union(catalog.units))

    def given(unit: str, kinds: Sequence[GrantKind]) -> int:
        return sum(granted.get((unit, str(kind)), 0) for kind in kinds)

    def gone(unit: str, *kinds: EntryKind) -> int:
        return -sum(posted.get((unit, str(kind)), 0) for kind in kinds)

    return [
        Credits(
            unit=unit,
            sold=given(unit, _SOLD),
            granted=given(unit, _BY_PLANS),
            given=given(unit, _BY_HAND),
            returned=given(unit, (GrantKind.RETURNED,)),
            spent=gone(unit, EntryKind.CAPTURE),
            lapsed=gone(unit, EntryKind.GRANT_EXPIRED, EntryKind.GRANT_REVOKED),
            taken_back=gone(unit, EntryKind.CLAWBACK),
        )
        for unit in units
    ]


def _together(*found: Sequence[Money]) -> list[Money]:
    sums: dict[str, Money] = {}
    for one in (money for several in found for money in several):
        known = sums.get(one.currency, Money(currency=one.currency, count=0, amount_minor=0))
        sums[one.currency] = Money(
            currency=one.currency,
            count=known.count + one.count,
            amount_minor=known.amount_minor + one.amount_minor,
        )
    return [sums[currency] for currency in sorted(sums)]


def _rounded(amount: Fraction) -> int:
    return int(amount + Fraction(1, 2)) if amount >= 0 else -_rounded(-amount)
