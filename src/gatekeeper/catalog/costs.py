"""What an action costs: an exact rate or formula, rounded up once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from gatekeeper.catalog.units import Rate, UnitAmount, UnitFormula
from gatekeeper.errors import InvalidAmountError, UnknownNameError
from gatekeeper.formulas import QUANTITY, Formula, RateTerm
from gatekeeper.types import check_amount

Priced = UnitAmount | Rate | UnitFormula
"""One way to count: `credits(4)`, `credits.per(1_000)` or `credits.formula(...)`."""

Measures = int | Mapping[str, int | str]
"""What was measured: a quantity, or each measure by its name; a string chooses in a `Choice`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A cost that depends on a choice: `Choice("model", {"small": ..., "large": ...})`.

    Attributes:
        name: what is chosen; a measure of this name says which.
        options: what each costs, all of one unit.
    """

    name: str
    options: Mapping[str, Priced]

    def __post_init__(self) -> None:
        if isinstance(self.options, Mapping):
            object.__setattr__(self, "options", MappingProxyType(dict(self.options)))


Declared = Priced | Choice
"""What an entry of the cost table can be."""

NO_RATES: Final[Mapping[str, Formula]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ResolvedCost:
    """What something measured costs, and the rate by which it does, to be fixed on a hold.

    Attributes:
        key: of the cost table; "chat:large" where "large" was chosen.
        amount: in the unit's smallest steps.
        numerator, denominator: the rate, if it is a simple one.
        formula: the rate, if it is not; else None.
    """

    key: str
    unit_key: str
    amount: int
    numerator: int = 1
    denominator: int = 1
    formula: Formula | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """An entry of the cost table: a simple rate, a formula, or a choice among such.

    A simple rate is `numerator / denominator` of a unit for each one of what is measured, in lowest
    terms. A hold stores the rate by which it was made, so that a later change of the catalogue or
    of the plan does not change what the hold captures.

    Attributes:
        formula: given if it is no simple rate.
        choice: the measure that chooses among the `options`; None if there is nothing to choose.
    """

    key: str
    unit_key: str
    numerator: int = 1
    denominator: int = 1
    formula: Formula | None = None
    choice: str | None = None
    options: Mapping[str, "Cost"] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, key: str, declared: Declared) -> "Cost":
        """The cost that an entry of the cost table declares."""
        if isinstance(declared, Choice):
            options = {name: cls.of(f"{key}:{name}", one) for name, one in declared.options.items()}
            unit = next(iter(options.values())).unit_key
            return cls(key, unit, choice=declared.name, options=MappingProxyType(options))
        if isinstance(declared, UnitFormula):
            return cls(key, declared.unit.key, formula=_formula(declared))
        per = declared.per if isinstance(declared, Rate) else 1
        rate = Fraction(declared.amount, per)
        return cls(key, declared.unit.key, rate.numerator, rate.denominator)

    @property
    def rate(self) -> Formula:
        """The rate as a formula; a simple one measures `quantity`. A choice has none of its own."""
        if self.formula is not None:
            return self.formula
        return Formula(terms=(RateTerm(self.numerator, self.denominator),))

    @property
    def rates(self) -> Mapping[str, Formula]:
        """The rates by their keys: one, or that of each option."""
        costs = self.options.values() if self.choice is not None else (self,)
        return {cost.key: cost.rate for cost in costs}

    def amount_for(self, quantity: int) -> int:
        """What `quantity` costs, in the unit's smallest steps, rounded up to a whole number.

        Round the total, not its parts: ten times 100 tokens at 1 credit per 1,000 are one credit
        together and ten credits one by one.

        Raises:
            InvalidAmountError: `quantity` is negative or not a whole number, or the result is
                larger than any balance can be; or a quantity does not say what it costs.
        """
        check_amount(quantity, "The quantity", minimum=0)
        return self.resolve(quantity).amount

    def resolve(self, measures: Measures, own: Mapping[str, Formula] = NO_RATES) -> ResolvedCost:
        """What was measured costs, and the rate by which it does.

        Args:
            own: the customer's own rates, by key (`Allotment.formulas`). One that no longer
                measures what the catalogue does is left aside: it was bought with a plan that
                counted otherwise.

        Raises:
            UnknownNameError: something was measured or chosen that there is not.
            InvalidAmountError: a measure is missing, negative or no whole number, nothing was
                chosen, or the result is larger than any balance can be.
        """
        if self.choice is not None:
            option, rest = self._chosen(self.choice, measures)
            return option.resolve(rest, own)
        rate = self.rate
        theirs = own.get(self.key)
        if theirs is not None and theirs.measures == rate.measures:
            rate = theirs
        try:
            amount = rate.amount_for(measures)
        except InvalidAmountError as error:
            raise InvalidAmountError(f"{self.key}: {error.detail}") from None
        if not is_simple(rate):
            return ResolvedCost(self.key, self.unit_key, amount, formula=rate)
        (term,) = rate.terms
        return ResolvedCost(self.key, self.unit_key, amount, term.numerator, term.denominator)

    def _chosen(self, choice: str, measures: Measures) -> tuple["Cost", Measures]:
        """The option that was chosen, and what was measured besides."""
        if not isinstance(measures, Mapping) or choice not in measures:
            raise InvalidAmountError(
                f"{self.key}: not said which {choice}. There are: "
                f"{', '.join(sorted(self.options))}."
            )
        name = measures[choice]
        if not isinstance(name, str) or name not in self.options:
            said = name if isinstance(name, str) else f"a {type(name).__name__}"
            raise UnknownNameError(choice, said, self.options)
        rest = {measure: value for measure, value in measures.items() if measure != choice}
        return self.options[name], rest


def is_simple(formula: Formula) -> bool:
    """Whether a formula is no more than a rate of `quantity`."""
    return not formula.base and [term.measures for term in formula.terms] == [(QUANTITY,)]


def _formula(declared: UnitFormula) -> Formula:
    """The formula, so that equal ones are stored alike: one term for the same measures, in lowest
    terms and in order."""
    rates: dict[tuple[str, ...], Fraction] = {}
    for term in declared.terms:
        measures = tuple(sorted(term.measures))
        rates[measures] = rates.get(measures, Fraction()) + Fraction(term.amount, term.per)
    return Formula(
        declared.base,
        tuple(
            RateTerm(rate.numerator, rate.denominator, measures)
            for measures, rate in sorted(rates.items())
        ),
    )
