"""Freezes, in memory."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.storage.freezes import Freeze, Freezes
from gatekeeper.storage.memory.tables import Journal, Table


class MemoryFreezes(Freezes):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._freezes: Table[tuple[str, str], Freeze] = Table(journal)

    def add(self, freeze: Freeze) -> bool:
        return self._freezes.insert((freeze.customer, freeze.key), freeze)

    def of(self, customer: str) -> Sequence[Freeze]:
        own = (one for one in self._freezes.values() if one.customer == customer)
        return sorted(own, key=lambda one: (one.since, one.key))

    def lift(self, customer: str, at: datetime, actor: str, *, key: str | None = None) -> int:
        lifted = 0
        for one in self.of(customer):
            if one.lifted_at is None and key in (None, one.key):
                self._freezes.put((customer, one.key), replace(one, lifted_at=at, actor=actor))
                lifted += 1
        return lifted

    def erase(self, customer: str) -> None:
        """Forget a customer's freezes."""
        for one in self.of(customer):
            self._freezes.delete((customer, one.key))
