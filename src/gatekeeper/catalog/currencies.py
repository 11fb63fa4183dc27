"""Currencies and how Stripe counts their minor units.

Source: https://docs.stripe.com/currencies (presentment currencies, zero-decimal and three-decimal
currencies, special cases). Where Stripe differs from ISO 4217, Stripe decides, because the amounts
here are the ones that its API takes:

- ISK and UGX have no minor unit, yet amounts are given with two decimals that must be 00.
- MGA, whose minor unit is a fifth, is taken without decimals.
- BHD, JOD, KWD, OMR and TND have three decimals, the last of which must be 0.
- HUF and TWD are without decimals in payouts only; charges have two.
"""

from dataclasses import dataclass
from typing import Final

MAX_PRICE_MINOR: Final = 999_999_999_999
"""The largest price: twelve digits, the most that Stripe takes in any currency."""

_ZERO_DECIMAL: Final = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DECIMAL: Final = "bhd jod kwd omr tnd"
_TWO_DECIMAL_ALWAYS_00: Final = "isk ugx"
_TWO_DECIMAL: Final = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd btn bwp byn bzd
    cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel ghs gip gmd gtq gyd
    hkd hnl htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt
    mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub
    sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst
    xcd xcg yer zar zmw
"""


@dataclass(frozen=True, slots=True)
class Currency:
    """How amounts of a currency are written.

    Attributes:
        code: lower-case ISO 4217.
        exponent: how many decimals `amount_minor` has: 2 for EUR, 0 for JPY, 3 for KWD.
        step: Stripe takes only multiples of this many minor units.
    """

    code: str
    exponent: int
    step: int = 1


CURRENCIES: Final[dict[str, Currency]] = {
    currency.code: currency
    for codes, exponent, step in (
        (_ZERO_DECIMAL, 0, 1),
        (_TWO_DECIMAL, 2, 1),
        (_TWO_DECIMAL_ALWAYS_00, 2, 100),
        (_THREE_DECIMAL, 3, 10),
    )
    for currency in (Currency(code, exponent, step) for code in codes.split())
}
"""Every currency that a price can have, by its code."""


def find_currency(code: object) -> Currency | None:
    """The currency of this code; None for whatever is no such code, whether a string or not."""
    return CURRENCIES.get(code) if isinstance(code, str) else None


def format_minor(amount_minor: int, currency: str) -> str:
    """An amount as people write it, with its code: `9.99 EUR`, `500 JPY`, `5.120 KWD`.

    Raises:
        KeyError: the currency is none of `CURRENCIES`.
    """
    exponent = CURRENCIES[currency].exponent
    whole, rest = divmod(abs(amount_minor), 10**exponent)
    decimals = f".{rest:0{exponent}d}" if exponent else ""
    return f"{'-' if amount_minor < 0 else ''}{whole}{decimals} {currency.upper()}"
