"""What is counted and spent: units, amounts of them, rates, and the grants that plans make.

These are plain values. Building one never raises: the catalogue checks them all and reports every
fault at once (see `validation/`), so that a mistake is named with its place.
"""

from dataclasses import dataclass
from typing import Literal

from gatekeeper.catalog.features import Meter
from gatekeeper.types import Amount, Every

Cadence = Literal["once", Every]
"""How often a grant is made: once per customer, or in every window of a recurrence."""

OnCancel = Literal["expire", "keep"]
"""What becomes of a window's unused part when its subscription ends: it expires at once, or it
lives on to the end of its window."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that is counted and spent: credits, exports, tokens.

    Every amount of a unit is a whole number of its smallest step. `scale` is how many decimal
    digits one whole unit has: with `scale=2` an amount of 150 is 1.5 units.
    """

    key: str
    scale: int = 0

    def __call__(self, amount: int) -> "UnitAmount":
        """`credits(4)`: a fixed amount of this unit."""
        return UnitAmount(self, amount)

    def per(self, quantity: int, *, amount: int = 1) -> "Rate":
        """`credits.per(1_000)`: `amount` of this unit for each `quantity` of what is measured."""
        return Rate(self, quantity, amount)

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

    def every(
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

    @property
    def name(self) -> str:
        """The grant's own key, or its unit's."""
        return self.unit.key if self.key is None else self.key
