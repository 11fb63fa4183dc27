"""Caps: how much may be used in each window of time, beside the balance.

A cap counts what holds claim from the moment they are made, so that work which is still running
has its place in it. A hold belongs to the window in which it was made, and what an extension adds
to it counts where it was added: what comes back is taken off only in the hold's own window, so
that no later window is made larger by it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from gatekeeper.errors import UnknownNameError
from gatekeeper.ledger.values import Cap
from gatekeeper.periods import CALENDAR, EVERY_ORDER, window_at
from gatekeeper.types import Every, check_amount, check_id

_Key = tuple[str, Every, str]


class Headroom(NamedTuple):
    """How much a cap still lets through; less than nothing where overage went beyond it."""

    room: int
    cap: Cap


def check_scope(scope: str) -> str:
    """Return `scope` if it is a path of names, such as "design/ann"; "" is the whole account.

    Raises:
        InvalidIdError: a name in it is empty, or can't be an id.
    """
    if scope:
        check_id(scope, "scope")
        for name in scope.split("/"):
            check_id(name, "scope")
    return scope


def paths_of(scope: str) -> tuple[str, ...]:
    """The scopes whose caps count what is used in `scope`, the outermost first; not the account's
    own, which are inside it."""
    names = scope.split("/") if scope else []
    return tuple("/".join(names[: depth + 1]) for depth in range(len(names)))


def governs(cap: Cap, scope: str) -> bool:
    """Whether what is used in `scope` counts in the cap: it is the scope's own or is above it."""
    return not cap.scope or cap.scope == scope or scope.startswith(f"{cap.scope}/")


def running(cap: Cap, now: datetime) -> Cap:
    """The cap as it stands at `now`: once its window is over, nothing is used of the next."""
    if now < cap.window_end:
        return cap
    window = window_at(CALENDAR, cap.every, now)
    return replace(cap, window_start=window.start, window_end=window.end, used=0, reached=False)


class Budget:
    """The caps of one account and of its scopes, while one command counts in them.

    Attributes:
        told: the caps that this command has used up.
    """

    __slots__ = ("_before", "_caps", "_now", "told")

    def __init__(self, own: Iterable[Cap], scoped: Iterable[Cap], now: datetime) -> None:
        self._now = now
        self._caps = {_key(cap): cap for caps in (own, scoped) for cap in caps}
        self._before = dict(self._caps)
        self.told: list[Cap] = []

    @property
    def own(self) -> tuple[Cap, ...]:
        """The caps of the whole account."""
        return tuple(cap for cap in self._caps.values() if not cap.scope)

    @property
    def changed(self) -> tuple[Cap, ...]:
        """The caps of scopes that are not what they were."""
        return tuple(
            cap for key, cap in self._caps.items() if cap.scope and cap is not self._before.get(key)
        )

    def tightest(self, scope: str) -> Headroom | None:
        """The least room that a cap above `scope` has; None if none of them has a limit."""
        rooms = [
            Headroom(cap.limit - cap.used, cap)
            for cap in (running(one, self._now) for one in self._above(scope))
            if cap.limit is not None
        ]
        return min(rooms, key=lambda one: one.room, default=None)

    def count(self, amount: int, scope: str) -> None:
        """Count what is used in `scope`."""
        for cap in self._above(scope):
            current = running(cap, self._now)
            self._put(replace(current, used=current.used + amount))

    def give_back(self, amount: int, scope: str, made_at: datetime) -> None:
        """Take off what a hold that was made at `made_at` has not used."""
        for cap in self._above(scope):
            if cap.window_start <= made_at and self._now < cap.window_end:
                self._put(replace(cap, used=max(0, cap.used - amount)))

    def set_host(self, every: Every, limit: int | None, scope: str, used: int) -> None:
        """Set the host's cap of a scope; one that is there goes on counting.

        Without a limit the account's own is dropped; one of a scope counts on, and refuses nothing.

        Raises:
            InvalidAmountError, InvalidIdError, UnknownNameError: it can't be a cap.
        """
        check_scope(scope)
        if every not in EVERY_ORDER:
            raise UnknownNameError("recurrence", str(every), EVERY_ORDER)
        if limit is not None:
            check_amount(limit, "The limit of a cap", minimum=0)
        check_amount(used, "What was used of a cap", minimum=0)
        known = self._caps.get((scope, every, "host"))
        if limit is None and not scope:
            self._caps.pop((scope, every, "host"), None)
        elif known is not None:
            self._limit(known, limit)
        else:
            window = window_at(CALENDAR, every, self._now)
            self._put(Cap(every, limit, window.start, window.end, used, scope, "host"))

    def set_plan(self, limits: dict[Every, int]) -> None:
        """Make these the caps of the plans in force.

        A cap that is no longer among them counts on to the end of its window, so that one who goes
        back and forth between plans does not begin anew with each.
        """
        for key, cap in tuple(self._caps.items()):
            if cap.source == "plan":
                if cap.every not in limits and cap.window_end <= self._now:
                    del self._caps[key]
                else:
                    self._limit(cap, limits.get(cap.every))
        for every, limit in limits.items():
            if ("", every, "plan") not in self._caps:
                end = window_at(CALENDAR, every, self._now).end
                self._put(Cap(every, limit, self._now, end))

    def _limit(self, cap: Cap, limit: int | None) -> None:
        if cap.limit != limit:
            self._put(replace(running(cap, self._now), limit=limit, reached=False))

    def _above(self, scope: str) -> list[Cap]:
        return [cap for cap in self._caps.values() if governs(cap, scope)]

    def _put(self, cap: Cap) -> None:
        """Keep a cap. That it is used up is told once in a window, until its limit is changed."""
        if cap.limit is not None and not cap.reached and 0 < cap.used >= cap.limit:
            cap = replace(cap, reached=True)
            self.told.append(cap)
        self._caps[_key(cap)] = cap


def _key(cap: Cap) -> _Key:
    return (cap.scope, cap.every, cap.source)
