"""Hard case 62: what a subscription's invoice has granted goes back with its money."""

import itertools
from dataclasses import replace
from datetime import datetime

import anyio
import pytest

from gatekeeper.catalog import Catalog, Plan, Price
from gatekeeper.errors import DebtOutstandingError
from gatekeeper.ledger import Balance, GrantKind
from gatekeeper.services import accounts
from gatekeeper.services.history import history
from gatekeeper.services.rules import Rules
from gatekeeper.storage.sql import errors as sql_errors
from gatekeeper.storage.sql.dialects.base import Failure
from gatekeeper.testing.events import (
    DEFAULT_START,
    Obj,
    invoice,
    invoice_line,
    make_event,
    price,
    subscription,
    subscription_item,
)
from tests.stripe.money import charge, dispute, refund
from tests.stripe.world import World, credits

pytestmark = pytest.mark.anyio

FREE = 5
MONTH = 1_000
YEARLY = price("price_year", lookup_key="pro_yearly", amount_minor=9_999, every="year")
YEAR = subscription(items=[subscription_item(of_price=YEARLY, days=365)])
BILL = invoice(lines=[invoice_line(price_id="price_year", amount_minor=9_999, days=365)])
PAID = make_event("invoice.paid", BILL)
CREATED = make_event("customer.subscription.created", YEAR)
CHARGE = charge(amount=9_999)


def paid_by(intent: str = "pi_1", *, of: str = "in_1", id: str = "inpay_1") -> Obj:
    """What tells which invoice a payment intent has paid."""
    return {
        "id": id,
        "object": "invoice_payment",
        "amount_paid": 9_999,
        "amount_requested": 9_999,
        "currency": "eur",
        "invoice": of,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": intent},
        "status": "paid",
    }


async def subscribe(world: World) -> None:
    """Org 1 has paid for a year of pro, with 1,000 credits a month, by charge ch_1."""
    await world.customer()
    world.stripe.put({**YEAR, "latest_invoice": BILL}, BILL, YEARLY, CHARGE, paid_by())
    await world.deliver(CREATED, PAID)


async def refunded(
    world: World, amount: int, status: str = "succeeded", *, id: str = "re_1"
) -> None:
    """Stripe has this refund, and says so."""
    made = refund(id, amount, status)
    world.stripe.put(made)
    await world.deliver(make_event("refund.updated", made))


async def balance(world: World) -> Balance:
    return await world.store.read(lambda tx: accounts.balance(tx, world.rules, "org_1", "credits"))


async def to_month(world: World, number: int) -> None:
    """An hour into a month of 2026."""
    world.clock.now = datetime(2026, number, 1, 1, tzinfo=DEFAULT_START.tzinfo)


async def test_case_62_a_year_refunded_in_full_takes_back_and_grants_no_further_months(
    world: World,
) -> None:
    await subscribe(world)
    await world.spend(300)  # of January
    await to_month(world, 2)
    assert await world.available() == FREE + MONTH
    await world.spend(400, hold="february")
    await refunded(world, 9_999)
    owed = await balance(world)
    # 300 were used in January and 400 in February; what was not used had lapsed, or is taken.
    assert (owed.available, owed.debt) == (0, 700 - FREE)
    with pytest.raises(DebtOutstandingError):
        await world.spend(1, hold="refused")
    await to_month(world, 3)
    again = await balance(world)
    assert (again.available, again.debt) == (0, 700 - FREE)
    await refunded(world, 9_999)  # said once more
    again = await balance(world)
    assert (again.available, again.debt) == (0, 700 - FREE)


async def test_what_went_back_of_an_invoice_is_in_the_history_of_its_subscription(
    world: World,
) -> None:
    await subscribe(world)
    await refunded(world, 9_999)
    newest, before = await world.store.read(lambda tx: history(tx, "org_1", 2))
    assert (newest.cause, before.cause) == ("payment", "event")
    assert newest.event_id is not None
    (was, now) = newest.changed["items"]
    assert (was[0].paid_until, now[0].paid_until) == (was[0].period_end, None)


async def test_an_invoice_that_names_its_subscription_in_its_lines_alone_is_taken_back_too(
    memory_world: World,
) -> None:
    world = memory_world
    await world.customer()
    lines = [invoice_line(price_id="price_year", amount_minor=9_999, days=365)]
    bill = invoice(lines=lines, of_subscription=None)
    world.stripe.put(YEAR, bill, YEARLY, CHARGE, paid_by())
    await world.deliver(CREATED, make_event("invoice.paid", bill))
    assert await world.available() == FREE + MONTH
    await refunded(world, 9_999)
    assert await world.available() == FREE


