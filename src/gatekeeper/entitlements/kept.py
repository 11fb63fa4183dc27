"""What paid lines have bought, less what of their money has gone back.

The same for whoever asks, and whenever: what a window is granted after a refund, and what is taken
back of one that was granted before it, come to the same (DESIGN invariants 7 and 11).
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from gatekeeper.entitlements.amounts import add, size
from gatekeeper.entitlements.state import PaidLine
from gatekeeper.types import UNLIMITED, Amount, Unlimited


class Bought(NamedTuple):
    """How much a line has bought of a unit for one window."""

    amount: Amount
    line: PaidLine


def kept(amount: Amount, line: PaidLine) -> Amount:
    """What of `amount`, which a line has bought, is still paid for.

    The part that is taken is rounded down: the customer keeps the broken credit. Without a bound
    stays without a bound, unless all of the money has gone back.
    """
    if line.is_returned:
        return 0
    if isinstance(amount, Unlimited) or line.returned_minor <= 0 or line.paid_minor <= 0:
        return amount
    return amount - amount * line.returned_minor // line.paid_minor


def kept_of(covering: Sequence[Bought], raising: Sequence[Bought]) -> Amount:
    """What is still paid for of a window: the largest of what covers it, and of each proration the
    part by which it raises that."""
    total: Amount = max((kept(one.amount, one.line) for one in covering), key=size, default=0)
    level: Amount = largest(covering)
    for one in sorted(raising, key=_in_turn):
        if size(one.amount) <= size(level):
            continue
        total = add(total, kept(_difference(one.amount, level), one.line))
        level = one.amount
    return total


def largest(bought: Sequence[Bought]) -> Amount:
    """The most that any of them has bought."""
    return max((one.amount for one in bought), key=size, default=0)


def _in_turn(one: Bought) -> tuple[tuple[bool, int], Fraction, str, str]:
    """Of two that raise to the same, the one counts that is paid for."""
    line = one.line
    gone = Fraction(line.returned_minor, line.paid_minor) if line.paid_minor > 0 else Fraction(0)
    return size(one.amount), gone, line.start.isoformat(), line.id


def _difference(amount: Amount, level: Amount) -> Amount:
    if isinstance(amount, Unlimited) or isinstance(level, Unlimited):
        return UNLIMITED
    return amount - level
