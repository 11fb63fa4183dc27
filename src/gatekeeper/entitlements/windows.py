"""Which windows of a recurring grant are due, whatever pays for them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gatekeeper.catalog import TermGrant
from gatekeeper.types import Amount

MAX_WINDOWS: Final = 400
"""How many windows that went by are caught up with, at most: a bound on the work of one command."""

TICK: Final = timedelta(microseconds=1)
"""The smallest step of a datetime."""


@dataclass(frozen=True, slots=True)
class Due:
    """A window, and what it should have received by now.

    Attributes:
        grid_start: where the window begins on its grid: what names it for ever.
        start: where it begins in fact: later than `grid_start` if the item opens in mid-window.
    """

    grid_start: datetime
    start: datetime
    end: datetime
    grant: TermGrant
    amount: Amount
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of time around an instant that has one answer; `due` None: nothing is due."""

    start: datetime
    due: Due | None


def due_windows(
    span_at: Callable[[datetime], Span],
    *,
    since: datetime | None,
    now: datetime,
    grace: timedelta,
    begins: datetime,
) -> list[Due]:
    """The windows that are due at `now`, in order.

    That is the running window. If nothing is due for it, it is the one before, for as long as its
    grace lasts (but not if the account has been brought up to date in the running window: then
    that has been settled). Where the unused part rolls over, the windows before it come too, from
    the one in which the account was last changed (`since`) on: the ledger carries from each to the
    next, as it would have if every day had seen a command.
    """
    span = span_at(now)
    if span.due is None:
        running = span.start
        if since is not None and since >= running:
            return []
        span = span_at(running - TICK)
        if span.due is None or span.due.end + grace <= now:
            return []
    found = [span.due]
    if span.due.grant.rollover == 0:
        return found
    stop = begins if since is None else max(since, begins)
    for _ in range(MAX_WINDOWS - 1):
        if span.start <= stop:
            break
        span = span_at(span.start - TICK)
        if span.due is not None:
            found.append(span.due)
    return found[::-1]
