"""Copies of objects: fetched under tickets, in order, kept when Stripe has them no more."""

from datetime import datetime

import msgspec
import pytest

from gatekeeper.errors import StripeRequestError
from gatekeeper.services.mirror import link
from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent, Stamp
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched, nothing
from gatekeeper.stripe.webhooks.handlers.mirror import KINDS, MirrorProjector
from gatekeeper.testing.events import (
    Obj,
    checkout_session,
    invoice,
    make_event,
    stripe_customer,
    subscription,
    thin_event,
)
from tests.stripe.money import charge, dispute, refund
from tests.stripe.test_clawbacks import BOUGHT, buy
from tests.stripe.test_purchases import begin
from tests.stripe.world import RULES, World

pytestmark = pytest.mark.anyio


def bare(kind: str) -> Obj:
    return {"id": "x_1", "object": kind, "currency": "eur", "created": 1_790_000_000}


def balance(id: str, status: str = "pending", **fields: object) -> Obj:
    more = {"amount": 500, "fee": 20, "net": 480, "currency": "eur", "type": "charge"}
    return {"id": id, "object": "balance_transaction", "status": status, **more, **fields}


def intent(status: str = "succeeded", **fields: object) -> Obj:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 500,
        "currency": "eur",
        "customer": "cus_1",
        "livemode": False,
        "status": status,
        **fields,
    }


def warning() -> Obj:
    return {
        "id": "issfr_1",
        "object": "radar.early_fraud_warning",
        "charge": "ch_1",
        "actionable": True,
        "fraud_type": "made_with_stolen_card",
        "livemode": False,
    }


async def stored(world: World, kind: str, object_id: str, account: str = "") -> MirrorObject:
    found = await world.store.read(lambda tx: tx.mirror.get(kind, object_id, account))
    assert found is not None
    return found


@pytest.mark.parametrize("kind", sorted(kind for kind, types in KINDS.items() if types))
async def test_every_kind_is_projected_as_stripe_has_it_now(memory_world: World, kind: str) -> None:
    world = memory_world
    world.stripe.put(bare(kind))
    await world.deliver(make_event(f"{kind}.updated", {"id": "x_1", "object": kind}))
    assert (await stored(world, kind, "x_1")).currency == "eur"
    assert await world.counts() == {EventStatus.DONE: 1}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"account"}))
async def test_case_09_the_same_object_of_two_accounts_is_copied_for_each(
    memory_world: World, kind: str
) -> None:
    world = memory_world
    await world.customer()
    seen = {"id": "x_1", "object": kind}
    for account, currency in (("acct_2", "eur"), ("acct_3", "usd")):
        world.stripe.put({**bare(kind), "currency": currency}, account=account)
        await world.deliver(make_event(f"{kind}.updated", seen, account=account))
    for account, currency in (("acct_2", "eur"), ("acct_3", "usd")):
        found = await stored(world, kind, "x_1", account)
        assert (found.currency, found.customer) == (currency, None)
    assert await world.store.read(lambda tx: tx.mirror.get(kind, "x_1")) is None
    assert await world.counts() == {EventStatus.DONE: 2}
    assert await world.version() == 0


async def test_case_09_money_of_a_connected_account_takes_nothing_from_our_customers(
    world: World,
) -> None:
    await buy(world)
    world.stripe.put(charge(), refund("re_1", 500), account="acct_2")
    await world.deliver(
        make_event("charge.refunded", charge(), account="acct_2"),
        make_event("refund.created", refund("re_1", 500), account="acct_2"),
    )
    assert await world.available() == BOUGHT
    assert (await stored(world, "refund", "re_1", "acct_2")).parent == "charge/ch_1"
    ours = await world.store.read(lambda tx: tx.mirror.get("refund", "re_1"))
    assert ours is None


