from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import subscribe

pytestmark = pytest.mark.anyio


def test_a_customer_is_made_changed_and_read(client: Any, stripe_sim: Simulator) -> None:
    made = client.v1.customers.create(
        {"email": "a@b.c", "metadata": {"org": "42", "keep": "1"}, "address": {"country": "IE"}}
    )
    client.v1.customers.update(
        made.id, {"name": "Ada", "metadata": {"org": "", "new": "x"}, "phone": "1"}
    )
    found = client.v1.customers.retrieve(made.id)
    assert (found.name, found.email) == ("Ada", "a@b.c")
    assert found.metadata.to_dict() == {"keep": "1", "new": "x"}
    created, updated = stripe_sim.events("customer.created", "customer.updated")
    assert created["data"]["object"]["name"] is None
    assert updated["data"]["previous_attributes"] == {
        "name": None,
        "phone": None,
        "metadata": {"org": "42", "new": None},
    }
    assert updated["request"]["id"].startswith("req_")


def test_an_update_that_changes_nothing_says_nothing(client: Any, stripe_sim: Simulator) -> None:
    made = client.v1.customers.create({"email": "a@b.c"})
    client.v1.customers.update(made.id, {"email": "a@b.c"})
    assert not stripe_sim.events("customer.updated")


def test_all_metadata_can_be_unset(client: Any) -> None:
    made = client.v1.customers.create({"metadata": {"a": "1"}, "address": {"city": "Cork"}})
    changed = client.v1.customers.update(made.id, {"metadata": "", "address": "", "name": ""})
    assert changed.metadata.to_dict() == {}
    assert changed.address is None


def test_a_deleted_customer_answers_that_it_is_and_its_subscriptions_end(
    client: Any, stripe_sim: Simulator
) -> None:
    subscription = subscribe(client)
    customer = str(subscription.customer)
    assert client.v1.customers.delete(customer).deleted is True
    gone = client.v1.customers.retrieve(customer)
    assert gone.to_dict() == {"id": customer, "object": "customer", "deleted": True}
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert client.v1.customers.list().data == []
    assert [e["type"] for e in stripe_sim.events()][-2:] == [
        "customer.subscription.deleted",
        "customer.deleted",
    ]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.update(customer, {"name": "x"})
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_customers_are_found_by_email_and_with_their_subscriptions(
    client: Any,
) -> None:
    subscription = subscribe(client)
    client.v1.customers.create({"email": "other@example.com"})
    found = client.v1.customers.list({"email": "ada@example.com", "expand": ["data.subscriptions"]})
    assert [c.id for c in found.data] == [subscription.customer]
    assert [s.id for s in found.data[0].subscriptions.data] == [subscription.id]


def test_a_declining_card_makes_no_customer(client: Any, stripe_sim: Simulator) -> None:
    with pytest.raises(stripe.CardError) as caught:
        client.v1.customers.create({"payment_method": "pm_card_chargeDeclined"})
    assert caught.value.http_status == 402
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({"invoice_settings": {"default_payment_method": "pm_card_visa"}})
    assert not stripe_sim.events()


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"unheard_of": "1"}, "unheard_of", "parameter_unknown"),
        ({"address": {"planet": "1"}}, "address[planet]", "parameter_unknown"),
        ({"metadata": {"k" * 41: "v"}}, "metadata", None),
        ({"metadata": {"k": "v" * 501}}, "metadata[k]", None),
        ({"metadata": {str(n): "v" for n in range(51)}}, "metadata", None),
        ({"metadata": "x"}, "metadata", None),
        ({"address": "x"}, "address", None),
        ({"email": "e" * 513}, "email", None),
        ({"email": {"a": "b"}}, "email", None),
        ({"preferred_locales": {"a": "b"}}, "preferred_locales", None),
        ({"tax_exempt": "maybe"}, "tax_exempt", None),
    ],
)
def test_what_stripe_does_not_accept_is_a_400_with_its_name(
    client: Any, params: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.create(params)
    assert caught.value.http_status == 400
    assert (caught.value.param, caught.value.code) == (param, code)


# stripe 16.1.0 hands httpx its bodies as `data`, which httpx has deprecated for bytes.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
async def test_the_asynchronous_client_works_too(stripe_sim: Simulator) -> None:
    async with stripe_sim.async_client(max_network_retries=0) as client:
        made = await client.v1.customers.create_async({"email": "a@b.c"})
        assert (await client.v1.customers.retrieve_async(made.id)).email == "a@b.c"
        listed = await client.v1.customers.list_async({"limit": 1})
        assert [c.id async for c in listed.auto_paging_iter()] == [made.id]
