"""What of the grants of paid windows is to be taken back because their money has gone back.

An absolute target for each window, from what Stripe says of its invoices now: whichever event led
to the look, and however often, it is the same (DESIGN invariant 11).
"""

from collections.abc import Iterable
from datetime import datetime

from gatekeeper.entitlements.coverage import Coverage
from gatekeeper.entitlements.item_grants import find_grant
from gatekeeper.entitlements.kept import Bought, kept_of, largest
from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.periods import Window, window_at
from gatekeeper.types import Every, Unlimited


def window_return(item: Item, unit: str, series: str, start: datetime, given: int) -> int:
    """How much of `given` is to be taken back: what the window that begins at `start`, on the grid
    of its item's anchor, has received of a unit."""
    coverage = Coverage(item)
    lines = [
        line
        for line in coverage.lines
        if (line.start >= item.anchor) is (start >= item.anchor)
        and find_grant(line.terms, unit, series) is not None
    ]
    covering = [line for line in lines if line in coverage.base]
    window = _window(item, lines, unit, series, start)
    if window is None:
        return 0
    first = [line for line in covering if line.start <= start < line.end]
    if not first:  # the item began in the middle of a window
        inside = [line for line in covering if line.start in window]
        begins = min((line.start for line in inside), default=None)
        first = [line for line in inside if line.start == begins]
    raising = [
        line
        for line in lines
        if line.proration
        and line not in first
        and line.start < window.end
        and line.end > window.start
    ]
    return _beyond(given, _bought(first, unit, series), _bought(raising, unit, series), 0)


def once_return(items: Iterable[Item], unit: str, series: str, given: int, of_others: int) -> int:
    """The same of what is granted once, by whichever item: a customer has it once, however many of
    them bought it. `of_others` is what they would have of it without any purchase."""
    lines = [line for item in items for line in Coverage(item).lines]
    return _beyond(given, _bought(lines, unit, series), [], of_others)


def _beyond(given: int, covering: list[Bought], raising: list[Bought], of_others: int) -> int:
    rest = kept_of(covering, raising)
    bought = largest([*covering, *raising])
    if isinstance(bought, Unlimited) or isinstance(rest, Unlimited):
        return 0
    return max(0, min(given, bought) - max(rest, of_others))


def _window(
    item: Item, lines: list[PaidLine], unit: str, series: str, start: datetime
) -> Window | None:
    cadences = [
        grant.cadence
        for line in lines
        if line.start <= start < line.end or line.start >= start
        if (grant := find_grant(line.terms, unit, series)) is not None and grant.cadence != "once"
    ]
    if not cadences:
        return None
    every: Every = cadences[0]
    window = window_at(item.anchor, every, start)
    return window if window.start == start else window_at(start, every, start)


def _bought(lines: Iterable[PaidLine], unit: str, series: str) -> list[Bought]:
    return [
        Bought(grant.amount_for(line.quantity), line)
        for line in lines
        if (grant := find_grant(line.terms, unit, series)) is not None
    ]
