"""Minor units written for people. Source: Stripe's page "Supported currencies"."""

_NO_MINOR = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
_THOUSANDTHS = frozenset("bhd jod kwd omr tnd".split())

_SIGNS = {"eur": "€", "gbp": "£", "jpy": "¥", "usd": "$"}


def places(currency: str) -> int:
    """How many decimal places the currency has."""
    return 0 if currency in _NO_MINOR else 3 if currency in _THOUSANDTHS else 2


def money(amount_minor: int, currency: str) -> str:
    """`999, "eur"` as `€9.99`, `500, "jpy"` as `¥500`, `1250, "chf"` as `CHF 12.50`."""
    digits = places(currency)
    sign = "-" if amount_minor < 0 else ""
    whole, rest = divmod(abs(amount_minor), 10**digits)
    number = f"{whole:,}" + (f".{rest:0{digits}d}" if digits else "")
    symbol = _SIGNS.get(currency)
    return f"{sign}{symbol}{number}" if symbol else f"{sign}{currency.upper()} {number}"
