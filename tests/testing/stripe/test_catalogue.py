from typing import Any

import pytest
import stripe

from gatekeeper.testing.stripe import Simulator
from tests.testing.stripe.shop import new_price


def test_products_are_made_changed_listed_and_deleted(client: Any, stripe_sim: Simulator) -> None:
    made = client.v1.products.create(
        {"id": "pro", "name": "Pro", "marketing_features": [{"name": "Fast"}]}
    )
    client.v1.products.update("pro", {"active": False, "metadata": {"a": "1"}})
    other = client.v1.products.create({"name": "Other"})
    assert [p.id for p in client.v1.products.list({"active": True}).data] == [other.id]
    assert [p.id for p in client.v1.products.list({"ids": ["pro"]}).data] == [made.id]
    assert client.v1.products.delete("pro").deleted is True
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.products.retrieve("pro")
    types = [e["type"] for e in stripe_sim.events()]
    assert types == ["product.created", "product.updated", "product.created", "product.deleted"]


def test_a_product_with_prices_cannot_be_deleted_nor_made_twice(
    client: Any,
) -> None:
    price = new_price(client)
    product = str(price.product)
    with pytest.raises(stripe.InvalidRequestError, match="user-created prices"):
        client.v1.products.delete(product)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.products.create({"id": product, "name": "Again"})
    assert caught.value.code == "resource_already_exists"


def test_a_default_price_must_be_the_product_s(client: Any) -> None:
    price, stranger = new_price(client), new_price(client)
    product = client.v1.products.update(
        str(price.product), {"default_price": price.id, "expand": ["default_price"]}
    )
    assert product.default_price.object == "price"
    with pytest.raises(stripe.InvalidRequestError, match="does not belong"):
        client.v1.products.update(product.id, {"default_price": stranger.id})


def test_prices_are_found_by_lookup_key_and_terms(client: Any) -> None:
    monthly = new_price(client, lookup_key="pro_monthly")
    yearly = new_price(client, lookup_key="pro_yearly", recurring={"interval": "year"})
    once = new_price(client, recurring=None, currency="JPY", unit_amount=500, active=False)

    def ids(**filters: Any) -> set[str]:
        return {price.id for price in client.v1.prices.list(filters).data}

    assert ids(lookup_keys=["pro_monthly", "nothing"]) == {monthly.id}
    assert ids(recurring={"interval": "year"}) == {yearly.id}
    assert ids(type="one_time") == {once.id}
    assert ids(currency="jpy", active=False) == {once.id}
    assert ids(product=monthly.product) == {monthly.id}
    assert ids(active=True) == {monthly.id, yearly.id}
    assert client.v1.prices.retrieve(once.id).type == "one_time"


def test_a_lookup_key_moves_only_when_asked_to(client: Any, stripe_sim: Simulator) -> None:
    first, second = new_price(client, lookup_key="pro"), new_price(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        new_price(client, lookup_key="pro")
    assert caught.value.param == "lookup_key"
    client.v1.prices.update(
        second.id, {"lookup_key": "pro", "transfer_lookup_key": True, "metadata": {"v": "2"}}
    )
    assert client.v1.prices.retrieve(first.id).lookup_key is None
    assert client.v1.prices.retrieve(second.id).lookup_key == "pro"
    updates = [e["data"]["previous_attributes"] for e in stripe_sim.events("price.updated")]
    assert updates == [{"lookup_key": "pro"}, {"lookup_key": None, "metadata": {"v": None}}]


def test_fractions_of_a_minor_unit_are_kept(client: Any) -> None:
    price = new_price(client, unit_amount=None, unit_amount_decimal="0.05")
    assert (price.unit_amount, str(price.unit_amount_decimal)) == (None, "0.05")
    whole = new_price(client, unit_amount=None, unit_amount_decimal="12.0")
    assert whole.unit_amount == 12


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"unit_amount": None}, "unit_amount"),
        ({"unit_amount_decimal": "1"}, "unit_amount"),
        ({"unit_amount": None, "unit_amount_decimal": "x"}, "unit_amount_decimal"),
        ({"unit_amount": None, "unit_amount_decimal": "-1"}, "unit_amount_decimal"),
        ({"unit_amount": None, "unit_amount_decimal": "0.0000000000001"}, "unit_amount_decimal"),
        ({"unit_amount": -1}, "unit_amount"),
        ({"unit_amount": "1.5"}, "unit_amount"),
        ({"unit_amount": "9" * 30}, "unit_amount"),
        ({"unit_amount": 10**13}, "unit_amount"),
        ({"currency": "euro"}, "currency"),
        ({"product_data": None}, "product"),
        ({"product_data": None, "product": "prod_none"}, "product"),
        ({"recurring": {"interval_count": 2}}, "recurring[interval]"),
        ({"recurring": {"interval": "month", "usage_type": "metered"}}, "recurring[meter]"),
        (
            {"recurring": {"interval": "month", "meter": "mtr_1"}},
            "recurring[usage_type]",
        ),
        (
            {"recurring": {"interval": "month", "meter": "mtr_1", "usage_type": "metered"}},
            "recurring[meter]",
        ),
        ({"active": "maybe"}, "active"),
    ],
)
def test_bad_prices_are_refused(client: Any, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        new_price(client, **changes)
    assert (caught.value.http_status, caught.value.param) == (400, param)
