"""`GET catalog`: what is for sale, for a pricing table; anybody may look."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from gatekeeper.asgi.billing.operations import Call, Empty, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.catalog import Catalog, Pack, Plan, Price, TermGrant, TermLimit
from gatekeeper.gate import Gatekeeper
from gatekeeper.types import Amount, Every, Unlimited


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """A price, by the key under which it is bought.

    Attributes:
        amount_minor: in minor units of `currency`.
        every: the billing interval; null is paid once.
        every_count: so many intervals lie between two payments.
    """

    price: str
    amount_minor: int
    currency: str
    every: Literal["day", "week", "month", "year"] | None
    every_count: int


class MeterPriceView(msgspec.Struct, frozen=True, kw_only=True):
    """What use beyond a grant costs, billed at the end of each interval.

    Attributes:
        amount_minor: for each `per` of the unit's steps, in minor units of `currency`.
    """

    amount_minor: int
    per: int
    currency: str
    every: Literal["day", "week", "month", "year"]
    every_count: int


class OverageView(msgspec.Struct, frozen=True, kw_only=True):
    """Use beyond a grant, which is billed later.

    Attributes:
        limit: how much of it one window allows; null is without a bound.
        prices: as far as the app's catalogue names them.
    """

    limit: int | None
    prices: list[MeterPriceView]


class GrantView(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan grants of a unit.

    Attributes:
        amount: in the unit's smallest steps; null is without a bound.
        every: how often; once is once for each customer.
        per_quantity: whether it counts for each of the subscription's quantity.
        trial: what a trial grants instead; null is nothing.
        rollover: how much of what is left is carried into the next window; null is all of it.
        overage: how more may be used; null is not at all.
    """

    unit: str
    amount: int | None
    every: Literal["once"] | Every
    per_quantity: bool
    trial: int | None
    rollover: int | None
    overage: OverageView | None


class LimitView(msgspec.Struct, frozen=True, kw_only=True):
    """A limit: `value`, and `per_quantity` more for each of the subscription's quantity.

    Attributes:
        value: null is without a bound.
    """

    value: int | None
    per_quantity: int


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that can be bought, or that everybody has.

    Attributes:
        name: for people.
        default: whether everybody has it who has bought nothing.
        includes: the plans whose features, limits and grants it has too.
        trial_days: how long it can be tried for nothing; null is not at all.
    """

    plan: str
    name: str
    default: bool
    includes: list[str]
    features: list[str]
    limits: dict[str, LimitView]
    grants: list[GrantView]
    prices: list[PriceView]
    trial_days: int | None


class AmountView(msgspec.Struct, frozen=True, kw_only=True):
    """So much of a unit, in its smallest steps."""

    unit: str
    amount: int


class PackView(msgspec.Struct, frozen=True, kw_only=True):
    """A pack of credits.

    Attributes:
        name: for people.
        expires_after_days: how long it can be used; null is for ever.
    """

    pack: str
    name: str
    grants: list[AmountView]
    prices: list[PriceView]
    expires_after_days: int | None


class UnitView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is counted.

    Attributes:
        scale: how many decimal digits one whole has: with 2, an amount of 150 is 1.5.
    """

    scale: int


class CatalogView(msgspec.Struct, frozen=True, kw_only=True):
    """What is for sale.

    Attributes:
        publishable_key: for Stripe.js; null if none is set.
        units: by key.
    """

    publishable_key: str | None
    plans: list[PlanView]
    packs: list[PackView]
    units: dict[str, UnitView]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operation. What it answers never changes while the gate lives."""
    view = catalog_view(gate.catalog, gate.settings.stripe_publishable_key)

    async def catalog(call: Call[Empty]) -> CatalogView:
        return view

    return (
        Operation(
            "GET",
            "/catalog",
            catalog,
            summary="Plans and packs with their prices, for a pricing table.",
            answer=CatalogView,
            audience="public",
        ),
    )


def catalog_view(catalog: Catalog, publishable_key: str | None) -> CatalogView:
    """The catalogue as anybody may see it: without the plans that are only given or included."""
    shown = [plan for plan in catalog.plans.values() if plan.prices or plan.default]
    return CatalogView(
        publishable_key=publishable_key,
        plans=[_plan(catalog, plan) for plan in shown],
        packs=[_pack(pack) for pack in catalog.packs.values()],
        units={key: UnitView(scale=unit.scale) for key, unit in sorted(catalog.units.items())},
    )


def _plan(catalog: Catalog, plan: Plan) -> PlanView:
    terms = catalog.terms(plan.key)
    return PlanView(
        plan=plan.key,
        name=plan.label,
        default=plan.default,
        includes=sorted(terms.plans - {plan.key}),
        features=sorted(terms.features),
        limits={key: _limit(limit) for key, limit in sorted(terms.limits.items())},
        grants=[_grant(catalog, grant) for grant in terms.grants],
        prices=[_price(price) for price in plan.prices],
        trial_days=plan.trial_days,
    )


def _pack(pack: Pack) -> PackView:
    return PackView(
        pack=pack.key,
        name=pack.label,
        grants=[AmountView(unit=one.unit.key, amount=one.amount) for one in pack.amounts],
        prices=[_price(price) for price in pack.all_prices],
        expires_after_days=pack.expires_after_days,
    )


def _price(price: Price) -> PriceView:
    return PriceView(
        price=price.lookup_key,
        amount_minor=price.amount_minor,
        currency=price.currency,
        every=price.every,
        every_count=price.every_count,
    )


def _overage(catalog: Catalog, grant: TermGrant) -> OverageView | None:
    if grant.overage is None:
        return None
    prices = catalog.meter(grant.overage).prices
    return OverageView(
        limit=grant.overage_limit,
        prices=[
            MeterPriceView(
                amount_minor=price.amount_minor,
                per=price.per,
                currency=price.currency,
                every=price.every,
                every_count=price.every_count,
            )
            for price in prices
        ],
    )


def _grant(catalog: Catalog, grant: TermGrant) -> GrantView:
    return GrantView(
        unit=grant.unit,
        amount=_bounded(grant.amount),
        every=grant.cadence,
        per_quantity=grant.per_quantity,
        trial=None if grant.trial is None else _bounded(grant.trial),
        rollover=_bounded(grant.rollover),
        overage=_overage(catalog, grant),
    )


def _limit(limit: TermLimit) -> LimitView:
    return LimitView(value=_bounded(limit.value), per_quantity=limit.per_quantity)


def _bounded(amount: Amount) -> int | None:
    return None if isinstance(amount, Unlimited) else amount
