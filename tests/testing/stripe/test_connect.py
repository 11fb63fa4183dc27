from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import Settings, Simulator
from tests.testing.stripe.receiver import Receiver
from tests.testing.stripe.shop import new_session, subscribe

pytestmark = pytest.mark.anyio


def seller(client: Any, sim: Simulator) -> str:
    made = client.v1.accounts.create({"type": "express", "country": "IE", "email": "s@a.test"})
    assert made.charges_enabled is False
    assert sim.onboard(made.id)["charges_enabled"] is True
    return str(made.id)


async def test_an_account_is_told_of_as_its_own(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    connected = Receiver(stripe_sim, url="http://connect.test/webhooks", connect=True)
    account = seller(client, stripe_sim)
    client.v1.accounts.update(account, {"metadata": {"a": "1"}, "email": "t@a.test"})
    await stripe_sim.deliver_pending()
    told = ["capability.updated", "account.updated"] * 2
    assert connected.types == [*told, "account.updated"]
    assert {event.account for event in connected.events} == {account}
    assert receiver.types == []
    assert stripe_sim.redeliver(connected.events[0].id) == 1
    found = client.v1.accounts.retrieve(account)
    assert (found.email, found.metadata["a"]) == ("t@a.test", "1")
    own = stripe_sim.settings.account_id
    assert client.v1.accounts.retrieve(own).id == own
    assert [a.id for a in client.v1.accounts.list().data] == [account]
    assert client.v1.accounts.delete(account).deleted
    with pytest.raises(stripe.PermissionError, match="does not have access"):
        client.v1.accounts.retrieve(account)
    with pytest.raises(stripe.PermissionError, match="does not have access"):
        client.v1.customers.list({}, {"stripe_account": account})


def test_accounts_do_not_see_each_other_s_objects(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    key = {"idempotency_key": "same"}
    ours = client.v1.customers.create({"name": "ours"}, key)
    theirs = client.v1.customers.create({"name": "theirs"}, {"stripe_account": account, **key})
    assert ours.id != theirs.id
    seen = client.v1.customers.list({}, {"stripe_account": account}).data
    assert [c.name for c in seen] == ["theirs"]
    assert [c.name for c in client.v1.customers.list().data] == ["ours"]
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.v1.customers.retrieve(theirs.id)
    events = stripe_sim.events("customer.created")
    assert [event.get("account") for event in events] == [None, account]
    with pytest.raises(stripe.PermissionError):
        client.v1.customers.list({}, {"stripe_account": "acct_nobody"})


def test_transfers_are_made_and_reversed(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    terms = {"amount": 900, "currency": "eur", "destination": account, "transfer_group": "o1"}
    made = client.v1.transfers.create({**terms, "metadata": {"order": "1"}})
    part = client.v1.transfers.reversals.create(made.id, {"amount": 300})
    assert part.transfer == made.id
    assert client.v1.transfers.retrieve(made.id).amount_reversed == 300
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed"):
        client.v1.transfers.reversals.create(made.id, {"amount": 601})
    rest = client.v1.transfers.reversals.create(made.id)
    (after,) = client.v1.transfers.list({"transfer_group": "o1"}).data
    assert (after.reversed, after.amount_reversed) == (True, 900)
    listed = client.v1.transfers.reversals.list(made.id).data
    assert [one.id for one in listed] == [rest.id, part.id]
    assert len(stripe_sim.events("transfer.reversed")) == 2


def test_a_transfer_needs_an_account_that_can_take_it(client: Any, stripe_sim: Simulator) -> None:
    new = client.v1.accounts.create({})
    terms = {"amount": 900, "currency": "eur", "destination": new.id}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(terms)
    assert caught.value.code == "insufficient_capabilities_for_transfer"
    stripe_sim.onboard(new.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such charge"):
        client.v1.transfers.create({**terms, "source_transaction": "ch_none"})
    assert not stripe_sim.events("transfer.created")


def test_what_an_account_may_do_changes(client: Any, stripe_sim: Simulator) -> None:
    wanted = {"capabilities": {"transfers": {"requested": True}}}
    made = client.v1.accounts.create(wanted)
    (found,) = client.v1.accounts.capabilities.list(made.id).data
    assert (found.id, found.requested, found.status) == ("transfers", True, "inactive")
    stripe_sim.onboard(made.id)
    asked = client.v1.accounts.capabilities.update(made.id, "card_payments", {"requested": True})
    assert asked.status == "active"
    stripe_sim.set_capability(made.id, "transfers", "inactive", "rejected.other")
    found = client.v1.accounts.capabilities.retrieve(made.id, "transfers")
    assert (found.status, found.requirements.disabled_reason) == ("inactive", "rejected.other")
    last = stripe_sim.events("capability.updated")[-1]
    assert (last["account"], last["data"]["previous_attributes"]) == (
        made.id,
        {"status": "active"},
    )
    after = client.v1.accounts.update(
        made.id, {"capabilities": {"card_payments": {"requested": False}}}
    )
    assert after.capabilities.to_dict() == {"transfers": "inactive"}
    assert after.charges_enabled is False
    none = client.v1.accounts.capabilities.retrieve(made.id, "card_payments")
    assert (none.status, none.requested) == ("unrequested", False)
    with pytest.raises(stripe.InvalidRequestError, match="No such capability"):
        client.v1.accounts.capabilities.retrieve(made.id, "telepathy")


async def test_an_account_leaves_the_platform(
    client: Any, stripe_sim: Simulator, receiver: Receiver
) -> None:
    account = seller(client, stripe_sim)
    connected = Receiver(stripe_sim, url="http://connect.test/webhooks", connect=True)
    stripe_sim.deauthorize(account)
    await stripe_sim.deliver_pending()
    assert connected.types == ["account.application.deauthorized"]
    assert connected.events[0].account == account
    with pytest.raises(stripe.PermissionError, match="does not have access"):
        client.v1.accounts.retrieve(account)
    with pytest.raises(stripe.PermissionError, match="does not have access"):
        client.v1.customers.list({}, {"stripe_account": account})


async def test_a_context_names_the_account_too(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    made = client.v1.customers.create({}, {"stripe_context": account})
    event = stripe_sim.events("customer.created")[-1]
    assert event["account"] == account
    thin = f"evt_thin{event['id'].removeprefix('evt_')}"
    found = client.v2.core.events.retrieve(thin, {}, {"stripe_context": account})
    assert (found.related_object.id, found.context) == (made.id, account)


def buy(client: Any, **terms: Any) -> Any:
    return client.v1.payment_intents.create(
        {
            "amount": 1_000,
            "currency": "eur",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "expand": ["latest_charge.transfer", "latest_charge.application_fee"],
            **terms,
        }
    )


def test_a_destination_charge_and_its_refunds(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    paid = buy(
        client,
        transfer_data={"destination": account},
        application_fee_amount=123,
        on_behalf_of=account,
    )
    charge = paid.latest_charge
    assert (charge.transfer.amount, charge.transfer.destination) == (1_000, account)
    assert charge.transfer.source_transaction == charge.id
    assert (charge.application_fee.amount, charge.application_fee.account) == (123, account)
    assert charge.application_fee.originating_transaction == charge.id
    theirs = client.v1.charges.retrieve(
        charge.transfer.destination_payment,
        {"expand": ["balance_transaction"]},
        {"stripe_account": account},
    )
    assert (theirs.amount, theirs.source_transfer) == (1_000, charge.transfer.id)
    assert theirs.balance_transaction.net == 877
    both = {"reverse_transfer": True, "refund_application_fee": True}
    part = client.v1.refunds.create({"charge": charge.id, "amount": 333, **both})
    reversal = client.v1.transfers.reversals.retrieve(charge.transfer.id, part.transfer_reversal)
    assert (reversal.amount, reversal.source_refund) == (333, part.id)
    (back,) = client.v1.application_fees.refunds.list(charge.application_fee.id).data
    assert back.amount == 40  # a third of 123, rounded down
    rest = client.v1.refunds.create({"charge": charge.id, **both, "expand": ["transfer_reversal"]})
    assert (rest.amount, rest.transfer_reversal.amount) == (667, 667)
    after = client.v1.charges.retrieve(charge.id, {"expand": ["transfer", "application_fee"]})
    assert (after.transfer.reversed, after.application_fee.amount_refunded) == (True, 123)
    told = stripe_sim.events("transfer.reversed", "application_fee.refunded")
    assert len(told) == 4
    theirs = client.v1.charges.retrieve(theirs.id, {}, {"stripe_account": account})
    assert theirs.refunded
    with pytest.raises(stripe.InvalidRequestError, match="No such transfer reversal"):
        client.v1.transfers.reversals.retrieve("tr_other", reversal.id)


def test_a_refund_that_leaves_the_seller_s_share(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    paid = buy(client, transfer_data={"destination": account, "amount": 700})
    charge = paid.latest_charge
    assert (charge.transfer.amount, charge.application_fee) == (700, None)
    client.v1.refunds.create({"charge": charge.id, "amount": 100})
    assert client.v1.transfers.retrieve(charge.transfer.id).amount_reversed == 0
    client.v1.refunds.create({"charge": charge.id, "amount": 100, "reverse_transfer": True})
    assert client.v1.transfers.retrieve(charge.transfer.id).amount_reversed == 70
    client.v1.transfers.reversals.create(charge.transfer.id)
    left = client.v1.refunds.create({"charge": charge.id, "reverse_transfer": True})
    assert (left.amount, left.transfer_reversal) == (800, None)
    with pytest.raises(stripe.InvalidRequestError, match="does not have an application fee"):
        client.v1.refunds.create({"charge": charge.id, "refund_application_fee": True})
    plain = buy(client).latest_charge
    with pytest.raises(stripe.InvalidRequestError, match="does not have an associated transfer"):
        client.v1.refunds.create({"charge": plain.id, "reverse_transfer": True})


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"application_fee_amount": 1}, "Can only apply an application_fee_amount"),
        ({"transfer_data": {"destination": "acct_none"}}, "No such account"),
        ({"on_behalf_of": "acct_none"}, "No such account"),
        ({"transfer_data": {"amount": 1_001}}, "must not be greater"),
        ({"transfer_data": {"amount": 1}, "application_fee_amount": 1}, "simultaneously"),
    ],
)
def test_shares_that_make_no_sense(
    client: Any, stripe_sim: Simulator, terms: dict[str, Any], problem: str
) -> None:
    if "transfer_data" in terms:
        account = seller(client, stripe_sim)
        terms = {**terms, "transfer_data": {"destination": account, **terms["transfer_data"]}}
    with pytest.raises(stripe.InvalidRequestError, match=problem):
        buy(client, **terms)
    assert not stripe_sim.events("payment_intent.created")


def test_a_direct_charge_pays_a_fee_to_the_platform(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    paid = client.v1.payment_intents.create(
        {
            "amount": 1_000,
            "currency": "eur",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "application_fee_amount": 100,
        },
        {"stripe_account": account},
    )
    (fee,) = client.v1.application_fees.list({"charge": paid.latest_charge}).data
    assert (fee.amount, fee.account, fee.originating_transaction) == (100, account, None)
    (event,) = stripe_sim.events("application_fee.created")
    assert "account" not in event
    (intent,) = stripe_sim.events("payment_intent.created")
    assert event["request"] == intent["request"]
    assert event["request"]["id"] is not None
    refund = client.v1.refunds.create(
        {"payment_intent": paid.id, "refund_application_fee": True}, {"stripe_account": account}
    )
    assert refund.status == "succeeded"
    assert client.v1.application_fees.retrieve(fee.id).refunded
    made = client.v1.application_fees.refunds
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount on fee"):
        made.create(fee.id, {"amount": 1})
    (back,) = made.list(fee.id).data
    assert made.retrieve(fee.id, back.id).amount == 100


def test_separate_transfers_are_bounded_by_their_charge(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    charge = buy(client, transfer_group="order_1").latest_charge
    terms = {"currency": "eur", "destination": account, "source_transaction": charge.id}
    made = client.v1.transfers.create({**terms, "amount": 900, "description": "first"})
    assert made.transfer_group == "order_1"
    with pytest.raises(stripe.InvalidRequestError, match=r"source amount of €10.00"):
        client.v1.transfers.create({**terms, "amount": 101})
    changed = client.v1.transfers.update(made.id, {"description": "b", "metadata": {"a": "1"}})
    assert (changed.description, changed.metadata["a"]) == ("b", "1")
    assert len(stripe_sim.events("transfer.updated")) == 1


def test_a_transfer_that_fails(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    stripe_sim.misbehave("refused", path="/v1/transfers", code="balance_insufficient")
    terms = {"amount": 900, "currency": "eur", "destination": account}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(terms, {"idempotency_key": "once"})
    assert caught.value.code == "balance_insufficient"
    assert client.v1.transfers.create(terms, {"idempotency_key": "once"}).amount == 900
    assert len(client.v1.transfers.list().data) == 1
    stripe_sim.set_capability(account, "transfers", "pending")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(terms)
    assert caught.value.code == "insufficient_capabilities_for_transfer"


class TestBalanceChecked:
    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, balance_checked=True)

    def test_a_transfer_needs_available_money(self, client: Any, stripe_sim: Simulator) -> None:
        account = seller(client, stripe_sim)
        buy(client)
        terms = {"amount": 900, "currency": "eur", "destination": account}
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.transfers.create(terms)
        assert caught.value.code == "balance_insufficient"
        stripe_sim.advance(days=7)
        assert client.v1.transfers.create(terms).amount == 900


def test_a_subscription_s_payments_are_shared(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    subscribe(client, transfer_data={"destination": account, "amount_percent": 90})
    subscribe(client, transfer_data={"destination": account}, application_fee_percent=12.5)
    stripe_sim.advance(days=31)
    sent = client.v1.transfers.list().data
    assert sorted(one.amount for one in sent) == [899, 899, 999, 999]
    assert [fee.amount for fee in client.v1.application_fees.list().data] == [125, 125]
    with pytest.raises(stripe.InvalidRequestError, match="on a connected account"):
        subscribe(client, application_fee_percent=5)
    kept = subscribe(client, on_behalf_of=account)
    assert kept.on_behalf_of == account


def test_a_checkout_s_payment_is_shared(client: Any, stripe_sim: Simulator) -> None:
    account = seller(client, stripe_sim)
    pack = new_session(
        client,
        mode="payment",
        payment_intent_data={
            "transfer_data": {"destination": account},
            "application_fee_amount": 99,
            "transfer_group": "order_2",
        },
    )
    plan = new_session(
        client, subscription_data={"transfer_data": {"destination": account, "amount_percent": 50}}
    )
    for session in (pack, plan):
        stripe_sim.pay_checkout(session.id)
    sent = client.v1.transfers.list().data
    assert [one.amount for one in sent] == [500, 999]
    assert sent[1].transfer_group == "order_2"
    assert [fee.amount for fee in client.v1.application_fees.list().data] == [99]


EXPRESS = {
    "controller": {
        "fees": {"payer": "application"},
        "losses": {"payments": "application"},
        "stripe_dashboard": {"type": "express"},
    },
    "country": "NL",
}
PAGES = {"refresh_url": "https://a.test/again", "return_url": "https://a.test/back"}


def test_an_owner_is_brought_through_the_onboarding(client: Any, stripe_sim: Simulator) -> None:
    account = client.v1.accounts.create(EXPRESS)
    assert (account.type, account.controller.requirement_collection) == ("none", "stripe")
    assert account.requirements.currently_due
    with pytest.raises(stripe.InvalidRequestError, match="has not completed"):
        client.v1.accounts.login_links.create(account.id)
    asked = {"account": account.id, "type": "account_onboarding", **PAGES}
    first, second, third = (client.v1.account_links.create(asked) for _ in range(3))

    def follow(url: str, action: str | None = None) -> str:
        way = httpx.get(url) if action is None else httpx.post(url, data={"action": action})
        return str(way.headers.get("location", ""))

    assert httpx.get(first.url).status_code == 200
    assert follow(first.url, "leave") == PAGES["return_url"]
    assert client.v1.accounts.retrieve(account.id).charges_enabled is False
    assert follow(first.url) == follow(first.url, "submit") == PAGES["refresh_url"]  # once
    assert follow(second.url, "submit") == PAGES["return_url"]
    known = client.v1.accounts.retrieve(account.id)
    assert (known.charges_enabled, list(known.requirements.currently_due)) == (True, [])
    assert "available" in httpx.get(client.v1.accounts.login_links.create(account.id).url).text
    stripe_sim.advance(minutes=6)
    assert follow(third.url) == PAGES["refresh_url"]
    for path in ("/setup/e/setup_1", "/express/acct_1"):
        assert httpx.get(stripe_sim.url + path).status_code == 404
    assert httpx.post(stripe_sim.url + "/setup/e/setup_1").status_code == 404


def test_what_links_and_accounts_can_t_be_made_of(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        client.v1.accounts.create({**EXPRESS, "type": "express"})
    for unknown in ({"account": "acct_1", "type": "account_onboarding", **PAGES},):
        with pytest.raises(stripe.PermissionError):
            client.v1.account_links.create(unknown)
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.login_links.create("acct_1")
    standard = client.v1.accounts.create({"type": "standard"}).id
    with pytest.raises(stripe.InvalidRequestError, match="no Express account"):
        client.v1.accounts.login_links.create(standard)
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        client.v1.account_links.create(
            {"account": standard, "type": "account_onboarding", "refresh_url": "https://a.test"}
        )
