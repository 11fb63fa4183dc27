"""Whatever becomes of a payment's refunds and disputes, and in whatever order it is heard, a seller
gives back their part of what the buyer has back: no more, and nothing twice."""

import asyncio
from dataclasses import replace as with_changes
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gatekeeper.projection.clawback import ChargeMoney, Taken, to_take_back
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.services import sales
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.orders import Order, OrderPayment
from gatekeeper.storage.paybacks import PaybackStatus
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sellers import Seller
from tests.stripe.world import RULES

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BEARS = with_changes(RULES, disputes_borne_by="seller")
PAID = 1_000
ORDER = Order(
    id="order_1",
    customer="ada",
    status=OrderStatus.PAID,
    amount_minor=PAID,
    captured_minor=PAID,
    currency="eur",
    created_at=NOW,
    updated_at=NOW,
    seller="sam",
    commission_minor=130,
    transfers="separate",
    payment_id="pi_1",
)
SHARE = PAID - ORDER.commission_minor
PAYMENT = OrderPayment(
    id="pi_1",
    order_id="order_1",
    customer="ada",
    status="succeeded",
    amount_minor=PAID,
    received_minor=PAID,
    currency="eur",
    created_at=NOW,
    charge_id="ch_1",
)

# What happens: a refund or a dispute of so much, one that ends well, one that begins again, and
# paybacks that are made meanwhile.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["refund", "dispute"]), st.integers(1, PAID)),
        st.tuples(st.sampled_from(["end", "again"]), st.integers(0, 5)),
        st.tuples(st.just("make"), st.integers(0, 5)),
    ),
    max_size=12,
)


class Seen:
    """What Stripe says of the charge."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}

    def step(self, kind: str, number: int) -> None:
        names = sorted(self.taken)
        if kind in ("refund", "dispute"):
            status = "succeeded" if kind == "refund" else "needs_response"
            name = f"{kind}_{len(names)}"
            self.taken[name] = Taken(id=name, status=status, amount_minor=number, currency="eur")
        elif kind in ("end", "again") and names:
            name = names[number % len(names)]
            over = {"refund": ("failed", "succeeded"), "dispute": ("won", "lost")}
            status = over[name.split("_")[0]][kind == "again"]
            self.taken[name] = replace(self.taken[name], status=status)

    def money(self) -> ChargeMoney:
        of = {
            kind: tuple(one for name, one in sorted(self.taken.items()) if name.startswith(kind))
            for kind in ("refund", "dispute")
        }
        return ChargeMoney(
            id="ch_1",
            payment_id="pi_1",
            customer="cus_1",
            livemode=False,
            amount_minor=PAID,
            currency="eur",
            refunds=of["refund"],
            disputes=of["dispute"],
        )


def begin(tx: Transaction) -> None:
    tx.sellers.insert(Seller(customer="sam", country="IE", created_at=NOW))
    tx.sellers.set_account("sam", "acct_1")
    tx.orders.insert(ORDER)
    tx.orders.put_payment(PAYMENT)


def make(number: int) -> Any:
    """Stripe makes one of the paybacks that are asked of it."""

    def work(tx: Transaction) -> None:
        unmade = tx.paybacks.unmade(100)
        if unmade:
            row = unmade[number % len(unmade)]
            sales.note_made(tx, row.id, f"trr_{row.id}")

    return work


def check(tx: Transaction, returned: int) -> None:
    rows = tx.paybacks.of_order("order_1")
    standing = sum(one.amount_minor for one in rows if one.status is not PaybackStatus.ENDED)
    target = to_take_back(SHARE, PAID, returned)
    # Each payback was rounded when it was noted: by less than one, each.
    assert abs(standing - target) <= len(rows)
    assert standing <= SHARE
    got = {sales.owed_id("order_1"): SHARE}
    for one in rows:
        again = tx.transfers.get(f"again_{one.id.replace('/', '_')}")
        ended = one.status is PaybackStatus.ENDED and one.reversal_id is not None
        assert (again is not None) is ended  # what was given back for nothing, and nothing else
        if again is not None:
            got[again.id] = again.amount_minor
    for source, amount in got.items():
        gone = [
            one.amount_minor
            for one in rows
            if one.owed_id == source
            and (one.reversal_id is not None or one.status is not PaybackStatus.ENDED)
        ]
        assert sum(gone) <= amount  # Stripe reverses no more of a transfer than there was


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_seller_gives_back_their_part_of_what_the_buyer_has_back(steps: list[Any]) -> None:
    asyncio.run(walk(steps))


async def walk(steps: list[Any]) -> None:
    async with MemoryStore(clock=lambda: NOW) as store:
        await store.write(begin)
        seen = Seen()
        for kind, number in [("end", 0), *steps]:
            seen.step(kind, number)
            if kind == "make":
                await store.write(make(number))
            money = seen.money()
            for _ in range(2):  # however often it is heard
                await store.write(partial(sales.note_charge, rules=BEARS, money=money))
            await store.read(partial(check, returned=money.returned_minor))


@pytest.mark.long
@settings(max_examples=2_000, deadline=None)
@given(STEPS)
def test_a_seller_gives_back_their_part_in_the_long_run(steps: list[Any]) -> None:
    asyncio.run(walk(steps))


@pytest.mark.parametrize("how", ["separate", "destination"])
def test_of_a_seller_who_is_gone_nothing_is_owed_or_taken(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They were erased since: their share is told of, and stays where it is."""

    def gone(tx: Transaction) -> None:
        tx.orders.insert(replace(ORDER, transfers=how))
        tx.orders.put_payment(PAYMENT)
        seen = Seen()
        seen.step("dispute", PAID)
        sales.note_charge(tx, BEARS, seen.money())
        assert tx.paybacks.of_order("order_1") == []
        assert tx.transfers.get(sales.owed_id("order_1")) is None

    asyncio.run(run(gone))
    assert ("the seller of order order_1 is gone" in caplog.text) is (how == "separate")


def test_money_that_does_not_pay_the_order_is_nobody_s_share() -> None:
    def mispaid(tx: Transaction) -> None:
        begin(tx)
        tx.orders.put_payment(replace(PAYMENT, id="pi_2", charge_id="ch_2"))
        seen = Seen()
        seen.step("refund", PAID)
        other = replace(seen.money(), id="ch_2", payment_id="pi_2")
        for money in (other, replace(other, payment_id="pi_3"), replace(other, amount_minor=0)):
            sales.note_charge(tx, BEARS, money)
        assert tx.paybacks.of_order("order_1") == []
        assert tx.transfers.get(sales.owed_id("order_1")) is None

    asyncio.run(run(mispaid))


async def run(work: Any) -> None:
    async with MemoryStore(clock=lambda: NOW) as store:
        await store.write(work)