async def test_case_62_credits_that_nobody_used_are_no_debt(world: World) -> None:
    await subscribe(world)
    await world.spend(1)
    await to_month(world, 2)
    await refunded(world, 9_999)
    owed = await balance(world)
    assert (owed.available, owed.debt) == (FREE - 1, 0)


async def test_case_62_a_part_refunded_takes_its_part_of_each_month(world: World) -> None:
    await subscribe(world)
    await world.spend(900)
    await to_month(world, 2)
    assert await world.available() == FREE + MONTH  # seen, not granted yet
    await refunded(world, 3_000)
    # 300 of each month: of January's 700 that are left, 900 had been used.
    assert await world.available() == FREE + 700 - 200
    await to_month(world, 3)
    assert await world.available() == FREE + 700
    await refunded(world, 6_999, id="re_2")
    owed = await balance(world)
    assert (owed.available, owed.debt) == (0, 900 - FREE)  # all that was ever used


async def test_case_62_parts_may_be_left_alone_by_policy(world: World) -> None:
    world.rules = replace(world.rules, partial_refunds="keep")
    await subscribe(world)
    await refunded(world, 9_998)
    assert await world.available() == FREE + MONTH
    await refunded(world, 1, id="re_2")
    assert await world.available() == FREE


@pytest.mark.parametrize("end", ["failed", "canceled"])
async def test_case_62_a_refund_that_fails_gives_the_months_back(world: World, end: str) -> None:
    await subscribe(world)
    await world.spend(300)
    await refunded(world, 9_999, "pending")
    owed = await balance(world)
    assert (owed.available, owed.debt) == (0, 300 - FREE)
    await refunded(world, 9_999, end)
    assert await world.available() == FREE + 700
    await to_month(world, 2)
    assert await world.available() == FREE + MONTH


async def test_case_62_a_month_that_began_while_the_money_was_away_is_granted_after_all(
    world: World,
) -> None:
    await subscribe(world)
    await world.spend(FREE)
    await refunded(world, 9_999, "pending")
    await to_month(world, 2)
    assert await world.available() == 0
    await refunded(world, 9_999, "failed")
    assert await world.available() == FREE + MONTH


async def test_case_62_a_dispute_takes_the_months_and_gives_them_back_when_it_is_won(
    world: World,
) -> None:
    await subscribe(world)
    for status, left in (
        ("needs_response", FREE),
        ("lost", FREE),
        ("won", FREE + MONTH),
        ("warning_needs_response", FREE + MONTH),
    ):
        made = dispute(status, 9_999)
        world.stripe.put({**CHARGE, "disputed": True}, made)
        await world.deliver(make_event("charge.dispute.updated", made))
        assert await world.available() == left
    await refunded(world, 9_999)
    assert await world.available() == FREE


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_case_62_the_order_of_payment_subscription_and_refund_makes_no_difference(
    world: World, order: tuple[int, ...]
) -> None:
    await world.customer()
    made = refund("re_1", 3_000)
    world.stripe.put({**YEAR, "latest_invoice": BILL}, BILL, YEARLY, CHARGE, paid_by(), made)
    events = (PAID, CREATED, make_event("refund.created", made))
    await world.deliver(*(events[place] for place in order))
    assert await world.available() == FREE + 700
    await to_month(world, 2)
    await world.deliver(*({**one, "id": f"{one['id']}_again"} for one in events))
    assert await world.available() == FREE + 700


async def test_case_62_payment_and_refund_may_be_projected_at_once(world: World) -> None:
    await world.customer()
    made = refund("re_1", 9_999)
    world.stripe.put({**YEAR, "latest_invoice": BILL}, BILL, YEARLY, CHARGE, paid_by(), made)
    await world.send(PAID, CREATED, make_event("refund.created", made))
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(world.new_receiver().drain)
    assert await world.available() == FREE


async def test_case_62_the_refund_of_one_month_leaves_the_next_alone(world: World) -> None:
    await world.customer()
    first = invoice()
    world.stripe.put(subscription(latest_invoice=first), first, charge(amount=999), paid_by())
    await world.deliver(make_event("customer.subscription.created", subscription()))
    await world.spend(100)
    start = datetime(2026, 2, 1, tzinfo=DEFAULT_START.tzinfo)
    renewal = invoice("in_2", start=start, lines=[invoice_line("il_2", start=start, days=28)])
    item = subscription_item(start=start, days=28)
    world.stripe.put(subscription(items=[item], latest_invoice=renewal), renewal)
    made = refund("re_1", 999)
    world.stripe.put(made)
    await to_month(world, 2)
    await world.deliver(
        make_event("refund.created", made),  # of January, before February's payment is heard of
        make_event("invoice.paid", renewal),
        make_event("customer.subscription.updated", subscription()),
    )
    assert await world.available() == FREE + MONTH - 100


