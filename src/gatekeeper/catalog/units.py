"""What is counted and spent: units, amounts of them, rates, caps, and the grants that plans make.

These are plain values. Building one never raises: the catalogue checks them all and reports every
fault at once (see `validation/`), so that a mistake is named with its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gatekeeper.catalog.features import Meter
from gatekeeper.types import Amount, Every

Cadence = Literal["once", Every]
"""How often a grant is made: once per customer, or in every window of a recurrence."""

OnCancel = Literal["expire", "keep"]
"""What becomes of a window's unused part when its subscription ends: it expires at once, or it
lives on to the end of its window."""

OnUpgrade = Literal["expire", "keep"]
"""What becomes of the default plan's running window when a paid plan takes its place: its unused
part expires at once, or it lives on to the end of its window."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that is counted and spent: credits, exports, tokens.

    Every amount of a unit is a whole number of its smallest step. `scale` is how many decimal
    digits one whole unit has: with `scale=2` an amount of 150 is 1.5 units.

    Attributes:
        low: tell when no more than this is left; None is never.
        expiry_notice_hours: how long before its expiry a grant that is not used up is told of;
            None is not at all.
        late_return_hours: what a hold gives back to a grant that has expired meanwhile can be
            spent for so long; 0 is not at all.
    """

    key: str
    scale: int = 0
    low: int | None = None
    expiry_notice_hours: int | None = None
    late_return_hours: int = 0

    def __call__(self, amount: int) -> "UnitAmount":
        """`credits(4)`: a fixed amount of this unit."""
        return UnitAmount(self, amount)

    def per(self, quantity: int, *, amount: int = 1) -> "Rate":
        """`credits.per(1_000)`: `amount` of this unit for each `quantity` of what is measured."""
        return Rate(self, quantity, amount)

    def formula(
        self, *, base: int = 0, terms: Sequence["Term"] = (), **measures: int | tuple[int, int]
    ) -> "UnitFormula":
        """`credits.formula(base=1, input=(3, 1_000), output=(15, 1_000))`: so much at any rate, 3
        for each 1,000 of `input`, and 15 for each 1,000 of `output`; one number is for each one.

        Args:
            terms: more of them: `Term(1, 1_000_000, ("width", "height"))` is for a product.
        """
        named = (_term(name, value) for name, value in measures.items())
        others = terms if isinstance(terms, tuple | list) else (terms,)
        return UnitFormula(self, base, (*named, *others))

    def cap(self, every: Every, limit: int) -> "CapSpec":
        """`credits.cap("day", 500)`: no more than this is used in each window of the calendar."""
        return CapSpec(self, every, limit)

    def once(
        self,
        amount: Amount,
        *,
        key: str | None = None,
        priority: int = 0,
        per_quantity: bool = False,
        trial: Amount | None = None,
        on_cancel: OnCancel = "expire",
        expires_after_days: int | None = None,
    ) -> "GrantSpec":
        """A grant that a customer gets once, however often the plan is left and taken again."""
        return GrantSpec(
            self,
            amount,
            "once",
            key=key,
            priority=priority,
            per_quantity=per_quantity,
            trial=trial,
            on_cancel=on_cancel,
            expires_after_days=expires_after_days,
        )

    def every(  # noqa: PLR0913  # each is one thing that can be said of a grant
        self,
        every: Every,
        amount: Amount,
        *,
        key: str | None = None,
        rollover: Amount = 0,
        overage: Meter | None = None,
        overage_limit: int | None = None,
        priority: int = 0,
        per_quantity: bool = False,
        trial: Amount | None = None,
        on_cancel: OnCancel = "expire",
        on_upgrade: OnUpgrade = "keep",
    ) -> "GrantSpec":
        """A grant that is made anew in every window of the recurrence."""
        return GrantSpec(
            self,
            amount,
            every,
            key=key,
            rollover=rollover,
            overage=overage,
            overage_limit=overage_limit,
            priority=priority,
            per_quantity=per_quantity,
            trial=trial,
            on_cancel=on_cancel,
            on_upgrade=on_upgrade,
        )

    def format(self, amount: int) -> str:
        """`amount`, a whole number of smallest steps, as people write it: 150 at scale 2 is 1.50.

        Pure integer arithmetic, so that no amount is ever shown rounded.
        """
        if not self.scale:
            return str(amount)
        whole, rest = divmod(abs(amount), 10**self.scale)
        return f"{'-' if amount < 0 else ''}{whole}.{rest:0{self.scale}d}"


@dataclass(frozen=True, slots=True)
class UnitAmount:
    """A fixed amount of a unit: what one action costs, or what a pack holds."""

    unit: Unit
    amount: int


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` of a unit for each `per` of what is measured (tokens, seconds, pixels)."""

    unit: Unit
    per: int
    amount: int = 1


@dataclass(frozen=True, slots=True)
class Term:
    """`amount` of a unit for each `per` of the product of the measures: of one, or of several."""

    amount: int
    per: int
    measures: str | Sequence[str]

    def __post_init__(self) -> None:
        if isinstance(self.measures, str):
            object.__setattr__(self, "measures", (self.measures,))
        elif isinstance(self.measures, list):
            object.__setattr__(self, "measures", tuple(self.measures))


def _term(measure: str, value: int | tuple[int, int]) -> Term:
    match value:
        case (amount, per):
            return Term(amount, per, (measure,))
        case _:
            return Term(value, 1, (measure,))


@dataclass(frozen=True, slots=True)
class UnitFormula:
    """A cost of several measures. Made by `Unit.formula`."""

    unit: Unit
    base: int
    terms: Sequence[Term]


@dataclass(frozen=True, slots=True)
class CapSpec:
    """At most `limit` of a unit is used, held or spent, in each window of the calendar (UTC). Made
    by `Unit.cap`."""

    unit: Unit
    every: Every
    limit: int


@dataclass(frozen=True, slots=True)
class GrantSpec:
    """What a plan grants of one unit. Made by `Unit.once` and `Unit.every`.

    Attributes:
        unit: what is granted.
        amount: how much, in the unit's smallest steps; or UNLIMITED.
        cadence: "once" per customer, or the recurrence in whose every window it is granted.
        key: tells two grants of one unit in one plan apart; the unit's key if None.
        rollover: how much of a window's unused part is carried into the next; 0 is nothing.
        overage: if given, use beyond the grants is allowed and billed later through this meter.
        overage_limit: how much of such use one window allows; None is as much as is used.
        priority: which grants burn first: the lower, the earlier.
        per_quantity: `amount` and `trial` count for each of the subscription item's quantity.
        trial: what a trialing window grants instead; None is nothing.
        on_cancel: what becomes of the unused part when the subscription ends.
        on_upgrade: for what the default plan grants in windows: what becomes of the unused part
            when a paid plan takes its place.
        expires_after_days: for "once": how long the grant lives; None is for ever.
    """

    unit: Unit
    amount: Amount
    cadence: Cadence
    key: str | None = None
    rollover: Amount = 0
    overage: Meter | None = None
    overage_limit: int | None = None
    priority: int = 0
    per_quantity: bool = False
    trial: Amount | None = None
    on_cancel: OnCancel = "expire"
    expires_after_days: int | None = None
    on_upgrade: OnUpgrade = "keep"

    @property
    def name(self) -> str:
        """The grant's own key, or its unit's."""
        return self.unit.key if self.key is None else self.key