async def test_what_belongs_to_a_charge_is_its_customers(world: World) -> None:
    await world.customer()
    world.stripe.put({**charge(), "disputed": True}, refund("re_1", 200), dispute("lost"))
    await world.deliver(make_event("refund.created", refund("re_1", 200)))
    world.stripe.put(warning())
    await world.deliver(make_event("radar.early_fraud_warning.created", warning()))
    for kind, object_id in (
        ("charge", "ch_1"),
        ("refund", "re_1"),
        ("dispute", "dp_1"),
        ("radar.early_fraud_warning", "issfr_1"),
    ):
        assert (await stored(world, kind, object_id)).customer == "org_1"
    of_charge = await world.store.read(lambda tx: tx.mirror.of_parent("refund", "charge/ch_1"))
    assert [(one.id, one.amount_minor) for one in of_charge] == [("re_1", 200)]
    facts = msgspec.json.decode((await stored(world, "radar.early_fraud_warning", "issfr_1")).facts)
    assert facts == {"fraud_type": "made_with_stolen_card", "actionable": True}


async def test_what_is_gone_from_stripe_stays_as_it_was_and_is_marked(world: World) -> None:
    world.stripe.put(intent())
    await world.deliver(make_event("payment_intent.succeeded", intent()))
    before = await stored(world, "payment_intent", "pi_1")
    price = {"id": "price_1", "object": "price", "livemode": False}
    world.stripe.put(price)
    await world.deliver(make_event("price.created", price))
    world.stripe.put({"id": "price_1", "object": "price", "deleted": True})
    await world.deliver(make_event("price.deleted", price))
    assert (await stored(world, "price", "price_1")).deleted
    assert before.customer is None
    assert not before.deleted
    world.stripe.remove(intent())
    await world.deliver(make_event("payment_intent.canceled", intent()))
    # Its last status is final: a look that finds nothing takes nothing from it.
    assert await stored(world, "payment_intent", "pi_1") == before


async def test_what_was_never_seen_leaves_nothing_when_it_is_gone(world: World) -> None:
    await world.deliver(make_event("payment_intent.canceled", intent()))
    assert await world.store.read(lambda tx: tx.mirror.get("payment_intent", "pi_1")) is None
    assert await world.counts() == {EventStatus.DONE: 1}


async def test_an_older_fetch_that_is_written_late_changes_nothing(world: World) -> None:
    projector = MirrorProjector(context_of(world), "payment_intent")
    world.stripe.put(intent("processing"))
    overtaken = False

    async def overtake(object_id: str) -> None:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            world.stripe.put(intent("requires_capture"))
            await projector.refresh(object_id)

    world.stripe.during_fetch = overtake
    await projector.refresh("pi_1")
    assert (await stored(world, "payment_intent", "pi_1")).status == "requires_capture"


async def test_objects_of_connected_accounts_are_kept_apart(world: World) -> None:
    await world.customer()
    world.stripe.put(intent())
    projector = MirrorProjector(context_of(world), "payment_intent")
    assert projector.connected
    await projector.refresh("pi_1", account="acct_2")
    found = await stored(world, "payment_intent", "pi_1", "acct_2")
    assert found.customer is None  # their cus_1 is not ours
    assert await world.store.read(lambda tx: tx.mirror.get("payment_intent", "pi_1")) is None


async def test_an_effect_shares_the_transaction_and_moves_the_customers_version(
    world: World,
) -> None:
    await world.customer()
    world.stripe.put(intent())

    def effect(tx: Transaction, row: MirrorObject, now: datetime) -> Touched | None:
        assert tx.mirror.get(row.kind, row.id) == row
        assert row.customer is not None
        return Touched(row.customer, tx.customers.touch(row.customer))

    await MirrorProjector(context_of(world), "payment_intent", effect).refresh("pi_1")
    assert world.invalidated == [("org_1", 1)]


def context_of(world: World, rules: Rules = RULES) -> Context:
    async def invalidate(customer: str, version: int) -> None:
        world.invalidated.append((customer, version))

    return Context(world.stripe, world.store, rules, invalidate)


# -- what comes along inside of another object -----------------------------------------------------