async def test_a_credit_note_and_its_refund_are_the_same_money(world: World) -> None:
    await subscribe(world)
    world.stripe.put({**BILL, "post_payment_credit_notes_amount": 5_000})
    await world.deliver(make_event("invoice.updated", BILL))
    half = FREE + MONTH - MONTH * 5_000 // 9_999
    assert await world.available() == half
    await refunded(world, 5_000)
    assert await world.available() == half
    await world.deliver(make_event("invoice.updated", BILL))
    assert await world.available() == half


async def test_a_refund_of_an_invoice_of_nobodys_has_no_effect(world: World) -> None:
    await world.customer()
    world.stripe.put(CHARGE, paid_by())
    await refunded(world, 9_999)
    assert await world.available() == FREE


async def test_case_62_refunding_while_the_credits_are_being_spent_comes_out_even(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another try: what two transactions wait for crosswise would fail."""
    monkeypatch.setitem(sql_errors._MAX_RUNS, Failure.CONFLICT, 1)
    await subscribe(world)  # nobody has looked at the account: its window is still to be granted
    spent: list[int] = []

    async def refund_bit_by_bit() -> None:
        for number in range(5):
            await refunded(world, 1_000, id=f"re_{number}")

    async def spend(name: str) -> None:
        for number in range(10):
            await world.spend(10, hold=f"{name}_{number}")
            spent.append(10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(refund_bit_by_bit)
        for name in ("ann", "bob"):
            tasks.start_soon(spend, name)
    now = await balance(world)
    assert sum(spent) == 200
    assert (now.available, now.debt) == (FREE + MONTH - 5_000 * MONTH // 9_999 - 200, 0)


async def test_case_62_what_a_plan_grants_once_goes_back_too_but_not_what_everybody_has(
    world: World,
) -> None:
    world.rules = Rules(
        Catalog(
            plans=[
                Plan("free", default=True, grants=[credits.once(5)]),
                Plan(
                    "pro",
                    includes="free",
                    prices=[Price("pro_yearly", 9_999, "eur", every="year")],
                    grants=[credits.once(500)],
                ),
            ]
        )
    )
    await subscribe(world)
    await world.spend(105)
    await refunded(world, 9_999, "pending")
    owed = await balance(world)
    assert (owed.available, owed.debt) == (0, 100)  # five are everybody's
    await refunded(world, 9_999, "failed")
    assert await world.available() == FREE + 500 - 105


CREDITED = {**BILL, "post_payment_credit_notes_amount": 9_999}


async def test_an_older_look_at_the_subscription_undoes_no_credit_note(world: World) -> None:
    await subscribe(world)

    async def is_credited(object_id: str) -> None:
        """While the subscription is on its way to us, with the invoice as it was."""
        world.stripe.during_fetch = None
        world.stripe.put(CREDITED, {**YEAR, "latest_invoice": CREDITED})
        await world.projections.invoices.refresh("in_1")

    world.stripe.during_fetch = is_credited
    await world.projections.subscriptions.refresh("sub_1")
    assert await world.available() == FREE


async def test_a_look_at_the_subscription_does_not_overtake_a_credit_note(world: World) -> None:
    await subscribe(world)

    async def is_overtaken(object_id: str) -> None:
        """While the invoice is on its way to us: a look that had begun before it was credited."""
        world.stripe.during_fetch = None
        await world.projections.subscriptions.refresh("sub_1")

    world.stripe.put(CREDITED)  # the subscription, as it was fetched, has it as it was
    world.stripe.during_fetch = is_overtaken
    await world.projections.invoices.refresh("in_1")
    assert await world.available() == FREE


async def test_the_key_of_what_is_given_back_of_a_plan_does_not_tell_whose_it_is(
    memory_world: World,
) -> None:
    world = memory_world
    await subscribe(world)
    await world.spend(300)
    await refunded(world, 9_999, "pending")
    await refunded(world, 9_999, "failed")
    assert await world.available() == FREE + MONTH - 300
    grants = await world.store.read(
        lambda tx: tx.ledger.grants("org_1", "credits", tuple(GrantKind))
    )
    back = [one for one in grants if "/back-" in one.id]
    assert [one.source_key for one in back] == [None] * len(back)
    assert back
