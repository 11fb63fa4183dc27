"""How far long work has come, in memory."""

from datetime import datetime

from msgspec.structs import replace

from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.progress import Milestone, Progress


class MemoryProgress(Progress):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._milestones: Table[str, Milestone] = Table(journal)

    def get(self, name: str) -> Milestone | None:
        return self._milestones.get(name)

    def put(self, name: str, state: str, at: datetime) -> None:
        stored = self._milestones.get(name)
        leased_until = None if stored is None else stored.leased_until
        self._milestones.put(
            name, Milestone(name=name, state=state, updated_at=at, leased_until=leased_until)
        )

    def lease(self, name: str, now: datetime, until: datetime, *, state: str) -> bool:
        stored = self._milestones.get(name)
        if stored is None:
            stored = Milestone(name=name, state=state, updated_at=now)
        elif stored.leased_until is not None and stored.leased_until > now:
            return False
        self._milestones.put(name, replace(stored, leased_until=until))
        return True

    def renew(self, name: str, held: datetime, until: datetime | None) -> bool:
        stored = self._milestones.get(name)
        if stored is None or stored.leased_until != held:
            return False
        self._milestones.put(name, replace(stored, leased_until=until))
        return True
