import pytest

from gatekeeper.catalog import CURRENCIES, find_currency, format_minor


@pytest.mark.parametrize(
    ("code", "exponent", "step"),
    [
        ("eur", 2, 1),
        ("usd", 2, 1),
        ("jpy", 0, 1),
        ("mga", 0, 1),
        ("huf", 2, 1),  # without decimals in payouts only
        ("twd", 2, 1),
        ("isk", 2, 100),
        ("ugx", 2, 100),
        ("kwd", 3, 10),
        ("bhd", 3, 10),
    ],
)
def test_case_29_minor_units_are_counted_as_stripe_counts_them(
    code: str, exponent: int, step: int
) -> None:
    currency = CURRENCIES[code]
    assert (currency.code, currency.exponent, currency.step) == (code, exponent, step)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (999, "eur", "9.99 EUR"),
        (5, "eur", "0.05 EUR"),
        (-5, "eur", "-0.05 EUR"),
        (500, "jpy", "500 JPY"),
        (5_120, "kwd", "5.120 KWD"),
        (500, "isk", "5.00 ISK"),
    ],
)
def test_case_29_amounts_are_written_with_the_right_decimals(
    amount_minor: int, currency: str, text: str
) -> None:
    assert format_minor(amount_minor, currency) == text


def test_no_currency_is_listed_twice_and_every_code_is_three_lower_case_letters() -> None:
    assert len(CURRENCIES) > 130
    for code, currency in CURRENCIES.items():
        assert code == currency.code
        assert len(code) == 3
        assert code.isascii()
        assert code.isalpha()
        assert code.islower()


@pytest.mark.parametrize("code", ["EUR", "euro", "", "xxx", None, 3, ["eur"]])
def test_what_is_no_currency_is_not_found(code: object) -> None:
    assert find_currency(code) is None


def test_a_currency_is_found_by_its_code() -> None:
    assert find_currency("eur") is CURRENCIES["eur"]
