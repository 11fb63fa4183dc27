"""What one payment can be: its currency, its minor units, its least and its most.

Source: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts. The least depends on
the currency that is paid out: where charge and payout are of one currency it is the figure below,
else Stripe decides. The most is that of payments by other means than cards, since nobody knows
beforehand how somebody will pay; cards may be charged with more.
"""

from typing import Final

from gatekeeper.catalog.currencies import find_currency, format_minor
from gatekeeper.errors import AmountNotChargeableError, InvalidInputError
from gatekeeper.types import MAX_AMOUNT, check_amount

MINIMUM_MINOR: Final[dict[str, int]] = {
    **dict.fromkeys("usd ars aud brl cad chf cop eur idr ils inr nzd php rub sgd zar".split(), 50),
    "aed": 200,
    "czk": 1_500,
    "dkk": 250,
    "gbp": 30,
    "hkd": 400,
    "huf": 17_500,
    "jpy": 50,
    "krw": 50,
    "mxn": 1_000,
    "myr": 200,
    "nok": 300,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "thb": 1_000,
}
"""The least that can be charged, in minor units, by currency."""

MAXIMUM_MINOR: Final = 99_999_999
"""The most that can be charged: eight digits."""

MAXIMUM_OF: Final[dict[str, int]] = {
    "cop": 9_999_999_999,
    "idr": 999_999_999_999,
    "inr": 999_999_999,
}
"""The currencies in which it may be more."""


def check_chargeable(amount_minor: object, currency: object) -> int:
    """Return the amount if one payment can be of it.

    Raises:
        InvalidInputError: Stripe takes no such currency.
        InvalidAmountError: the amount is no whole number.
        AmountNotChargeableError: it is too little, too much, or has decimals that Stripe does not
            take: its params tell the bounds.
    """
    found = find_currency(currency)
    if found is None:
        raise InvalidInputError("The currency must be one that Stripe takes, such as 'eur'.")
    amount = check_amount(amount_minor, "The amount of a payment", minimum=-MAX_AMOUNT)
    least = MINIMUM_MINOR.get(found.code, found.step)
    most = MAXIMUM_OF.get(found.code, MAXIMUM_MINOR)
    bounds = {"currency": found.code, "minimum_minor": least, "maximum_minor": most}
    if not least <= amount <= most:
        raise AmountNotChargeableError(
            f"A payment in {found.code.upper()} must be from {format_minor(least, found.code)} "
            f"to {format_minor(most, found.code)}.",
            **bounds,
        )
    if amount % found.step:
        raise AmountNotChargeableError(
            f"An amount in {found.code.upper()} must be a multiple of {found.step} minor units.",
            **bounds,
            step_minor=found.step,
        )
    return amount
