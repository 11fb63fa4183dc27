"""Refunds by people, with the simulator in Stripe's place: hard cases 34, 35, 36 and 39. On each
database they run through the API (tests/asgi/billing/back_office)."""

import asyncio
from typing import Any

import pytest

from gatekeeper.errors import (
    ConflictError,
    CreditsRequiredError,
    DebtOutstandingError,
    IdempotencyConflictError,
    InvalidInputError,
    NotFoundError,
    RefundRefusedError,
    RefundTooLargeError,
    StripeRequestError,
)
from gatekeeper.services.back_office import Mandate
from gatekeeper.storage.actions import ActionQuery
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.refunds import Refund, RefundDesk
from gatekeeper.stripe.refunds.money import Of, shares_of
from gatekeeper.testing.stripe.faults import Fault
from tests.stripe.shop import Shop
from tests.stripe.test_money_story import FREE, TEAM, buy

pytestmark = pytest.mark.anyio

PACK = 100
PRICE = 500


def mandate(key: str | None = None, **more: Any) -> Mandate:
    given = {"actor": "ann@support", "reason": "It did not work.", "idempotency_key": key}
    return Mandate(**{**given, **more})


def desk_of(shop: Shop) -> RefundDesk:
    return RefundDesk(shop.gateway, shop.store, OutgoingRequests(shop.gateway, shop.store))


async def refund(shop: Shop, charge: str, amount: int | None = None, **more: Any) -> Refund:
    return await desk_of(shop).create(mandate(), Of(payment=charge), amount_minor=amount, **more)


@pytest.mark.parametrize("parts", [(150, 100), (100, 150)])
async def test_case_34_refunds_by_hand_of_30_and_20_percent_take_back_half(
    shop: Shop, parts: tuple[int, int]
) -> None:
    charge = await buy(shop, "topup_100")
    for amount in parts:
        assert (await refund(shop, charge, amount)).status == "succeeded"
    await shop.settle()
    assert await shop.available() == FREE + PACK // 2
    found = await desk_of(shop).list(customer="org_1")
    assert sorted(one.amount_minor for one in found) == [100, 150]
    assert {(one.actor, one.note, one.customer) for one in found} == {
        ("ann@support", "It did not work.", "org_1")
    }
    with pytest.raises(RefundTooLargeError) as refused:
        await refund(shop, charge, 251)
    assert refused.value.params["left_minor"] == 250
    assert (await refund(shop, charge)).amount_minor == 250
    with pytest.raises(RefundTooLargeError):
        await refund(shop, charge)
    await shop.settle()
    assert await shop.available() == FREE


@pytest.mark.parametrize("end", ["failed", "canceled"])
async def test_case_35_a_refund_by_hand_that_fails_is_given_back_and_seen(
    shop: Shop, end: str
) -> None:
    charge = await buy(shop, "topup_100")
    shop.sim.stall_refunds(status="requires_action" if end == "canceled" else "pending")
    made = await refund(shop, charge)
    assert made.status in ("pending", "requires_action")
    await shop.settle()
    assert await shop.available() == FREE
    with pytest.raises(RefundTooLargeError):  # it counts while it is under way
        await refund(shop, charge, 1)
    if end == "failed":
        shop.sim.fail_refund(str(made.refund_id))
    else:
        shop.sim.client().v1.refunds.cancel(str(made.refund_id))
    await shop.settle()
    assert await shop.available() == FREE + PACK
    desk = desk_of(shop)
    seen = await desk.get(made.id)
    assert (seen.status, seen.failure is not None) == (end, end == "failed")
    assert [one.id for one in await desk.list(status=end)] == [made.id]
    assert (await refund(shop, charge)).status == "succeeded"  # and once more
    await shop.settle()
    assert await shop.available() == FREE


async def test_case_36_a_full_refund_by_hand_of_what_was_spent_is_owed(shop: Shop) -> None:
    charge = await buy(shop, "topup_100")
    await shop.spend(FREE + PACK)
    await refund(shop, charge)
    await shop.settle()
    owed = await shop.balance()
    assert (owed.available, owed.debt) == (0, PACK)
    with pytest.raises(DebtOutstandingError):
        await shop.spend(1, hold="hold_2")


async def test_case_39_a_refund_by_hand_and_a_lost_dispute_are_never_over_all(
    shop: Shop,
) -> None:
    charge = await buy(shop, "topup_100")
    await refund(shop, charge, 200)
    made = shop.sim.dispute(charge, amount=300)
    await shop.settle()
    with pytest.raises(RefundTooLargeError):  # what is disputed is not ours to give
        await refund(shop, charge, 1)
    shop.sim.close_dispute(made["id"], "lost")
    await shop.settle()
    assert (await shop.balance()).available == FREE
    assert (await shop.balance()).debt == 0
    with pytest.raises(RefundTooLargeError):
        await refund(shop, charge)


