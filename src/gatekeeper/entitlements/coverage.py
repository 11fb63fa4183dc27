"""Coverage: what the paid invoice lines of an item have bought, and for when.

Nothing here looks at a status. A line counts by what it is:

- A line for a period covers that period. A line of $0, or one that was paid out of band, is paid.
- The trial's own invoice is no purchase: a line without an amount that begins before the trial
  ends.
- A positive proration raises what is covered and covers nothing by itself. Only where an item
  begins with one (it was added, or swapped in, in the middle of a period) is there no other line
  for its first part: then it covers it.
- A line whose money has gone back covers nothing any more; one of whose money a part has gone back
  covers as before, and grants less (`returns.py`).
- A line and a window belong together only if they lie on the same side of the item's anchor. When
  Stripe moves the anchor into a period that was paid for, it credits the rest of that period and
  bills a new one (https://docs.stripe.com/billing/subscriptions/billing-cycle#prorations). Without
  this rule the old line would pay for the first window of the new series before the new period is
  paid.
"""

from collections.abc import Sequence
from datetime import datetime

from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.periods import Window


class Coverage:
    """The lines of one item that count, `lines`, in an order that does not depend on the store."""

    __slots__ = ("_base", "item", "lines")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.lines = sorted(
            (line for line in item.paid_lines if _counts(item, line)),
            key=lambda line: (line.start, line.end, line.id),
        )
        first = min((line.start for line in self.lines if not line.proration), default=None)
        self._base = [
            line for line in self.lines if not line.proration or first is None or line.start < first
        ]

    @property
    def base(self) -> Sequence[PaidLine]:
        """The lines that cover, and do not just raise what others cover."""
        return self._base

    def paid_until(self, now: datetime) -> datetime | None:
        """Up to when the item is paid for without a gap from `now` on; None: not even now."""
        end = None
        for line in self._base:
            if line.start <= (end or now) < line.end and not line.is_returned:
                end = line.end
        return end

    def beginnings(self, window: Window, at: datetime) -> list[datetime]:
        """The instants of a window, up to `at`, at which its coverage may begin: its start if that
        is covered, and the start of every line that begins inside it."""
        opened = max(window.start, self.item.started_at)
        found = {max(opened, line.start) for line in self._base}
        return sorted(b for b in found if b <= at and b in window and self.covering(b))

    def covering(self, at: datetime) -> list[PaidLine]:
        """The lines that pay for a window that begins at `at`."""
        return [line for line in self._base if self._pays(line, at)]

    def raising(self, start: datetime, end: datetime) -> list[PaidLine]:
        """The prorations that touch the part from `start` to before `end` of a window."""
        after = start >= self.item.anchor
        return [
            line
            for line in self.lines
            if line.proration
            and line.start < end
            and line.end > start
            and (line.start >= self.item.anchor) is after
        ]

    def _pays(self, line: PaidLine, at: datetime) -> bool:
        if not line.start <= at < line.end:
            return False
        if at >= self.item.anchor:
            return line.start >= self.item.anchor
        return line.end == self.item.anchor  # the first part of a period, up to the anchor


def _counts(item: Item, line: PaidLine) -> bool:
    if line.end <= line.start:
        return False
    if line.amount_minor > 0:
        return True
    trial = item.trial_end is not None and line.start < item.trial_end
    return not trial and not line.proration
