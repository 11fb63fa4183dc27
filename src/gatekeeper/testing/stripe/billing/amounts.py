"""What Stripe takes as the amount of a charge.

Source: Stripe's pages "Supported currencies" ("Minimum and maximum charge amounts", "Special
cases", "Three-decimal currencies") and "Error codes" (`amount_too_small`, `amount_too_large`).
Simplified: a currency that the page does not list has no minimum (Stripe converts), and every one
but the rupiah takes eight digits.
"""

from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.money import money, places

_MINIMUM = {
    **dict.fromkeys(
        "ars aud brl cad chf cop eur idr ils inr jpy krw nzd php rub sgd usd zar".split(), 50
    ),
    **dict.fromkeys("aed myr pln ron".split(), 200),
    **dict.fromkeys("nok sek".split(), 300),
    **dict.fromkeys("mxn thb".split(), 1_000),
    "czk": 1_500,
    "dkk": 250,
    "gbp": 30,
    "hkd": 400,
    "huf": 17_500,
}
"""In minor units."""

_MAXIMUM = 99_999_999
_MAXIMA = {"idr": 999_999_999_999}

_WHOLE = ("isk", "ugx")
"""Sent with two decimals, which are zeros."""


def least(currency: str) -> int:
    """The smallest charge in a currency, in minor units."""
    return _MINIMUM.get(currency, 1)


def check(amount: int, currency: str, param: str = "amount", what: str = "Amount must") -> None:
    """Refuse an amount that cannot be charged; `what` begins the sentence that says so."""
    code = currency.lower()
    smallest = least(code)
    if amount < smallest:
        raise _refusal(f"{what} be at least {money(smallest, code)} {code}", param, "small")
    largest = _MAXIMA.get(code, _MAXIMUM)
    if amount > largest:
        raise _refusal(f"{what} be no more than {money(largest, code)} {code}", param, "large")
    if places(code) == 3 and amount % 10:
        raise invalid(f"{what} end in 0: {code} is rounded to the nearest ten.", param)
    if code in _WHOLE and amount % 100:
        raise invalid(f"{what} end in 00: {code} has no decimals.", param)


def _refusal(message: str, param: str, size: str) -> ApiError:
    return ApiError(400, message, code=f"amount_too_{size}", param=param)
