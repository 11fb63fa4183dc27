"""Revenue: what recurs, how it moves, and what was earned."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from gatekeeper.catalog import Catalog, Meter, MeterPrice, Plan, Price, Unit
from gatekeeper.errors import InvalidInputError
from gatekeeper.services.back_office.revenue import churn_rate, recurring
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.revenue import Movement, Sold
from tests.asgi.billing.back_office.office import ANN, FREE, PACK, Office

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_figures_of_a_shop_over_its_life(durable_office: Office) -> None:
    office = durable_office
    await office.buy("team_monthly", "org_1")
    await office.buy("pro_yearly", "org_2")
    pack = await office.buy("topup_100", "org_1")
    await office.ask("customers/org_1/grants", 201, unit="credits", amount=7)
    async with office.gate.reserve("org_1", "credits", 40):
        pass
    await office.ask("refunds", 201, payment=pack, amount_minor=250)
    await office.settle()
    office.sim.advance(seconds=1)
    found = await office.get("revenue")
    assert (found["mrr"][0]["amount_minor"], found["active"]) == (2_999, 1)  # one is only tried
    assert (found["movement"]["new"], found["statuses"]["trialing"]) == (1, 1)
    office.sim.advance(days=15)
    await office.settle()
    office.sim.advance(seconds=1)
    found = await office.get("revenue")
    yearly = round(9_999 / 12)
    assert found["mrr"] == [
        {
            "currency": "eur",
            "amount_minor": int(2_999 + Fraction(9_999, 12) + Fraction(1, 2)),
            "by_plan": {"pro": yearly, "team": 2_999},
        }
    ]
    assert (found["unpriced"], found["active"], found["customers"]) == (0, 2, 2)
    assert found["active_by_plan"] == {"pro": 1, "team": 1}
    assert found["statuses"]["active"] == 2
    moves = found["movement"]
    assert (moves["at_start"], moves["new"], moves["at_end"], moves["churn_rate"]) == (0, 2, 2, 0)
    assert found["invoiced"] == [{"currency": "eur", "count": 2, "amount_minor": 2_999 + 9_999}]
    assert found["one_time"] == [{"currency": "eur", "count": 1, "amount_minor": 500}]
    assert found["unknown_purchases"] == 0
    assert found["refunds"] == [{"currency": "eur", "count": 1, "amount_minor": 250}]
    assert found["disputes"] == []
    (credits,) = [one for one in found["credits"] if one["unit"] == "credits"]
    assert (credits["sold"], credits["given"], credits["spent"]) == (PACK, 7, 40)
    assert credits["taken_back"] == PACK // 2
    assert credits["granted"] >= FREE

    before = office.sim.now
    (ended,) = [
        one
        for one in office.sim.client().v1.subscriptions.list().data
        if one["items"].data[0].price.lookup_key == "team_monthly"
    ]
    office.sim.advance(days=3)
    office.sim.client().v1.subscriptions.cancel(ended.id)
    await office.settle()
    office.sim.advance(seconds=1)
    found = await office.get("revenue", since=before.isoformat())
    assert found["mrr"][0]["by_plan"] == {"pro": yearly}
    moves = found["movement"]
    assert (moves["at_start"], moves["lost"], moves["at_end"]) == (2, 1, 1)
    assert moves["churn_rate"] == 0.5
    assert (found["invoiced"], found["one_time"], found["refunds"]) == ([], [], [])


NO_SPANS: tuple[dict[str, str], ...] = (
    {"since": "2026-02-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"},
    {"since": "2025-01-01T00:00:00Z", "until": "2026-06-01T00:00:00Z"},
    {"since": "2026-02-01T00:00:00"},
    {"until": "0001-01-01T00:00:00Z"},
)


async def test_a_span_that_can_not_be_is_refused(office: Office) -> None:
    for query in NO_SPANS:
        answer = await office.client.get("/billing/admin/revenue", params=query, headers=ANN)
        assert answer.status_code == 400, query
    naive = datetime(2026, 1, 1), datetime(2026, 1, 2)
    with pytest.raises(InvalidInputError):
        await office.gate.back_office.revenue.report(*naive)


def test_the_churn_rate_is_of_those_who_could_leave() -> None:
    assert churn_rate(Movement()) is None
    moved = Movement(at_start=8, new=2, returned=5, lost=1, new_lost=1, at_end=13)
    assert churn_rate(moved) == 0.2


OVER = Meter("over", event_name="over", prices=[MeterPrice("over_month", 1, currency="eur")])
CATALOG = Catalog(
    plans=[
        Plan("free", default=True),
        Plan(
            "pro",
            prices=[
                Price("monthly", amount_minor=1_000, currency="eur", every="month"),
                Price("quarterly", 2_999, currency="eur", every="month", every_count=3),
                Price("weekly", 300, currency="usd", every="week"),
                Price("daily", 10, currency="usd", every="day"),
            ],
            grants=[Unit("credits").every("day", 1, overage=OVER)],
        ),
    ]
)


def sold(price_id: str, lookup_key: str | None = None, **more: Any) -> Sold:
    plain: Any = {"plan": "pro", "quantity": 2, "subscriptions": 1}
    return Sold(price_id=price_id, lookup_key=lookup_key, **{**plain, **more})


def price(price_id: str, facts: str, amount: int | None = 1_200) -> MirrorObject:
    return MirrorObject(
        kind="price",
        id=price_id,
        amount_minor=amount,
        currency="eur",
        facts=facts,
        created_at=NOW,
        seen_at=NOW,
    )


@pytest.mark.parametrize(
    ("of", "currency", "amount"),
    [
        (sold("p", "monthly"), "eur", 2_000),
        (sold("p", "quarterly"), "eur", 1_999),  # 2 x 2,999 / 3, rounded once
        (sold("p", "weekly"), "usd", 2_600),
        (sold("p", "daily"), "usd", 608),
        (sold("monthly"), "eur", 2_000),
        (sold("year"), "eur", 200),
        (sold("half_year", "monthly"), "eur", 400),  # what Stripe has counts before the catalogue
    ],
)
async def test_prices_are_counted_by_the_month(of: Sold, currency: str, amount: int) -> None:
    def work(tx: Transaction) -> Any:
        tx.mirror.put(price("year", '{"recurring.interval":"year"}'))
        half = '{"recurring.interval":"month","recurring.interval_count":6}'
        tx.mirror.put(price("half_year", half))
        return recurring(tx, CATALOG, [of])

    async with MemoryStore() as store:
        (found,), unpriced = await store.write(work)
    assert (found.currency, found.amount_minor, unpriced) == (currency, amount, 0)
    assert found.by_plan == {"pro": amount}


async def test_what_has_no_price_that_is_known_is_said_and_not_guessed() -> None:
    def work(tx: Transaction) -> Any:
        tx.mirror.put(price("tiered", '{"recurring.interval":"month"}', amount=None))
        tx.mirror.put(price("once", "{}"))
        metered = '{"recurring.interval":"month","recurring.usage_type":"metered"}'
        tx.mirror.put(price("metered", metered))
        tx.mirror.put(price("ours", '{"recurring.interval":"month","lookup_key":"over_month"}'))
        unknown = [sold("p", "gone"), sold("tiered"), sold("once")]
        of_meters = [sold("p", "over_month"), sold("metered"), sold("ours")]
        return recurring(tx, CATALOG, [*unknown, *of_meters])

    async with MemoryStore() as store:
        assert await store.write(work) == ([], 6)  # those of meters sell nothing


async def test_currencies_are_never_added_up() -> None:
    async with MemoryStore() as store:
        found, _ = await store.read(
            lambda tx: recurring(
                tx, CATALOG, [sold("p", "monthly"), sold("q", "weekly", plan=None, quantity=1)]
            )
        )
    assert [(one.currency, one.amount_minor, one.by_plan) for one in found] == [
        ("eur", 2_000, {"pro": 2_000}),
        ("usd", 1_300, {"": 1_300}),
    ]


async def test_the_last_30_days_are_meant_if_nothing_is_said(office: Office) -> None:
    found = await office.get("revenue")
    since = datetime.fromisoformat(found["since"])
    assert datetime.fromisoformat(found["until"]) - since == timedelta(days=30)
