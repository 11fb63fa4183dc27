"""Arithmetic on amounts, of which one is UNLIMITED."""

from gatekeeper.types import UNLIMITED, Amount, Unlimited


def size(amount: Amount) -> tuple[bool, int]:
    """A key that orders amounts, UNLIMITED last."""
    return (True, 0) if isinstance(amount, Unlimited) else (False, amount)


def add(one: Amount, other: Amount) -> Amount:
    """The sum; UNLIMITED with anything is UNLIMITED."""
    if isinstance(one, Unlimited) or isinstance(other, Unlimited):
        return UNLIMITED
    return one + other


def bounded(amount: Amount) -> int | None:
    """The ledger's way to say it: None is without bound."""
    return None if isinstance(amount, Unlimited) else amount
