"""What an action costs: an exact rate, rounded up once."""

from dataclasses import dataclass
from fractions import Fraction

from gatekeeper.catalog.units import Rate, UnitAmount
from gatekeeper.errors import InvalidAmountError
from gatekeeper.types import MAX_AMOUNT, check_amount


@dataclass(frozen=True, slots=True)
class Cost:
    """`numerator / denominator` of a unit for each one of what is measured.

    A hold stores these four values, so that a later change of the catalogue or of the plan does
    not change what the hold captures. The fraction is in lowest terms.
    """

    key: str
    unit_key: str
    numerator: int
    denominator: int = 1

    @classmethod
    def of(cls, key: str, declared: UnitAmount | Rate) -> "Cost":
        """The cost that an entry of the cost table declares."""
        per = declared.per if isinstance(declared, Rate) else 1
        rate = Fraction(declared.amount, per)
        return cls(key, declared.unit.key, rate.numerator, rate.denominator)

    def amount_for(self, quantity: int) -> int:
        """What `quantity` costs, in the unit's smallest steps, rounded up to a whole number.

        Round the total, not its parts: ten times 100 tokens at 1 credit per 1,000 are one credit
        together and ten credits one by one.

        Raises:
            InvalidAmountError: `quantity` is negative or not a whole number, or the result is
                larger than any balance can be.
        """
        check_amount(quantity, "The quantity", minimum=0)
        amount = -(-quantity * self.numerator // self.denominator)
        if amount > MAX_AMOUNT:
            raise InvalidAmountError(
                f"The cost of {quantity} x {self.key!r} is larger than {MAX_AMOUNT}."
            )
        return amount
