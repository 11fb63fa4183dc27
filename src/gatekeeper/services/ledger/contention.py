"""Accounts that somebody else writes too, as far as this process has noticed of late."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gatekeeper.storage.postings import AccountKey

CONTENDED_SECONDS: Final = 0.25
"""How long an account is taken to be contended after somebody else was there first."""

MAX_LOSSES: Final = 32
"""How often somebody else may be first, one time after another, before the account is locked."""

MAX_CONTENDED: Final = 10_000
"""Of how many accounts that is kept in mind before those that are over are forgotten."""


@dataclass(slots=True)
class _Race:
    until: float
    lost: int = 0


class Contention:
    """Which accounts are contended, and how often this process came second there."""

    def __init__(self) -> None:
        self._races: dict[AccountKey, _Race] = {}

    def lost(self, keys: Iterable[AccountKey]) -> None:
        """Somebody else was first."""
        now = time.monotonic()
        if len(self._races) > MAX_CONTENDED:
            self._races = {key: race for key, race in self._races.items() if race.until > now}
        for key in keys:
            race = self._races.setdefault(key, _Race(now))
            race.until = now + CONTENDED_SECONDS
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
        del self._races[key]
        return False

    def is_hopeless(self, key: AccountKey) -> bool:
        """Whether it was lost so often that the account should be locked."""
        race = self._races.get(key)
        return race is not None and race.lost >= MAX_LOSSES
