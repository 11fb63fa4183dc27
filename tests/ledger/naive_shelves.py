"""The naive ledger's shelves: how credits are found, taken, given back and given away."""

from collections import Counter
from dataclasses import dataclass, field

from tests.ledger.naive_caps import NaiveCaps
from tests.ledger.naive_things import Credit, Due, NaiveHold, Refused, Shelf

LATE_STEPS = 4
SECOND_OF_START = 35
"""What the clock shows at second 0; a late return expires with a whole step of the clock."""


@dataclass
class NaiveShelves:
    """What lies where, and how it gets there.

    `low` is the threshold that is told of, `notice` how long before its expiry a grant is, and
    `late` how long what comes back to an expired one can be spent.
    """

    low: int | None = None
    notice: int | None = None
    late: int = 0
    caps: NaiveCaps = field(default_factory=NaiveCaps)
    rooms: dict[str, int | None] = field(default_factory=dict)
    latched: set[str] = field(default_factory=set)
    told: Counter[str] = field(default_factory=Counter)
    credits: list[Credit] = field(default_factory=list)
    shelves: list[Shelf] = field(default_factory=list)
    holds: dict[str, NaiveHold] = field(default_factory=dict)
    given: dict[str, tuple[Due, int | None]] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    billed: Counter[str] = field(default_factory=Counter)
    debt: int = 0
    lapsed: list[tuple[str, int | None, int]] = field(default_factory=list)

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
            self.rooms[due.key] = None if due.rollover is None else due.rollover - carried
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
        return Shelf(
            name, now, due.priority, due.expires, due.series, due.end, due.keep, key=due.key
        )

    def _begin(self, shelf: Shelf, now: int) -> None:
        if shelf.begins is None or shelf.begins > now:
            return
        repaid = min(self.debt, shelf.pending)
        self.debt -= repaid
        self.credits += [Credit(shelf) for _ in range(shelf.pending - repaid)]
        shelf.pending, shelf.begins = 0, None

    def _forgive(self, now: int) -> None:
        """Whoever can have as much as they like owes nothing."""
        if any(shelf.is_endless(now) for shelf in self.shelves):
            self.debt = 0

    def _put(self, shelf: Shelf, amount: int) -> None:
        repaid = min(self.debt, amount)
        self.debt -= repaid
        self.shelves.append(shelf)
        self.credits += [Credit(shelf) for _ in range(amount - repaid)]

    def _close(self, shelf: Shelf, now: int) -> None:
        shelf.closed, shelf.pending, shelf.begins = True, 0, None
        shelf.expires = now if shelf.expires is None else min(shelf.expires, now)
        for credit in self._free(shelf):
            self.credits.remove(credit)

    def _claim(
        self, name: str, amount: int, now: int, *, partial: bool, scope: str
    ) -> list[Credit]:
        if self.debt:
            raise Refused("debt_outstanding")
        found = self._find(min(amount, self.caps.room(scope, amount, now)), now)
        if len(found) < amount and not (partial and found):
            raise Refused("credits_required")
        self._take(found, name)
        self.caps.count(len(found), scope, now)
        return found

    def _find(self, amount: int, now: int) -> list[Credit]:
        """The first credits that can be spent, as many as there are."""
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
        return found

    def _take(self, found: list[Credit], name: str) -> None:
        for credit in found:
            credit.hold = name
            if credit.shelf.mints:
                self.credits.append(credit)
                if credit.shelf.left is not None:
                    credit.shelf.left -= 1

    def _use_beyond(self, name: str, excess: int, now: int, scope: str) -> list[Credit]:
        found = self._find(excess, now)
        self._take(found, name)
        for credit in found:
            self._spend(credit)
        self.debt += excess - len(found)
        self.caps.count(excess, scope, now)
        return found

    def _spend(self, credit: Credit) -> None:
        self.credits.remove(credit)
        if credit.shelf.meter is not None:
            self.billed[credit.shelf.meter] += 1

    def _end(self, hold: NaiveHold, status: str, now: int) -> None:
        for credit in hold.credits:
            self._give_back(credit, now)
        self.caps.give_back(len(hold.credits), hold.scope, hold.made, now)
        hold.status = status

    def _give_back(self, credit: Credit, now: int) -> None:
        shelf = credit.shelf
        if shelf.mints:
            self.credits.remove(credit)
            if shelf.left is not None:
                shelf.left += 1
        elif self.debt:
            self.credits.remove(credit)
            self.debt -= 1
        elif not shelf.is_over(now):
            credit.hold = None
        else:
            self.credits.remove(credit)
            place = self._place(shelf, now)
            if place is not None:
                self.credits.append(Credit(place))

    def _place(self, shelf: Shelf, now: int) -> Shelf | None:
        """Where a credit goes that came back to a shelf that is over; None if it is lost."""
        if shelf.lapses:
            return None
        latest = self._latest(shelf.series)
        if latest is not None and self._hands_over(shelf, latest, now):
            room = self.rooms[latest.key]
            self.rooms[latest.key] = None if room is None else room - 1
            return self._returned(
                Shelf(
                    f"{latest.key}/rollover/*",
                    now,
                    shelf.priority,
                    latest.expires,
                    shelf.series,
                    latest.end,
                    shelf.keep,
                    key=latest.key,
                )
            )
        if self.late and not (shelf.returned and shelf.series is None):
            step = self.late // LATE_STEPS
            clock = now + self.late + SECOND_OF_START
            expires = -(-clock // step) * step - SECOND_OF_START
            return self._returned(Shelf("late/*", now, shelf.priority, expires))
        if latest is not None and latest.key == shelf.key:
            self.lapsed.append((latest.series, shelf.end, 1))
        return None

    def _latest(self, series: str | None) -> Due | None:
        windows = [one for one, _ in self.given.values() if one.series == series and one.end]
        return max(windows, key=lambda one: one.start or 0, default=None)

    def _hands_over(self, shelf: Shelf, latest: Due, now: int) -> bool:
        """Whether the latest window takes over what comes back to an earlier one."""
        follows = shelf.end is None or latest.start is None or shelf.end >= latest.start
        alive = latest.expires is None or latest.expires > now
        return latest.key != shelf.key and follows and alive and self.rooms[latest.key] != 0

    def _returned(self, wanted: Shelf) -> Shelf:
        """The shelf for what came back until then, if something lies on one, or a new one."""
        for shelf in self.shelves:
            same = (shelf.key, shelf.priority, shelf.expires) == (
                wanted.key,
                wanted.priority,
                wanted.expires,
            )
            if shelf.returned and same and any(one.shelf is shelf for one in self.credits):
                return shelf
        wanted.returned = True
        self.shelves.append(wanted)
        return wanted

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

    def unspent(self) -> int:
        """How many credits there are that were given, held or not."""
        return sum(not credit.shelf.mints for credit in self.credits)

    def untold(self, now: int) -> list[Shelf]:
        """The shelves with something on them whose expiry is still to be told of."""
        full = {id(credit.shelf) for credit in self.credits if not credit.shelf.mints}
        return [
            shelf
            for shelf in self.shelves
            if id(shelf) in full
            and shelf.expires is not None
            and shelf.expires > now
            and not shelf.told
        ]

    def left(self) -> dict[str, tuple[int, int]]:
        """How many credits of each grant are free and held."""
        free = Counter(credit.shelf.name for credit in self.credits if credit.hold is None)
        held = Counter(credit.shelf.name for credit in self.credits if credit.hold is not None)
        return {name: (free[name], held[name]) for name in free.keys() | held.keys()}

    def pending(self) -> dict[str, int]:
        """How many credits of each grant are still to come."""
        return {shelf.name: shelf.pending for shelf in self.shelves if shelf.pending}

    def claims(self, name: str) -> list[str]:
        """The grant of each credit that a hold has claimed, in order."""
        return [credit.shelf.name for credit in self.holds[name].credits]