async def test_what_stripe_takes_and_pays_out_comes_with_what_it_is_of(world: World) -> None:
    await world.customer()
    paid = {**charge(), "balance_transaction": balance("txn_1"), "disputed": True}
    back = {**refund("re_1", 100), "balance_transaction": balance("txn_2", type="refund")}
    lost = {**dispute("lost"), "balance_transactions": [balance("txn_3", type="adjustment")]}
    world.stripe.put(paid, back, lost)
    await world.deliver(make_event("charge.succeeded", charge()))
    for name, parent in (
        ("txn_1", "charge/ch_1"),
        ("txn_2", "refund/re_1"),
        ("txn_3", "dispute/dp_1"),
    ):
        found = await stored(world, "balance_transaction", name)
        assert (found.parent, found.customer, found.amount_minor) == (parent, "org_1", 500)
    assert msgspec.json.decode(found.facts)["net"] == 480
    (copied,) = await world.store.read(lambda tx: tx.mirror.of_parent("refund", "charge/ch_1"))
    assert msgspec.json.decode(copied.facts)["balance_transaction"] == "txn_2"


async def test_an_older_look_inside_another_object_undoes_nothing_final(world: World) -> None:
    world.stripe.put(balance("txn_1", "available"))
    await MirrorProjector(context_of(world), "balance_transaction").refresh("txn_1")
    world.stripe.put({**charge(), "balance_transaction": balance("txn_1")})
    await world.deliver(make_event("charge.updated", charge()))
    assert (await stored(world, "balance_transaction", "txn_1")).status == "available"


async def test_reversals_of_a_transfer_are_objects_of_their_own(world: World) -> None:
    reversal = {"id": "trr_1", "object": "transfer_reversal", "transfer": "tr_1", "amount": 200}
    transfer = {
        "id": "tr_1",
        "object": "transfer",
        "amount": 500,
        "amount_reversed": 200,
        "reversals": {"object": "list", "data": [reversal], "has_more": False},
        "balance_transaction": balance("txn_1", type="transfer"),
    }
    world.stripe.put(transfer)
    await world.deliver(make_event("transfer.reversed", {"id": "tr_1", "object": "transfer"}))
    found = await world.store.read(
        lambda tx: tx.mirror.of_parent("transfer_reversal", "transfer/tr_1")
    )
    assert [(one.id, one.amount_minor) for one in found] == [("trr_1", 200)]
    assert (await stored(world, "balance_transaction", "txn_1")).parent == "transfer/tr_1"


async def test_the_refund_of_a_fee_is_looked_up_by_its_fee(world: World) -> None:
    back = {"id": "fr_1", "object": "fee_refund", "fee": "fee_1", "amount": 5, "currency": "eur"}
    fee = {
        "id": "fee_1",
        "object": "application_fee",
        "amount": 10,
        "charge": "ch_1",
        "refunds": {"object": "list", "data": [back], "has_more": False},
    }
    world.stripe.put(fee)
    await world.deliver(make_event("application_fee.refund.updated", back))
    found = await stored(world, "fee_refund", "fr_1")
    assert (found.parent, found.amount_minor) == ("application_fee/fee_1", 5)
    assert (await stored(world, "application_fee", "fee_1")).parent == "charge/ch_1"


async def test_a_thin_event_names_the_fee_of_a_refund_by_its_address(world: World) -> None:
    back = {"id": "fr_1", "object": "fee_refund", "fee": "fee_1", "amount": 5, "currency": "eur"}
    refunds = {"object": "list", "data": [back], "has_more": False}
    world.stripe.put({"id": "fee_1", "object": "application_fee", "refunds": refunds})
    thin = thin_event(
        "v1.application_fee.refund.updated", object_type="fee_refund", object_id="fr_1"
    )
    thin["related_object"]["url"] = "/v1/application_fees/fee_1/refunds/fr_1"
    await world.deliver(thin)
    assert (await stored(world, "fee_refund", "fr_1")).amount_minor == 5


