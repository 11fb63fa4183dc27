"""What is earned, added up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from gatekeeper.projection.orders import OrderStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import PriceRecord, PurchaseStatus
from gatekeeper.storage.revenue import Money, Movement, Sold, Span
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.mirror import change, obj
from gatekeeper.testing.conformance.storage.orders import ORDER
from gatekeeper.testing.conformance.storage.samples import DAY, NOW, SECOND

SPAN = Span(since=NOW, until=NOW + 30 * DAY)
GRACE = 7 * DAY
_INSIDE = NOW + DAY

_NOT_RUNNING: Sequence[tuple[str, dict[str, Any]]] = (
    ("trialing", {}),
    ("canceled", {"ended_at": NOW}),
    ("active", {"ended_at": NOW + SECOND}),
    ("active", {"cancel_at": NOW + SECOND}),
    ("active", {"collection_paused": True}),
    ("active", {"started_at": NOW + 9 * DAY}),
    ("unpaid", {}),
)


def _subscribe(tx: Transaction, name: str, status: str = "active", **fields: Any) -> None:
    """A subscription with one item of a price, which is `quantity` times of it."""
    own = {key: fields.pop(key) for key in ("price_id", "quantity") if key in fields}
    of = samples.subscription(name, status=status, customer=fields.pop("customer", "ada"))
    of = replace(of, **fields)
    item = samples.item(f"si_{name}", of, period_start=NOW, **{"quantity": 1, **own})
    tx.subscriptions.save(of, [item])


def _prices(tx: Transaction) -> None:
    for price_id, plan in (("price_1", "pro"), ("price_2", "team")):
        record = PriceRecord(
            price_id=price_id, lookup_key=f"{plan}_monthly", plan=plan, first_seen_at=NOW
        )
        tx.subscriptions.record_price(record)


def _running(tx: Transaction) -> None:
    _prices(tx)
    _subscribe(tx, "sub_1", quantity=3)
    _subscribe(tx, "sub_2", customer="bob")
    _subscribe(tx, "sub_3", "past_due", price_id="price_2", customer="bob")
    tx.subscriptions.set_unpaid_since("sub_3", NOW)
    _subscribe(tx, "sub_4", price_id="price_9")
    for number, (status, fields) in enumerate(_NOT_RUNNING):
        _subscribe(tx, f"sub_not_{number}", status, **fields)
    _subscribe(tx, "sub_twin", customer="eve")
    tx.subscriptions.set_duplicate_of("sub_twin", "sub_1")


def _history(tx: Transaction) -> None:
    """Each subscription's states: the status, and after how many days of the span it came."""
    for name, states in {
        "kept": [("active", -9)],
        "late": [("active", -9), ("past_due", 3)],
        "lost": [("active", -9), ("canceled", 3)],
        "lost_and_back": [("active", -9), ("unpaid", 3), ("active", 4)],
        "new": [("incomplete", 1), ("active", 2)],
        "tried": [("trialing", -9), ("active", 1)],
        "new_and_gone": [("active", 1), ("canceled", 2)],
        "never": [("incomplete", 1), ("incomplete_expired", 2)],
        "still_trying": [("trialing", 1)],
        "back": [("active", -9), ("unpaid", -3), ("active", 2)],
        "long_gone": [("active", -9), ("canceled", -3)],
        "later": [("active", 30)],
        "twin": [("active", -9), ("canceled", 3)],
    }.items():
        _subscribe(tx, name)
        for sequence, (status, days) in enumerate(states, 1):
            at = NOW + days * DAY
            tx.mirror.add_change(change(name, sequence=sequence, status=status, at=at))
    tx.subscriptions.set_duplicate_of("twin", "lost")


def _paid(tx: Transaction) -> None:
    def invoice(name: str, paid_at: datetime | None, amount: int, **more: Any) -> None:
        row = samples.invoice(name, status="paid", amount_paid_minor=amount, paid_at=paid_at)
        tx.subscriptions.save_invoice(replace(row, **more))

    invoice("in_1", NOW, 999)
    invoice("in_2", _INSIDE, 1, currency="usd")
    invoice("in_3", _INSIDE, 1_001)
    invoice("in_4", _INSIDE, 0)
    invoice("in_5", NOW + 30 * DAY, 7)
    invoice("in_6", NOW - SECOND, 7)
    invoice("in_7", None, 7)

    def purchase(name: str, **more: Any) -> None:
        plain = {"status": PurchaseStatus.PAID, "settled_at": _INSIDE, "payment_intent_id": name}
        tx.purchases.insert(samples.purchase(f"pur_{name}", **{**plain, **more}))
        amount = {"kind": "payment_intent", "amount_minor": 500}
        tx.mirror.put(obj(name, **amount))
        tx.mirror.put(obj(name, **amount, account="acct_1"))

    purchase("pi_1")
    purchase("pi_2")
    purchase("pi_3", status=PurchaseStatus.PENDING, settled_at=None)
    purchase("pi_4", mode="subscription")
    purchase("pi_5", settled_at=NOW - SECOND)
    free = {"status": PurchaseStatus.PAID, "settled_at": _INSIDE}
    tx.purchases.insert(samples.purchase("pur_free", **free))

    for name, paid_at in (("1", _INSIDE), ("2", NOW - SECOND), ("3", None)):
        status = OrderStatus.PENDING if paid_at is None else OrderStatus.PAID
        made: dict[str, Any] = {
            "id": f"ord_{name}",
            "reference": name,
            "status": status,
            "paid_at": paid_at,
        }
        tx.orders.insert(replace(ORDER, **made, captured_minor=1_000))

    moved = '{"balance_transaction":"txn_1"}'
    copies: dict[str, dict[str, Any]] = {
        "re_1": {"facts": moved},
        "re_2": {"status": "pending"},
        "re_3": {"facts": moved, "status": "failed"},
        "re_4": {"facts": '{"failure_balance_transaction":"txn_2"}'},
        "re_5": {"facts": moved, "created_at": NOW - SECOND},
        "re_6": {"facts": moved, "account": "acct_1"},
        "dp_1": {"kind": "dispute", "status": "lost"},
        "dp_2": {"kind": "dispute", "status": "won"},
        "dp_3": {"kind": "dispute", "status": "needs_response", "currency": "usd"},
    }
    for name, fields in copies.items():
        tx.mirror.put(obj(name, **{"created_at": _INSIDE, **fields}))


