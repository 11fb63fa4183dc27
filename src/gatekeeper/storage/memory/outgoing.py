"""What we ask of Stripe, in memory."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.outgoing import OutgoingRequest, Requests, RequestStatus
from gatekeeper.storage.survey import Backlog


class MemoryRequests(Requests):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._requests: Table[str, OutgoingRequest] = Table(journal)

    def insert(self, request: OutgoingRequest) -> bool:
        return self._requests.insert(request.id, request)

    def get(self, request_id: str, *, lock: bool = False) -> OutgoingRequest | None:
        return self._requests.get(request_id)

    def save(self, request: OutgoingRequest) -> None:
        if request.id not in self._requests:
            raise NotFoundError(f"There is no request {request.id!r}.")
        self._requests.put(request.id, request)

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[OutgoingRequest]:
        due = sorted(
            (
                one
                for one in self._requests.values()
                if one.status is RequestStatus.OPEN and one.due_at <= now
            ),
            key=lambda one: (one.due_at, one.id),
        )[:limit]
        claimed = [replace(one, due_at=until) for one in due]
        for one in claimed:
            self._requests.put(one.id, one)
        return sorted(claimed, key=lambda one: (one.created_at, one.id))

    def prune(self, before: datetime, limit: int) -> int:
        old = sorted(
            (one.ended_at, one.id)
            for one in self._requests.values()
            if one.ended_at is not None and one.ended_at < before
        )[:limit]
        for _, request_id in old:
            self._requests.delete(request_id)
        return len(old)

    def backlog(self) -> Backlog:
        """The requests whose end is not known."""
        open_ = [
            one.created_at for one in self._requests.values() if one.status is RequestStatus.OPEN
        ]
        return Backlog(waiting=len(open_), oldest_at=min(open_, default=None))

    def erase(self, customer: str) -> None:
        """Delete what was asked for a customer."""
        for key, request in self._requests.items():
            if request.customer == customer:
                self._requests.delete(key)
