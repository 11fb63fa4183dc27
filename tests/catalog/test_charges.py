"""Hard case 29: what one payment can be, in every currency."""

import pytest

from gatekeeper.catalog import CURRENCIES, check_chargeable
from gatekeeper.catalog.charges import MAXIMUM_OF, MINIMUM_MINOR
from gatekeeper.errors import AmountNotChargeableError, InvalidAmountError, InvalidInputError


def test_what_is_bounded_is_a_currency() -> None:
    assert MINIMUM_MINOR.keys() | MAXIMUM_OF.keys() <= CURRENCIES.keys()
    assert all(least % CURRENCIES[code].step == 0 for code, least in MINIMUM_MINOR.items())


@pytest.mark.parametrize(
    ("currency", "least", "most"),
    [
        ("eur", 50, 99_999_999),
        ("gbp", 30, 99_999_999),
        ("huf", 17_500, 99_999_999),
        ("jpy", 50, 99_999_999),
        ("idr", 50, 999_999_999_999),
        ("inr", 50, 999_999_999),
        ("afn", 1, 99_999_999),
        ("kwd", 10, 99_999_990),
        ("isk", 100, 99_999_900),
    ],
)
def test_the_least_and_the_most_of_a_payment(currency: str, least: int, most: int) -> None:
    step = CURRENCIES[currency].step
    assert check_chargeable(least, currency) == least
    assert check_chargeable(most, currency) == most
    for amount in (least - step, most + step):
        if amount > 0:
            with pytest.raises(AmountNotChargeableError) as refused:
                check_chargeable(amount, currency)
            assert refused.value.params["currency"] == currency
            assert refused.value.params["minimum_minor"] == least


@pytest.mark.parametrize(("currency", "amount"), [("kwd", 5_124), ("isk", 550), ("ugx", 101)])
def test_decimals_that_stripe_does_not_take_are_refused(currency: str, amount: int) -> None:
    with pytest.raises(AmountNotChargeableError, match="multiple") as refused:
        check_chargeable(amount, currency)
    assert refused.value.params["step_minor"] == CURRENCIES[currency].step


@pytest.mark.parametrize("amount", [0, -1, 1.5, True, "100", None])
def test_what_is_no_amount(amount: object) -> None:
    with pytest.raises(InvalidAmountError):
        check_chargeable(amount, "eur")


@pytest.mark.parametrize("currency", ["EUR", "xyz", "", None, 5])
def test_what_is_no_currency(currency: object) -> None:
    with pytest.raises(InvalidInputError):
        check_chargeable(500, currency)