class RevenueConformance:
    """What every store must do to add up. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_of_nothing_there_is_nothing(self, store: Store) -> None:
        def look(tx: Transaction) -> list[object]:
            revenue = tx.revenue
            return [
                list(revenue.sold(NOW, GRACE)),
                revenue.running(NOW, GRACE),
                dict(revenue.statuses()),
                revenue.movement(SPAN),
                dict(revenue.granted(SPAN)),
                dict(revenue.posted(SPAN)),
                list(revenue.invoiced(SPAN)),
                revenue.purchased(SPAN),
                list(revenue.ordered(SPAN)),
                list(revenue.refunded(SPAN)),
                list(revenue.disputed(SPAN)),
            ]

        found = await store.read(look)
        assert found == [[], (0, 0, {}), {}, Movement(), {}, {}, [], ([], 0), [], [], []]

    async def test_what_runs_and_is_paid_for_is_counted_by_price_and_plan(
        self, store: Store
    ) -> None:
        await store.write(_running)
        at = NOW + 2 * SECOND
        first: Any = {"price_id": "price_1", "lookup_key": "pro_monthly", "plan": "pro"}
        second: Any = {"price_id": "price_2", "lookup_key": "team_monthly", "plan": "team"}
        other: Any = {"price_id": "price_9", "lookup_key": None, "plan": None}
        assert list(await store.read(lambda tx: tx.revenue.sold(at, GRACE))) == [
            Sold(**first, quantity=4, subscriptions=2),
            Sold(**second, quantity=1, subscriptions=1),
            Sold(**other, quantity=1, subscriptions=1),
        ]
        running = await store.read(lambda tx: tx.revenue.running(at, GRACE))
        assert running == (4, 2, {"": 1, "pro": 2, "team": 1})
        late = NOW + GRACE
        running = await store.read(lambda tx: tx.revenue.running(late, GRACE))
        assert running == (3, 2, {"": 1, "pro": 2})
        statuses = await store.read(lambda tx: tx.revenue.statuses())
        assert statuses == {
            "active": 7,
            "canceled": 1,
            "past_due": 1,
            "trialing": 1,
            "unpaid": 1,
        }

    async def test_movement_follows_the_history(self, store: Store) -> None:
        await store.write(_history)
        found = await store.read(lambda tx: tx.revenue.movement(SPAN))
        assert found == Movement(at_start=4, new=3, returned=1, lost=1, new_lost=1, at_end=6)
        assert found.at_end == (
            found.at_start + found.new + found.returned - found.lost - found.new_lost
        )

    async def test_credits_are_added_up_by_unit_and_kind(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            samples.fund(tx, 100, grant_id="g_1")
            samples.fund(tx, 50, "bob", grant_id="g_2")
            samples.hold(tx, "hold_1", 4)

        await store.write(fill)
        granted = await store.read(lambda tx: tx.revenue.granted(SPAN))
        posted = await store.read(lambda tx: tx.revenue.posted(SPAN))
        assert list(granted.values()) == [150]
        assert posted["credits", "grant"] == 150
        assert posted["credits", "hold"] == 0
        before = Span(since=NOW - DAY, until=NOW)
        assert await store.read(lambda tx: dict(tx.revenue.granted(before))) == {}
        assert await store.read(lambda tx: dict(tx.revenue.posted(before))) == {}

    async def test_money_is_added_up_by_currency(self, store: Store) -> None:
        await store.write(_paid)

        def money(currency: str, count: int, amount: int) -> Money:
            return Money(currency=currency, count=count, amount_minor=amount)

        def look(tx: Transaction) -> list[object]:
            revenue = tx.revenue
            return [
                list(revenue.invoiced(SPAN)),
                revenue.purchased(SPAN),
                list(revenue.ordered(SPAN)),
                list(revenue.refunded(SPAN)),
                list(revenue.disputed(SPAN)),
            ]

        assert await store.read(look) == [
            [money("eur", 2, 2_000), money("usd", 1, 1)],
            ([money("eur", 2, 1_000)], 1),
            [money("eur", 1, 1_000)],
            [money("eur", 2, 1_000)],
            [money("eur", 1, 500), money("usd", 1, 500)],
        ]
