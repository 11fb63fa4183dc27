"""A naive ledger, to compare the engine with: every credit is an object in a list.

Written from DESIGN sections 4 and 5 and sharing no code with the engine: it knows no sums, no
entries and no allocations. Time is a whole number of seconds.
"""

from collections import Counter
from dataclasses import dataclass, field


class Refused(Exception):
    """The command is refused, for the reason of this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Due:
    """What one window of a series should have been given by now."""

    series: str
    key: str
    amount: int | None
    start: int | None = None
    end: int | None = None
    expires: int | None = None
    priority: int = 0
    rollover: int | None = 0
    keep: bool = False
    mints: bool = False
    meter: str | None = None


@dataclass(eq=False)
class Shelf:
    """Where the credits of one grant lie."""

    name: str
    created: int
    priority: int = 0
    expires: int | None = None
    series: str | None = None
    end: int | None = None
    keep: bool = False
    mints: bool = False
    left: int | None = None
    meter: str | None = None
    paused: bool = False
    closed: bool = False

    def is_over(self, now: int) -> bool:
        """Whether nothing can be taken from it any more."""
        return self.closed or (self.expires is not None and self.expires <= now)


@dataclass(eq=False)
class Credit:
    """One credit: free, or claimed by a hold."""

    shelf: Shelf
    hold: str | None = None


@dataclass(eq=False)
class NaiveHold:
    """A claim on credits, in the order in which they were claimed."""

    name: str
    credits: list[Credit]
    expires: int
    status: str = "open"
    captured: int = 0
    overrun: int = 0


@dataclass
class NaiveLedger:
    """One account."""

    credits: list[Credit] = field(default_factory=list)
    shelves: list[Shelf] = field(default_factory=list)
    holds: dict[str, NaiveHold] = field(default_factory=dict)
    given: dict[str, tuple[Due, int | None]] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    billed: Counter[str] = field(default_factory=Counter)
    debt: int = 0
    lapsed: list[tuple[str, int | None, int]] = field(default_factory=list)

    # -- what can be asked ------------------------------------------------------------------------

    def refresh(self, due: list[Due], ended: set[str], suspended: set[str], now: int) -> None:
        """Give what is due and take away what is over."""
        for one in due:
            self._give_due(one, now)
        for shelf in self.shelves:
            renewed_no_more = shelf.series in ended and (
                not shelf.keep or (shelf.end is not None and shelf.end <= now)
            )
            if shelf.is_over(now) or renewed_no_more:
                if shelf.series is not None and shelf.series not in ended and not shelf.closed:
                    self.lapsed.append((shelf.series, shelf.end, len(self._free(shelf))))
                self._close(shelf, now)
            shelf.paused = shelf.series in suspended

    def grant(
        self, name: str, amount: int, now: int, *, priority: int, expires: int | None, source: str
    ) -> None:
        """Add credits, once for each source."""
        if source in self.sources:
            return
        if amount < 1:
            raise Refused("invalid_amount")
        self.sources.add(source)
        self._put(Shelf(name, now, priority, expires), amount)

    def reserve(self, name: str, amount: int, now: int, *, expires: int, partial: bool) -> None:
        """Claim credits for a hold."""
        if amount < 1 or expires <= now:
            raise Refused("invalid_amount")
        claimed = self._claim(name, amount, now, partial=partial)
        self.holds[name] = NaiveHold(name, claimed, expires)

    def capture(self, name: str, amount: int | None, now: int, *, cap: bool) -> None:
        """Spend the first credits of a hold and give the rest back."""
        hold = self._open(name, now)
        wanted = len(hold.credits) if amount is None else amount
        if wanted < 0:
            raise Refused("invalid_amount")
        if wanted > len(hold.credits) and not cap:
            raise Refused("hold_overrun")
        spent = hold.credits[:wanted]
        for credit in spent:
            self.credits.remove(credit)
            if credit.shelf.meter is not None:
                self.billed[credit.shelf.meter] += 1
        for credit in hold.credits[wanted:]:
            self._give_back(credit, now)
        hold.status, hold.captured, hold.overrun = "captured", len(spent), wanted - len(spent)

    def release(self, name: str, now: int) -> None:
        """Give all of a hold back."""
        hold = self._open(name, now)
        for credit in hold.credits:
            self._give_back(credit, now)
        hold.status = "released"

    def expire(self, name: str, now: int) -> None:
        """Give all of a hold back if its time is over."""
        hold = self._unended(name)
        if hold.expires <= now:
            for credit in hold.credits:
                self._give_back(credit, now)
            hold.status = "expired"

    def extend(self, name: str, now: int, *, expires: int, more: int) -> None:
        """Keep a hold longer, and claim more for it."""
        hold = self._open(name, now)
        if more < 0:
            raise Refused("invalid_amount")
        if more:
            hold.credits.extend(self._claim(name, more, now, partial=False))
            order = self._in_burn_order()
            hold.credits.sort(key=lambda credit: order.index(credit.shelf))
        hold.expires = max(hold.expires, expires)

    def claw_back(self, amount: int, grant: str | None, now: int) -> None:
        """Take credits back; the missing ones are owed."""
        if amount < 1:
            raise Refused("invalid_amount")
        own = [shelf for shelf in self._in_burn_order() if shelf.name == grant]
        others = [shelf for shelf in self._in_burn_order() if shelf.name != grant]
        for shelf in own + others:
            if shelf.mints or shelf.is_over(now):
                continue
            for credit in self._free(shelf)[:amount]:
                self.credits.remove(credit)
                amount -= 1
        self.debt += amount

    # -- how it is done ---------------------------------------------------------------------------

    def _give_due(self, due: Due, now: int) -> None:
        known = self.given.get(due.key)
        before = 0
        if known is not None:
            if known[1] is None or (due.amount is not None and due.amount <= known[1]):
                return
            before = known[1]
        else:
            if self._is_late(due):
                return
            carried = self._end_series(due, now)
            self._put(self._shelf(due, f"{due.key}/rollover", now), carried)
        self.given[due.key] = (due, due.amount)
        shelf = self._shelf(due, f"{due.key}/{before}", now)
        if due.mints:
            shelf.mints, shelf.meter = True, due.meter
            shelf.left = None if due.amount is None else due.amount - before
            self.shelves.append(shelf)
        else:
            assert due.amount is not None
            self._put(shelf, due.amount - before)

    def _is_late(self, due: Due) -> bool:
        """Whether a window of the series has been given that takes the place of this one."""
        return any(
            known.series == due.series
            and known.start is not None
            and due.start is not None
            and known.start >= due.start
            for known, _ in self.given.values()
        )

    def _end_series(self, due: Due, now: int) -> int:
        """Close the shelves of earlier windows; returns how much is carried over."""
        left = 0
        for series, end, count in tuple(self.lapsed):
            if series == due.series:
                left += count if end is None or due.start is None or end >= due.start else 0
                self.lapsed.remove((series, end, count))
        for shelf in self.shelves:
            if shelf.series == due.series and not shelf.closed:
                adjoins = shelf.end is None or due.start is None or shelf.end >= due.start
                left += len(self._free(shelf)) if adjoins else 0
                self._close(shelf, now)
        return left if due.rollover is None else min(left, due.rollover)

    def _shelf(self, due: Due, name: str, now: int) -> Shelf:
        return Shelf(name, now, due.priority, due.expires, due.series, due.end, due.keep)

    def _put(self, shelf: Shelf, amount: int) -> None:
        repaid = min(self.debt, amount)
        self.debt -= repaid
        self.shelves.append(shelf)
        self.credits += [Credit(shelf) for _ in range(amount - repaid)]

    def _close(self, shelf: Shelf, now: int) -> None:
        shelf.closed = True
        shelf.expires = now if shelf.expires is None else min(shelf.expires, now)
        for credit in self._free(shelf):
            self.credits.remove(credit)

    def _claim(self, name: str, amount: int, now: int, *, partial: bool) -> list[Credit]:
        if self.debt:
            raise Refused("debt_outstanding")
        found: list[Credit] = []
        for shelf in self._in_burn_order():
            if shelf.is_over(now):
                continue
            if shelf.mints:
                wanted = 0 if shelf.paused else amount - len(found)
                count = wanted if shelf.left is None else min(wanted, shelf.left)
                found += [Credit(shelf) for _ in range(count)]
            else:
                found += self._free(shelf)[: amount - len(found)]
        if len(found) < amount and not (partial and found):
            raise Refused("credits_required")
        for credit in found:
            credit.hold = name
            if credit.shelf.mints:
                self.credits.append(credit)
                if credit.shelf.left is not None:
                    credit.shelf.left -= 1
        return found

    def _give_back(self, credit: Credit, now: int) -> None:
        shelf = credit.shelf
        if shelf.mints:
            self.credits.remove(credit)
            if shelf.left is not None:
                shelf.left += 1
        elif self.debt:
            self.credits.remove(credit)
            self.debt -= 1
        elif shelf.is_over(now):
            self.credits.remove(credit)
        else:
            credit.hold = None

    def _open(self, name: str, now: int) -> NaiveHold:
        hold = self._unended(name)
        if hold.expires <= now:
            raise Refused("hold_ended")
        return hold

    def _unended(self, name: str) -> NaiveHold:
        hold = self.holds[name]
        if hold.status != "open":
            raise Refused("hold_ended")
        return hold

    def _free(self, shelf: Shelf) -> list[Credit]:
        return [one for one in self.credits if one.shelf is shelf and one.hold is None]

    def _in_burn_order(self) -> list[Shelf]:
        forever = 10**9
        return sorted(
            self.shelves,
            key=lambda shelf: (
                1 if shelf.meter else 0,
                shelf.priority,
                forever if shelf.expires is None else shelf.expires,
                shelf.created,
                shelf.name,
            ),
        )

    # -- what it comes to -------------------------------------------------------------------------

    def left(self) -> dict[str, tuple[int, int]]:
        """How many credits of each grant are free and held."""
        free = Counter(credit.shelf.name for credit in self.credits if credit.hold is None)
        held = Counter(credit.shelf.name for credit in self.credits if credit.hold is not None)
        return {name: (free[name], held[name]) for name in free.keys() | held.keys()}

    def claims(self, name: str) -> list[str]:
        """The grant of each credit that a hold has claimed, in order."""
        return [credit.shelf.name for credit in self.holds[name].credits]
