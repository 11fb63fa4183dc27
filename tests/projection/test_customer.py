"""Customers."""

import pytest

from gatekeeper.errors import ProjectionError
from gatekeeper.projection import CustomerFacts, project_customer
from tests.projection.reading_samples import sample


def test_a_customer() -> None:
    assert project_customer(sample("customer.2026-05-27.dahlia")) == CustomerFacts(
        id="cus_Dah",
        deleted=False,
        livemode=False,
        email="ada@example.com",
        name="Ada Lovelace",
    )


def test_of_a_deleted_one_little_is_left() -> None:
    assert project_customer(sample("deleted_customer.2026-05-27.dahlia")) == CustomerFacts(
        id="cus_Gone", deleted=True, livemode=None, email=None, name=None
    )


def test_a_name_can_hold_anything_and_a_number_is_none() -> None:
    value = sample("customer.2026-05-27.dahlia")
    assert project_customer(value | {"name": "A\x00da\r\n"}).name == "A da  "
    assert project_customer(value | {"name": "Zoë 愛"}).name == "Zoë 愛"
    with pytest.raises(ProjectionError, match=r"^customer\.name is of type int, not a text\.$"):
        project_customer(value | {"name": 7})
