"""Is a price at Stripe the one that the catalogue declares?"""

from gatekeeper.catalog import Price, format_minor
from gatekeeper.stripe.client import Obj


def differences_of(declared: Price, found: Obj) -> list[str]:
    """What of Stripe's price is not as declared, as people read it; empty if all is."""
    wanted = {
        "amount": format_minor(declared.amount_minor, declared.currency),
        "interval": _interval(declared.every, declared.every_count),
    }
    recurring = found.get("recurring") or {}
    has = {
        "amount": _amount(found),
        "interval": _interval(recurring.get("interval"), recurring.get("interval_count") or 1),
    }
    faults = [
        f"its {name} is {has[name]}, not {wanted[name]}"
        for name in wanted
        if has[name] != wanted[name]
    ]
    if not found.get("active", True):
        faults.append("it is archived")
    if recurring.get("usage_type") == "metered":
        faults.append("it is metered")
    return faults


def _amount(found: Obj) -> str:
    amount, currency = found.get("unit_amount"), found.get("currency")
    if not isinstance(amount, int) or not isinstance(currency, str):
        return "tiered or not a whole amount"
    try:
        return format_minor(amount, currency)
    except KeyError:  # a currency that the catalogue does not know
        return f"{amount} {currency.upper()}"


def _interval(every: str | None, count: int) -> str:
    if every is None:
        return "once"
    return f"every {every}" if count == 1 else f"every {count} {every}s"