async def test_what_stripe_refuses_is_said_and_takes_nothing(shop: Shop) -> None:
    charge = await buy(shop, "topup_100")
    shop.sim.dispute(charge, amount=100)  # 400 are left by the amounts; Stripe refuses all the same
    with pytest.raises(RefundRefusedError, match="charged back"):
        await desk_of(shop).create(mandate("k"), Of(payment=charge), amount_minor=50)
    with pytest.raises(RefundRefusedError):  # under the same key the same answer
        await desk_of(shop).create(mandate("k"), Of(payment=charge), amount_minor=50)
    (seen,) = await desk_of(shop).list(status="refused")
    assert (seen.amount_minor, seen.refund_id) == (50, None)
    assert "charged back" in str(seen.failure)
    assert [one.id for one in await desk_of(shop).list()] == [seen.id]


async def test_a_refund_is_made_once_under_its_key_and_recorded_once(shop: Shop) -> None:
    charge = await buy(shop, "topup_100")
    desk = desk_of(shop)
    first = await desk.create(mandate("k1"), Of(payment=charge), amount_minor=100)
    again = await desk.create(mandate("k1"), Of(payment=charge), amount_minor=100)
    assert again.id == first.id
    with pytest.raises(IdempotencyConflictError):
        await desk.create(mandate("k1"), Of(payment=charge), amount_minor=101)
    with pytest.raises(IdempotencyConflictError):
        await desk.create(mandate("k1", reason="Another."), Of(payment=charge), amount_minor=100)
    other = await desk.create(
        mandate("k1", actor="bob@support"), Of(payment=charge), amount_minor=100
    )
    assert other.id != first.id
    listed = await shop.store.read(lambda tx: tx.actions.listed(ActionQuery(customer="org_1"), 9))
    assert [(one.actor, one.kind, one.reason) for one in listed] == [
        ("bob@support", "refund.create", "It did not work."),
        ("ann@support", "refund.create", "It did not work."),
    ]
    assert listed[1].before == '{"left_minor":500,"currency":"eur"}'
    assert listed[1].after == f'{{"left_minor":400,"refund":"{first.id}","amount_minor":100}}'


async def test_two_who_refund_at_once_never_give_back_more_than_was_paid(
    durable_shop: Shop,
) -> None:
    shop = durable_shop

    charge = await buy(shop, "topup_100")
    tried = await asyncio.gather(
        *(refund(shop, charge, 300) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, Refund) for one in tried) == 1
    assert sum(isinstance(one, RefundTooLargeError) for one in tried) == 3
    assert len(shop.sim.events("refund.created")) == 1


async def test_a_refund_without_an_answer_is_open_and_is_made_once(shop: Shop) -> None:
    charge = await buy(shop, "topup_100")
    shop.sim.faults.add(Fault("lost", path="/v1/refunds", method="POST"))
    outgoing = OutgoingRequests(shop.gateway, shop.store)
    desk = RefundDesk(shop.gateway, shop.store, outgoing)
    made = await desk.create(mandate(), Of(payment=charge), amount_minor=100)
    assert (made.status, made.refund_id) == ("open", None)
    with pytest.raises(RefundTooLargeError):
        await refund(shop, charge, 401)
    shop.clock.advance(minutes=2)
    assert await outgoing.resume() == 1
    assert (await desk.get(made.id)).status == "succeeded"
    assert len(shop.sim.events("refund.created")) == 1


async def test_an_invoice_and_a_purchase_are_refunded_by_their_payment(shop: Shop) -> None:
    link = await shop.start("team_monthly")
    shop.sim.pay_checkout(link.session_id)
    await shop.settle()
    assert await shop.available() == FREE + TEAM
    (paid,) = shop.sim.events("invoice.paid")
    invoice = str(paid["data"]["object"]["id"])
    desk = desk_of(shop)
    made = await desk.create(mandate(), Of(invoice=invoice), reason="duplicate")
    assert (made.invoice_id, made.reason, made.amount_minor) == (invoice, "duplicate", 2_999)
    await shop.settle()
    assert await shop.available() == FREE
    with pytest.raises(NotFoundError, match="invoices tell"):
        await desk.create(mandate(), Of(purchase=link.purchase_id))
    pack = await shop.start("topup_100")
    shop.sim.pay_checkout(pack.session_id)
    await shop.settle()
    assert (await desk.create(mandate(), Of(purchase=pack.purchase_id))).amount_minor == PRICE
    await shop.settle()
    assert await shop.available() == FREE


