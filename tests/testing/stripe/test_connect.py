from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.receiver import Receiver

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
    assert connected.types == ["account.updated", "account.updated"]
    assert {event.account for event in connected.events} == {account}
    assert receiver.types == []
    assert stripe_sim.redeliver(connected.events[0].id) == 1
    found = client.v1.accounts.retrieve(account)
    assert (found.email, found.metadata["a"]) == ("t@a.test", "1")
    own = stripe_sim.settings.account_id
    assert client.v1.accounts.retrieve(own).id == own
    assert [a.id for a in client.v1.accounts.list().data] == [account]


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
