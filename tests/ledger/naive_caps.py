"""Caps as the naive ledger has them: a list, in which every cap counts for itself.

A scope is a path: what is used in "team/ann" counts in "team/ann", in "team" and in "".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatekeeper.types import Every

LENGTHS: dict[Every, int] = {"hour": 3_600, "day": 86_400}
TURN = 25
"""The second at which a new hour and a new day begin."""


def window_of(every: Every, now: int) -> tuple[int, int]:
    """The hour or day that it is."""
    length = LENGTHS[every]
    start = (now - TURN) // length * length + TURN
    return start, start + length


@dataclass
class NaiveCap:
    """How much may be used until then; `since` is when it began to count."""

    every: Every
    limit: int | None
    scope: str
    is_plan: bool
    since: int
    until: int
    used: int = 0
    told: bool = False

    def turn(self, now: int) -> None:
        """Begin anew if its window is over."""
        if self.until <= now:
            self.since, self.until = window_of(self.every, now)
            self.used, self.told = 0, False


@dataclass
class NaiveCaps:
    """All caps of an account and its parts."""

    caps: list[NaiveCap] = field(default_factory=list)
    told: int = 0

    def room(self, scope: str, wanted: int, now: int) -> int:
        """How much of `wanted` every cap above the scope has room for."""
        for cap in self._above(scope):
            used = 0 if cap.until <= now else cap.used
            if cap.limit is not None:
                wanted = max(0, min(wanted, cap.limit - used))
        return wanted

    def count(self, amount: int, scope: str, now: int) -> None:
        """Count use."""
        for cap in self._above(scope):
            cap.turn(now)
            cap.used += amount
            self._look(cap)

    def give_back(self, amount: int, scope: str, made: int, now: int) -> None:
        """Take off what was not used of a hold, where the hold was counted."""
        for cap in self._above(scope):
            if cap.since <= made and now < cap.until:
                cap.used = max(0, cap.used - amount)

    def set_host(self, every: Every, limit: int | None, scope: str, used: int, now: int) -> None:
        """Set the host's cap of a scope."""
        for cap in self.caps:
            if (cap.scope, cap.every, cap.is_plan) == (scope, every, False):
                if limit is None and scope == "":
                    self.caps.remove(cap)
                else:
                    self._limit(cap, limit, now)
                return
        if limit is None and scope == "":
            return
        start, end = window_of(every, now)
        self.caps.append(NaiveCap(every, limit, scope, False, start, end, used))
        self._look(self.caps[-1])

    def set_plan(self, limits: Mapping[Every, int], now: int) -> None:
        """Set the plan's caps."""
        for cap in tuple(self.caps):
            if cap.is_plan and cap.every not in limits and cap.until <= now:
                self.caps.remove(cap)
            elif cap.is_plan:
                self._limit(cap, limits.get(cap.every), now)
        known = {cap.every for cap in self.caps if cap.is_plan}
        for every in limits.keys() - known:
            self.caps.append(
                NaiveCap(every, limits[every], "", True, now, window_of(every, now)[1])
            )

    def as_they_stand(self, now: int) -> dict[tuple[str, Every, bool], tuple[int | None, int]]:
        """The limit of each cap, and what is used of it in the running window."""
        return {
            (cap.scope, cap.every, cap.is_plan): (cap.limit, 0 if cap.until <= now else cap.used)
            for cap in self.caps
        }

    def _limit(self, cap: NaiveCap, limit: int | None, now: int) -> None:
        if cap.limit != limit:
            cap.turn(now)
            cap.limit, cap.told = limit, False
            self._look(cap)

    def _look(self, cap: NaiveCap) -> None:
        if cap.limit is not None and not cap.told and cap.used and cap.used >= cap.limit:
            cap.told = True
            self.told += 1

    def _above(self, scope: str) -> list[NaiveCap]:
        names = scope.split("/") if scope else []
        paths = {"/".join(names[:depth]) for depth in range(len(names) + 1)}
        return [cap for cap in self.caps if cap.scope in paths]
