"""Accounts that somebody else writes too, as far as this process has noticed of late."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gatekeeper.storage.postings import AccountKey

CONTENDED_SECONDS: Final = 0.25
"""How long an account is taken to be contended after somebody else was there first."""

MAX_LOSSES: Final = 32
LOSING_SECONDS: Final = 0.5
"""How often somebody else may be first, one time after another, and for how long, before the
account is locked. (Where a round takes long, it is the second that counts.)"""

MAX_CONTENDED: Final = 10_000
KEPT_SECONDS: Final = 60.0
"""Of how many accounts that is kept in mind before those are forgotten that have been over for so
long."""


@dataclass(slots=True)
class _Race:
    """`until` when the account is contended; how often it was `lost` in a row, the first time at
    `since`."""

    until: float
    since: float
    lost: int = 0


class Contention:
    """Which accounts are contended, and how often this process came second there."""

    def __init__(self) -> None:
        self._races: dict[AccountKey, _Race] = {}

    def lost(self, keys: Iterable[AccountKey]) -> None:
        """Somebody else was first."""
        now = time.monotonic()
        if len(self._races) > MAX_CONTENDED:
            self._races = {
                key: race for key, race in self._races.items() if race.until > now - KEPT_SECONDS
            }
        for key in keys:
            race = self._races.setdefault(key, _Race(now, now))
            race.until = now + CONTENDED_SECONDS
            if not race.lost:
                race.since = now
            race.lost += 1

    def won(self, keys: Iterable[AccountKey]) -> None:
        """Nobody else was first."""
        for key in keys:
            if race := self._races.get(key):
                race.lost = 0

    def is_contended(self, key: AccountKey) -> bool:
        """Whether somebody else writes the account too."""
        race = self._races.get(key)
        if race is None:
            return False
        if time.monotonic() < race.until:
            return True
        if not race.lost:  # or else it goes on being lost, slowly
            del self._races[key]
        return False

    def is_hopeless(self, key: AccountKey) -> bool:
        """Whether it was lost so often, or for so long, that the account should be locked."""
        race = self._races.get(key)
        if race is None or not race.lost:
            return False
        return race.lost >= MAX_LOSSES or time.monotonic() - race.since > LOSING_SECONDS