async def test_refunds_made_at_stripe_are_listed_too_in_pages(shop: Shop) -> None:
    charge = await buy(shop, "topup_100")
    first = shop.sim.client().v1.refunds.create({"charge": charge, "amount": 10})
    shop.sim.advance(seconds=5)
    await shop.settle()
    second = await refund(shop, charge, 20)
    desk = desk_of(shop)
    (newest,) = await desk.list(limit=1)
    (oldest,) = await desk.list(limit=9, after=newest.place)
    assert (newest.id, oldest.id) == (second.id, first.id)
    assert (oldest.actor, oldest.charge_id, oldest.amount_minor) == (None, charge, 10)


@pytest.mark.parametrize(
    ("of", "error"),
    [
        ({"payment": "pi_none"}, NotFoundError),
        ({"payment": "ch_none"}, NotFoundError),
        ({"invoice": "in_none"}, NotFoundError),
        ({"order": "ord_none"}, NotFoundError),
        ({"purchase": "pur_none"}, NotFoundError),
        ({}, InvalidInputError),
        ({"payment": "pi_1", "invoice": "in_1"}, InvalidInputError),
        ({"payment": "no\nid"}, InvalidInputError),
    ],
)
async def test_what_can_not_be_refunded_is_refused_by_name(
    shop: Shop, of: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await desk_of(shop).create(mandate(), Of(**of))


async def test_an_invoice_of_several_payments_names_them(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listed(*asked: Any, **more: Any) -> list[Any]:
        return [{"payment": {"payment_intent": name}} for name in ("pi_2", "pi_1")]

    async def fetch(*asked: Any, **more: Any) -> dict[str, Any]:
        return {"id": "in_1"}

    monkeypatch.setattr(shop.gateway, "listed", listed)
    monkeypatch.setattr(shop.gateway, "fetch", fetch)
    with pytest.raises(ConflictError) as refused:
        await desk_of(shop).create(mandate(), Of(invoice="in_1"))
    assert refused.value.params["payments"] == ["pi_1", "pi_2"]


async def test_words_that_mean_nothing_are_refused(shop: Shop) -> None:
    desk = desk_of(shop)
    with pytest.raises(InvalidInputError, match="no reason 'whim'"):
        await desk.create(mandate(), Of(payment="pi_1"), reason="whim")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="A refund is one of"):
        await desk.list(status="lost")
    with pytest.raises(InvalidInputError):
        await desk.create(mandate(), Of(payment="pi_1"), amount_minor=0)
    with pytest.raises(NotFoundError):
        await desk.get("rf_none")
    for wrong in ({"reason": " "}, {"actor": ""}, {"reason": "x" * 600}):
        with pytest.raises(InvalidInputError):
            mandate(**wrong)


async def test_a_key_that_may_not_refund_is_told_and_nothing_counts_as_given(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = await buy(shop, "topup_100")

    async def refuse(*asked: Any, **more: Any) -> Any:
        raise StripeRequestError("The key may not.", stripe_status=403)

    with monkeypatch.context() as patched:
        patched.setattr(shop.gateway, "post", refuse)
        with pytest.raises(StripeRequestError, match="may not"):
            await refund(shop, charge, 500)
    assert (await refund(shop, charge, 500)).status == "succeeded"
    await shop.settle()
    with pytest.raises(CreditsRequiredError):
        await shop.spend(FREE + 1)


def test_who_had_a_part_gives_it_back() -> None:
    destination = {"transfer_data": {"destination": "acct_1"}, "application_fee": "fee_1"}
    assert shares_of(destination) == {"reverse_transfer": True, "refund_application_fee": True}
    assert shares_of({**destination, "application_fee": None}) == {"reverse_transfer": True}
    assert shares_of({"transfer_data": None}) == {}


async def test_asking_again_for_an_open_refund_makes_it_at_once_and_once(shop: Shop) -> None:
    charge = await buy(shop, "topup_100")
    shop.sim.faults.add(Fault("lost", path="/v1/refunds", method="POST"))
    desk = desk_of(shop)
    first = await desk.create(mandate("k"), Of(payment=charge), amount_minor=100)
    assert first.status == "open"
    again = await desk.create(mandate("k"), Of(payment=charge), amount_minor=100)
    assert (again.id, again.status) == (first.id, "succeeded")
    assert len(shop.sim.events("refund.created")) == 1


async def test_a_refund_that_never_got_there_is_refused_in_the_end_and_counts_no_more(
    shop: Shop,
) -> None:
    charge = await buy(shop, "topup_100")
    shop.sim.faults.add(Fault("dropped", path="/v1/refunds", method="POST"))
    outgoing = OutgoingRequests(shop.gateway, shop.store)
    desk = RefundDesk(shop.gateway, shop.store, outgoing)
    made = await desk.create(mandate(), Of(payment=charge))
    assert made.status == "open"
    shop.clock.advance(hours=24)  # its idempotency key is good no more
    assert await outgoing.resume() == 1
    lost = await desk.get(made.id)
    assert (lost.status, lost.refund_id) == ("refused", None)
    assert (await refund(shop, charge)).amount_minor == PRICE
