"""What the grants of one subscription item have due: from its paid lines, or from its trial."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from gatekeeper.catalog import TermGrant, Terms
from gatekeeper.entitlements.amounts import size
from gatekeeper.entitlements.coverage import Coverage
from gatekeeper.entitlements.kept import Bought, kept, kept_of
from gatekeeper.entitlements.state import PaidLine
from gatekeeper.entitlements.windows import TICK, Due, Span
from gatekeeper.periods import Window, window_at
from gatekeeper.types import Amount, Every


def grants_of(terms: Terms | None, unit: str) -> tuple[TermGrant, ...]:
    """The grants of a unit; none without terms."""
    return () if terms is None else tuple(g for g in terms.grants if g.unit == unit)


def find_grant(terms: Terms | None, unit: str, series: str) -> TermGrant | None:
    """The grant of a unit and series, if the terms have it."""
    return next((g for g in grants_of(terms, unit) if g.series == series), None)


class ItemSeries:
    """One series of recurring grants of one item, on its way through time.

    Paid windows lie on the grid of the item's anchor. Trial windows lie on one that begins with
    the item: Stripe's anchor of a trialing subscription is the trial's end, so that a trial which
    is extended would move the windows, and grant again.
    """

    def __init__(self, coverage: Coverage, unit: str, series: str, now: datetime) -> None:
        self._coverage = coverage
        self._item = coverage.item
        self._unit = unit
        self._series = series
        self._now = now
        self._every = self._paid_cadence()
        self._own = find_grant(coverage.item.terms, unit, series)

    def span_at(self, at: datetime) -> Span:
        """What is due for the window that contains `at`, which is not after now."""
        paid = self._paid_span(at)
        if paid.due is not None:
            return paid
        trial = self._trial_span(at)
        if trial.due is not None:
            return trial
        return max(paid, trial, key=lambda span: span.start)

    def _paid_cadence(self) -> Every | None:
        """How often the lines grant; None: they don't.

        Should lines disagree, the largest grant of those in force decides, so that a change of
        cadence waits for the next period like any downgrade; if no line is in force, of the last.
        """
        found = [
            (
                min(line.end, self._now),
                size(grant.amount_for(line.quantity)),
                line.start,
                line.id,
                grant.cadence,
            )
            for line in self._coverage.lines
            if line.start <= self._now
            and (grant := find_grant(line.terms, self._unit, self._series)) is not None
        ]
        cadence = max(found)[-1] if found else "once"
        return None if cadence == "once" else cadence

    # -- what was paid for ------------------------------------------------------------------------

    def _paid_span(self, at: datetime) -> Span:
        if self._every is None:
            return Span(min(self._item.started_at, at), None)
        window = window_at(self._item.anchor, self._every, at)
        for start in self._coverage.beginnings(window, at):
            best = max(
                self._offers(start, window),
                key=lambda offer: (size(offer[1]), offer[2].start, offer[2].id),
                default=None,
            )
            if best is None:
                continue
            amount = min(best[1], self._kept(start, window), key=size)
            if amount != 0:
                return Span(start, Due(window.start, start, window.end, best[0], amount))
        return Span(window.start, None)

    def _kept(self, start: datetime, window: Window) -> Amount:
        """What the lines come to whose money has not gone back."""
        covering = self._coverage.covering(start)
        raising = self._coverage.raising(start, min(window.end, self._now + TICK))
        return kept_of(
            self._bought_by(covering),
            self._bought_by(line for line in raising if line not in covering),
        )

    def _bought_by(self, lines: Iterable[PaidLine]) -> list[Bought]:
        return [
            Bought(grant.amount_for(line.quantity), line)
            for line in lines
            if (grant := find_grant(line.terms, self._unit, self._series)) is not None
            and grant.cadence == self._every
        ]

    def _offers(
        self, start: datetime, window: Window
    ) -> Iterator[tuple[TermGrant, Amount, PaidLine]]:
        """What each line says of a window that begins at `start`, which is paid for."""
        until = min(window.end, self._now + TICK)
        lines = (*self._coverage.covering(start), *self._coverage.raising(start, until))
        for line in lines:
            grant = find_grant(line.terms, self._unit, self._series)
            if grant is None or grant.cadence != self._every:
                continue
            amount = grant.amount_for(line.quantity)
            if line.start < window.start:
                amount = min(amount, self._ceiling(grant), key=size)
            yield grant, amount, line

    def _ceiling(self, grant: TermGrant) -> Amount:
        """What the item's present terms give, which bounds a window inside a longer line.

        A yearly line goes on to say what was bought on its first day. After a downgrade, Stripe
        credits the rest of the year, so its later windows follow the item down. The window in
        which a line begins is always as it was bought: a downgrade waits for the next.
        """
        if self._own is None:
            return 0
        if self._own.cadence != grant.cadence:
            return grant.amount
        return self._own.amount_for(self._item.quantity)

    # -- the trial --------------------------------------------------------------------------------

    def _trial_span(self, at: datetime) -> Span:
        item, trial_end = self._item, self._item.trial_end
        if at < item.started_at:
            return Span(at, None)
        if trial_end is None or self._own is None or self._own.cadence == "once":
            return Span(item.started_at, None)
        if at >= trial_end:
            return Span(max(trial_end, item.started_at), None)
        window = window_at(item.started_at, self._own.cadence, at)
        amount = self._own.amount_for(item.quantity, trialing=True)
        if amount == 0:
            return Span(window.start, None)
        end = min(window.end, trial_end)
        return Span(
            window.start, Due(window.start, window.start, end, self._own, amount, trial=True)
        )


def once_due(coverage: Coverage, unit: str, series: str, now: datetime) -> list[Due]:
    """What a grant that is made once comes to, as at most one window.

    It is due from the start of the first line that bought it, so that its expiry does not depend
    on when it is first looked at; the largest line decides how much it is.
    """
    item = coverage.item
    bought = [
        (grant, grant.amount_for(line.quantity), line)
        for line in coverage.lines
        if line.start <= now and (grant := find_grant(line.terms, unit, series)) is not None
    ]
    if bought:
        grant, _, _ = max(bought, key=lambda b: (size(b[1]), b[2].start, b[2].id))
        amount = max((kept(amount, line) for _, amount, line in bought), key=size)
        start = min(line.start for _, _, line in bought)
        return [Due(start, start, start, grant, amount)] if amount != 0 else []
    own, start = find_grant(item.terms, unit, series), item.started_at
    if own is None or item.trial_end is None or not start <= now < item.trial_end:
        return []
    amount = own.amount_for(item.quantity, trialing=True)
    return [Due(start, start, start, own, amount, trial=True)] if amount != 0 else []
