from datetime import UTC, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.errors import InvalidAmountError, InvalidIdError, InvalidInputError
from gatekeeper.types import (
    MAX_AMOUNT,
    UNLIMITED,
    Identity,
    Unlimited,
    check_amount,
    check_id,
    check_limit,
    utc_now,
)


@pytest.mark.parametrize("value", ["org_42", "Ä", "a b", "x" * 255, "0", "用户"])
def test_an_id_is_returned_as_it_is(value: str) -> None:
    assert check_id(value, "customer") == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "The customer id must be a string, not NoneType."),
        (42, "The customer id must be a string, not int."),
        (b"org", "The customer id must be a string, not bytes."),
        ("", "The customer id is empty."),
        ("x" * 256, "The customer id has 256 characters; at most 255 are accepted."),
        ("a\x00b", "The customer id holds a control character."),
        ("a\r\nSet-Cookie: b", "The customer id holds a control character."),
        ("a\x7f", "The customer id holds a control character."),
        ("a\x85b", "The customer id holds a control character."),
        ("a\u2028b", "The customer id holds a control character."),
        ("a\ud800", "The customer id holds a control character."),
        (" a", "The customer id begins or ends with a blank."),
        ("a\u00a0", "The customer id begins or ends with a blank."),
    ],
)
def test_what_can_not_be_an_id_is_refused_without_repeating_it(value: object, message: str) -> None:
    with pytest.raises(InvalidIdError) as caught:
        check_id(value, "customer")
    assert caught.value.detail == message


@given(st.text())
def test_every_string_is_an_id_or_refused_and_ids_survive_a_log_line(value: str) -> None:
    try:
        check_id(value, "customer")
    except InvalidIdError:
        return
    assert value.encode().decode() == value
    assert len(f"customer={value} ok".splitlines()) == 1


@pytest.mark.parametrize("value", [1, 2, MAX_AMOUNT])
def test_an_amount_is_returned_as_it_is(value: int) -> None:
    assert check_amount(value, "The amount") == value


def test_the_least_amount_can_be_chosen() -> None:
    assert check_amount(0, "The amount", minimum=0) == 0
    with pytest.raises(InvalidAmountError, match=f"The amount must be from 1 to {MAX_AMOUNT}."):
        check_amount(0, "The amount")


@pytest.mark.parametrize(
    "value", [-1, MAX_AMOUNT + 1, pytest.param(10**5_000, id="too_huge_to_print")]
)
def test_an_amount_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(InvalidAmountError, match="must be from"):
        check_amount(value, "The amount")


@pytest.mark.parametrize("value", [True, False, 1.0, float("nan"), "1", None, UNLIMITED, [1]])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidAmountError, match="must be a whole number, not"):
        check_amount(value, "The amount", minimum=0)


def test_a_limit_is_a_whole_number_and_not_too_large() -> None:
    assert [check_limit(1), check_limit(1_000), check_limit(7, 7)] == [1, 1_000, 7]
    for value in (0, -1, 1_001, True, 1.0, "1", None):
        with pytest.raises(InvalidInputError, match="from 1 to 1000"):
            check_limit(value)
    with pytest.raises(InvalidInputError, match="from 1 to 7"):
        check_limit(8, 7)


def test_the_largest_amount_survives_javascript() -> None:
    assert int(float(MAX_AMOUNT)) == MAX_AMOUNT
    assert float(MAX_AMOUNT + 1) == float(MAX_AMOUNT + 2)


def test_unlimited_is_one_value_and_no_number() -> None:
    assert repr(UNLIMITED) == "UNLIMITED"
    assert Unlimited("unlimited") is UNLIMITED
    assert not isinstance(UNLIMITED, int)


def test_an_identity_names_the_customer_and_perhaps_the_actor() -> None:
    assert Identity("org_42").actor is None
    assert Identity(customer="org_42", actor="ann") == Identity("org_42", "ann")


@pytest.mark.parametrize(
    ("customer", "actor", "what"),
    [("", None, "customer"), ("org", "", "actor"), ("o", "a\n", "actor")],
)
def test_a_bad_identity_is_refused(customer: str, actor: str | None, what: str) -> None:
    with pytest.raises(InvalidIdError, match=f"The {what} id"):
        Identity(customer, actor)


def test_now_is_in_utc_and_aware() -> None:
    now = utc_now()
    assert now.tzinfo is UTC
    assert now.utcoffset() == timedelta(0)
