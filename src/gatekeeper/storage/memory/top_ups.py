"""Automatic top-ups, in memory."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.top_ups import TopUps
from gatekeeper.topping_up import TopUp


class MemoryTopUps(TopUps):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._top_ups: Table[tuple[str, str], TopUp] = Table(journal)

    def insert(self, top_up: TopUp) -> bool:
        return self._top_ups.insert((top_up.customer, top_up.unit), top_up)

    def get(self, customer: str, unit: str, *, lock: bool = False) -> TopUp | None:
        return self._top_ups.get((customer, unit))

    def of(self, customer: str) -> Sequence[TopUp]:
        found = (one for one in self._top_ups.values() if one.customer == customer)
        return sorted(found, key=lambda one: one.unit)

    def save(self, top_up: TopUp) -> None:
        key = top_up.customer, top_up.unit
        if key not in self._top_ups:
            raise NotFoundError("There is no such top-up.")
        self._top_ups.put(key, top_up)

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[TopUp]:
        due = [
            (one.due_at, one.customer, one.unit, one)
            for one in self._top_ups.values()
            if one.due_at is not None and one.due_at <= now
        ]
        claimed = [replace(one, due_at=until) for *_, one in sorted(due, key=lambda row: row[:3])]
        for one in claimed[:limit]:
            self._top_ups.put((one.customer, one.unit), one)
        return claimed[:limit]

    def erase(self, customer: str) -> None:
        """Forget what a customer has agreed to."""
        for one in self.of(customer):
            self._top_ups.delete((one.customer, one.unit))
