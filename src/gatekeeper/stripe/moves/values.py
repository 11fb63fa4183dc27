"""What a bulk move is made of, and what it says of itself."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from gatekeeper.catalog import format_minor

Proration = Literal["none", "create_prorations", "always_invoice"]
"""What is billed for the rest of the running period: nothing; the difference, on the next invoice;
the difference, now (https://docs.stripe.com/billing/subscriptions/prorations)."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a recurring price bills; only between prices that bill alike is a move a change of the
    amount alone. `interval` is as people read it."""

    currency: str
    interval: str
    metered: bool


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The price that is moved to. `unit_amount_minor` is None for tiers and broken amounts."""

    price_id: str
    plan: str
    unit_amount_minor: int | None
    terms: Terms


class ItemMove(msgspec.Struct, frozen=True, kw_only=True):
    """One item that gets another price. `quantity` is None for a metered one."""

    item_id: str
    old_price_id: str
    old_amount_minor: int | None
    quantity: int | None
    period_start: datetime
    period_end: datetime
    target: Target

    @property
    def change_minor(self) -> int | None:
        """How much more each period costs, before taxes and discounts; None if it is not known."""
        old, new = self.old_amount_minor, self.target.unit_amount_minor
        if old is None or new is None or self.quantity is None:
            return None
        return (new - old) * self.quantity

    def prorated_minor(self, at: datetime) -> int | None:
        """The part of the change that falls on the rest of the running period, as Stripe would
        prorate it at an instant: to the second."""
        change, whole = self.change_minor, self.period_end - self.period_start
        if change is None or whole <= timedelta():
            return None
        left = min(max(self.period_end - at, timedelta()), whole)
        return round(change * (left / whole))


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription that is moved. `customer` is the host's id."""

    subscription_id: str
    customer: str
    is_trialing: bool
    items: tuple[ItemMove, ...]

    def line(self, at: datetime, proration: Proration) -> str:
        """What it means, for a person."""
        parts = [self._item(item, at, proration) for item in self.items]
        return f"{self.subscription_id} ({self.customer}): {'; '.join(parts)}"

    def _item(self, item: ItemMove, at: datetime, proration: Proration) -> str:
        terms, target = item.target.terms, item.target
        shown = f"{item.old_price_id} -> {target.price_id}"
        if item.change_minor is None:
            return f"{shown}, change of price not known"
        shown += f", {_signed(item.change_minor, terms.currency)} {terms.interval}"
        now = None if self.is_trialing else item.prorated_minor(at)
        if proration == "none" or not now:
            return shown
        when = "now" if proration == "always_invoice" else "on the next invoice"
        return f"{shown}, about {_signed(now, terms.currency)} {when}"


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription that has an old price and is left alone, and why."""

    subscription_id: str
    customer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subscription_id} ({self.customer}) is left alone: {self.reason}"


class MovePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a move would do; nothing has been changed.

    Attributes:
        at: when it was made.
        strangers: how many subscriptions with an old price belong to nobody whom the host knows.
    """

    at: datetime
    moves: tuple[Move, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    strangers: int = 0

    def change(self) -> Mapping[tuple[str, str], int]:
        """How much more is billed each period, by currency and interval, before taxes and
        discounts; without what is not known."""
        found: Counter[tuple[str, str]] = Counter()
        for item in (item for move in self.moves for item in move.items):
            found[item.target.terms.currency, item.target.terms.interval] += item.change_minor or 0
        return dict(found)

    def lines(self, proration: Proration) -> list[str]:
        """The plan, for a person."""
        return [
            *(move.line(self.at, proration) for move in self.moves),
            *(str(one) for one in self.skipped),
            *(
                f"in all {_signed(change, currency)} {interval}"
                for (currency, interval), change in sorted(self.change().items())
            ),
            f"{len(self.moves)} subscription(s) to move, {len(self.skipped)} left alone, "
            f"{self.strangers} nobody's.",
        ]


class MoveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a move has done.

    Attributes:
        moved: how many subscriptions this run has moved.
        earlier: how many an earlier run had moved, which was cut off and is gone on with.
        skipped: those that were left alone; some may have changed since the plan was made.
        refused: what Stripe said of those that it refused, one sentence each.
    """

    moved: int = 0
    earlier: int = 0
    skipped: tuple[Skipped, ...] = ()
    refused: tuple[str, ...] = ()


def _signed(amount_minor: int, currency: str) -> str:
    try:
        shown = format_minor(amount_minor, currency)
    except KeyError:  # a currency that the catalogue does not know
        shown = f"{amount_minor} {currency.upper()}"
    return f"+{shown}" if amount_minor > 0 else shown
