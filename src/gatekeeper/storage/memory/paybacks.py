"""What sellers give back, in memory."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.paybacks import Payback, Paybacks, PaybackStatus

_OPEN = (PaybackStatus.OWED, PaybackStatus.FAILED)


class MemoryPaybacks(Paybacks):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._paybacks: Table[str, Payback] = Table(journal)

    def insert(self, payback: Payback) -> bool:
        return self._paybacks.insert(payback.id, payback)

    def get(self, payback_id: str, *, lock: bool = False) -> Payback | None:
        return self._paybacks.get(payback_id)

    def save(self, payback: Payback) -> None:
        if payback.id not in self._paybacks:
            raise NotFoundError(f"There is no payback {payback.id!r}.")
        self._paybacks.put(payback.id, payback)

    def of_order(self, order_id: str) -> Sequence[Payback]:
        return _in_turn(one for one in self._paybacks.values() if one.order_id == order_id)

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Payback]:
        due = [one for one in self._paybacks.values() if one.status in _OPEN and one.due_at <= now]
        due.sort(key=lambda one: (one.due_at, one.id))
        claimed = [replace(one, due_at=until) for one in due[:limit]]
        for one in claimed:
            self._paybacks.put(one.id, one)
        return _in_turn(claimed)

    def unmade(self, limit: int, after: tuple[datetime, str] | None = None) -> Sequence[Payback]:
        found = (one for one in self._paybacks.values() if one.status in _OPEN)
        return _in_turn(one for one in found if after is None or (one.created_at, one.id) > after)[
            :limit
        ]

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer."""
        for one in self._paybacks.values():
            if one.customer == customer:
                self._paybacks.put(one.id, replace(one, customer=pseudonym))


def _in_turn(found: Iterable[Payback]) -> list[Payback]:
    return sorted(found, key=lambda one: (one.created_at, one.id))