async def test_a_refund_of_a_fee_that_does_not_say_of_which_is_done_with(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.deliver(
        make_event("application_fee.refund.updated", {"id": "fr_1", "object": "fee_refund"})
    )
    assert await world.counts() == {EventStatus.DONE: 1}
    assert "does not say what fr_1 is part of" in caplog.text


async def test_a_refund_of_no_charge_is_copied_in_order(world: World) -> None:
    made = {**refund("re_1", 100, "pending"), "charge": None, "payment_intent": None}
    world.stripe.put(made)
    overtaken = False

    async def overtake(object_id: str) -> None:
        nonlocal overtaken
        if len(world.stripe.fetches) == 2 and not overtaken:  # the one under the ticket
            overtaken = True
            world.stripe.put({**made, "status": "succeeded"})
            await world.projections.money._leave("refund", "re_1", nothing)

    world.stripe.during_fetch = overtake
    await world.deliver(make_event("refund.updated", made))
    assert (await stored(world, "refund", "re_1")).status == "succeeded"
    assert await world.counts() == {EventStatus.DONE: 1}


async def test_what_an_account_has_that_has_left_is_asked_for_no_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.stripe.failure = StripeRequestError(
        "no access", stripe_code="account_invalid", stripe_status=403
    )
    payout = {"id": "po_1", "object": "payout"}
    await world.projections.by_type["payout"].project(
        [await stored_event(world, make_event("payout.paid", payout, account="acct_2"))], nothing
    )
    assert "account acct_2 has left" in caplog.text
    ours = await stored_event(world, make_event("payout.paid", payout))
    with pytest.raises(StripeRequestError):
        await world.projections.by_type["payout"].project([ours], nothing)


async def stored_event(world: World, event: Obj) -> InboxEvent:
    await world.store.write(
        lambda tx: tx.put_stamp(Stamp(account=world.stripe.account_id, livemode=False))
    )
    await world.send(event)
    return await world.stored(event)


async def test_what_was_copied_before_a_customer_was_known_is_theirs_then(world: World) -> None:
    back = {**refund("re_1", 100), "balance_transaction": balance("txn_1")}
    world.stripe.put(stripe_customer(), charge(), back)
    await world.deliver(
        make_event("customer.created", stripe_customer()), make_event("refund.created", back)
    )
    assert (await stored(world, "refund", "re_1")).customer is None
    await world.customer("org_1", None)

    def work(tx: Transaction) -> None:
        row = tx.customers.get("org_1", lock=True)
        assert row is not None
        link(tx, row, "cus_1")

    await world.store.write(work)
    for kind, name in (
        ("customer", "cus_1"),
        ("charge", "ch_1"),
        ("refund", "re_1"),
        ("balance_transaction", "txn_1"),
    ):
        assert (await stored(world, kind, name)).customer == "org_1"


# -- what access is decided by has a copy like all others ------------------------------------------


async def test_customers_subscriptions_invoices_and_checkouts_are_copied_too(
    world: World,
) -> None:
    await begin(world)
    sub = subscription(latest_invoice=invoice())
    world.stripe.put(stripe_customer(), sub, invoice(), checkout_session())
    await world.deliver(
        make_event("customer.created", stripe_customer()),
        make_event("customer.subscription.created", sub),
        make_event("checkout.session.completed", checkout_session()),
    )
    for kind, name, status in (
        ("customer", "cus_1", None),
        ("subscription", "sub_1", "active"),
        ("invoice", "in_1", "paid"),  # which has come with its subscription
        ("checkout.session", "cs_1", "complete"),
    ):
        found = await stored(world, kind, name)
        assert (found.customer, found.status) == ("org_1", status)
        assert (found.stripe_customer, found.deleted) == ("cus_1", False)
    assert (await stored(world, "invoice", "in_1")).parent == "subscription/sub_1"
    (item,) = msgspec.json.decode((await stored(world, "subscription", "sub_1")).facts)["items"]
    assert (item["id"], item["price"], item["quantity"]) == ("si_1", "price_pro", 1)


async def test_what_access_is_decided_by_is_marked_when_it_is_gone(world: World) -> None:
    await world.customer()
    draft = invoice(status="draft")
    world.stripe.put(stripe_customer(), subscription(), draft, charge(), refund("re_1", 1))
    events = [
        make_event("customer.updated", stripe_customer()),
        make_event("customer.subscription.updated", subscription()),
        make_event("invoice.updated", draft),
        make_event("refund.created", refund("re_1", 1)),
    ]
    await world.deliver(*events)
    world.stripe.objects.clear()
    world.stripe.put({"id": "cus_1", "object": "customer", "deleted": True})
    await world.deliver(*({**event, "id": f"{event['id']}_2"} for event in events))
    await world.deliver(make_event("charge.updated", charge()))
    for kind, name in (
        ("customer", "cus_1"),
        ("subscription", "sub_1"),
        ("invoice", "in_1"),
        ("refund", "re_1"),
        ("charge", "ch_1"),
    ):
        assert (await stored(world, kind, name)).deleted, kind


async def test_a_strangers_objects_are_copied_and_are_nobodys(world: World) -> None:
    world.stripe.put(stripe_customer("cus_9"), subscription(customer="cus_9"))
    await world.deliver(
        make_event("customer.created", stripe_customer("cus_9")),
        make_event("customer.subscription.created", subscription(customer="cus_9")),
    )
    for kind, name in (("customer", "cus_9"), ("subscription", "sub_1")):
        found = await stored(world, kind, name)
        assert (found.customer, found.stripe_customer) == (None, "cus_9")


async def test_nothing_leads_back_from_the_copies_to_who_was_erased(world: World) -> None:
    await world.customer()
    method = {"id": "pm_1", "object": "payment_method", "customer": "cus_1", "type": "card"}
    sub = subscription(latest_invoice=invoice())
    world.stripe.put(stripe_customer(), charge(), method, intent(), sub, invoice())
    events = [
        make_event("customer.subscription.created", sub),
        make_event("customer.created", stripe_customer()),
        make_event("payment_method.attached", method),
        make_event("payment_intent.succeeded", intent()),
        make_event("charge.succeeded", charge()),
    ]
    await world.deliver(*events)
    await world.store.write(lambda tx: tx.audit.erase("org_1", "erased_1", world.clock.now))
    # Stripe tells of them once more.
    world.stripe.put(refund("re_1", 100))
    await world.deliver(
        make_event("charge.refunded", charge()),
        make_event("customer.subscription.updated", sub),
        make_event("invoice.updated", invoice()),
    )
    for kind, name in (("charge", "ch_1"), ("subscription", "sub_1"), ("invoice", "in_1")):
        found = await stored(world, kind, name)
        assert (found.customer, found.stripe_customer) == ("erased_1", None), kind
    assert (await stored(world, "refund", "re_1")).customer == "erased_1"

    def gone(tx: Transaction) -> list[object]:
        return [tx.mirror.get("customer", "cus_1"), tx.mirror.get("payment_method", "pm_1")]

    assert await world.store.read(gone) == [None, None]


# -- what was seen earlier and is written later ----------------------------------------------------


async def look_at(world: World, kind: str) -> None:
    match kind:
        case "subscription":
            await world.projections.subscriptions.refresh("sub_1")
        case "invoice":
            await world.projections.invoices.refresh("in_1")
        case _:
            await world.projections.money.refresh("ch_1", nothing)


def overtake(world: World, kind: str, *now: Obj) -> None:
    """While the first look has seen what Stripe has, Stripe gets `now`, and another look sees it
    and is written."""
    begun = False

    async def hold(object_id: str) -> None:
        nonlocal begun
        if not begun:
            begun = True
            world.stripe.put(*now)
            await look_at(world, kind)

    world.stripe.during_fetch = hold


@pytest.mark.parametrize(
    ("kind", "obj"),
    [("subscription", subscription()), ("invoice", invoice()), ("charge", charge())],
)
async def test_who_saw_nothing_earlier_buries_nothing_later(
    world: World, kind: str, obj: Obj
) -> None:
    await world.customer()
    overtake(world, kind, obj)
    await look_at(world, kind)
    found = await stored(world, kind, obj["id"])
    assert (found.deleted, found.customer) == (False, "org_1")


async def test_who_saw_a_charge_earlier_takes_and_gives_nothing_later(world: World) -> None:
    await buy(world)
    disputed = {**charge(), "disputed": True}
    world.stripe.put(charge(), dispute("needs_response"))  # of which the charge says nothing yet
    overtake(world, "charge", disputed)
    await look_at(world, "charge")
    assert await world.available() == BOUGHT - 100


async def test_a_strangers_invoice_that_is_written_late_changes_nothing(world: World) -> None:
    world.stripe.put(invoice(status="open"))
    overtake(world, "invoice", invoice())
    await look_at(world, "invoice")
    assert (await stored(world, "invoice", "in_1")).status == "paid"
