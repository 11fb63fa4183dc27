"""Formulas: what something costs from several measures, exactly, and rounded up once.

A formula is a plain value that is stored: with the terms of a subscription item, with a hold, and
with an account. So its form is as durable as theirs; fields are only ever added at the end.
"""

from collections.abc import Mapping
from math import lcm, prod
from typing import Final

import msgspec

from gatekeeper.errors import InvalidAmountError, UnknownNameError
from gatekeeper.types import MAX_AMOUNT, check_amount

QUANTITY: Final = "quantity"
"""The one measure of a simple rate, which a bare number means."""


class RateTerm(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`numerator / denominator` of a unit for each one of the product of the measures."""

    numerator: int
    denominator: int = 1
    measures: tuple[str, ...] = (QUANTITY,)


class Formula(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`base`, and the sum of the terms, in the unit's smallest steps."""

    base: int = 0
    terms: tuple[RateTerm, ...] = ()

    @property
    def measures(self) -> frozenset[str]:
        """The names of all that is measured."""
        return frozenset(name for term in self.terms for name in term.measures)

    def amount_for(self, measured: int | Mapping[str, object]) -> int:
        """What was measured costs, rounded up to a whole number.

        The sum is rounded, not its terms: half a credit for what goes in and half a one for what
        comes out are one credit.

        Args:
            measured: each of the measures by name; a bare number is that of `quantity`.

        Raises:
            UnknownNameError: something was measured that the formula does not have.
            InvalidAmountError: a measure is missing, is negative or is not a whole number, or the
                result is larger than any balance can be.
        """
        given = measured if isinstance(measured, Mapping) else {QUANTITY: measured}
        values = self._checked(given)
        common = lcm(*(term.denominator for term in self.terms))
        total = self.base * common
        for term in self.terms:
            part = term.numerator * prod(values[name] for name in term.measures)
            total += part * (common // term.denominator)
        amount = -(-total // common)
        if amount > MAX_AMOUNT:
            raise InvalidAmountError(f"The cost of what was measured is larger than {MAX_AMOUNT}.")
        return amount

    def _checked(self, given: Mapping[str, object]) -> dict[str, int]:
        """All the measures. Nothing is free because its name was misspelt or left out."""
        known = self.measures
        values: dict[str, int] = {}
        for name, value in given.items():
            if name not in known:
                said = name if isinstance(name, str) else f"a {type(name).__name__}"
                raise UnknownNameError("measure", said, known)
            values[name] = check_amount(value, f"The measure {name!r}", minimum=0)
        missing = sorted(known - values.keys())
        if missing:
            raise InvalidAmountError(
                f"Not measured: {', '.join(missing)}. It takes {', '.join(sorted(known))}."
            )
        return values
