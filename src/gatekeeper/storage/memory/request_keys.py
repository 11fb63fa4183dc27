"""Keys under which clients make a request once, in memory."""

from datetime import datetime

from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.request_keys import RequestKey, RequestKeys


class MemoryRequestKeys(RequestKeys):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._keys: Table[tuple[str, str], RequestKey] = Table(journal)

    def use(self, used: RequestKey) -> RequestKey:
        place = (used.customer, used.key)
        known = self._keys.get(place)
        if known is None:
            self._keys.put(place, used)
        return known or used

    def forget(self, used: RequestKey) -> None:
        self._keys.delete((used.customer, used.key))

    def prune(self, before: datetime, limit: int) -> int:
        old = [one for one in self._keys.values() if one.created_at < before]
        for one in sorted(old, key=lambda one: one.created_at)[:limit]:
            self._keys.delete((one.customer, one.key))
        return min(len(old), limit)

    def erase(self, customer: str) -> None:
        """Forget a customer's keys."""
        for one in self._keys.values():
            if one.customer == customer:
                self._keys.delete((one.customer, one.key))
