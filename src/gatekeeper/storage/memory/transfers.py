"""What is owed to sellers, in memory."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.transfers import Transfer, Transfers, TransferStatus


class MemoryTransfers(Transfers):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._transfers: Table[str, Transfer] = Table(journal)

    def insert(self, transfer: Transfer) -> bool:
        return self._transfers.insert(transfer.id, transfer)

    def get(self, transfer_id: str, *, lock: bool = False) -> Transfer | None:
        return self._transfers.get(transfer_id)

    def by_stripe_id(self, stripe_id: str) -> Transfer | None:
        found = (one for one in self._transfers.values() if one.transfer_id == stripe_id)
        return next(found, None)

    def save(self, transfer: Transfer) -> None:
        if transfer.id not in self._transfers:
            raise NotFoundError(f"There is no transfer {transfer.id!r}.")
        self._transfers.put(transfer.id, transfer)

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Transfer]:
        open_ones = (TransferStatus.OWED, TransferStatus.FAILED)
        waiting = (one for one in self._transfers.values() if one.status in open_ones)
        due = sorted(
            (one for one in waiting if one.due_at <= now), key=lambda one: (one.due_at, one.id)
        )
        claimed = [replace(one, due_at=until) for one in due[:limit]]
        for one in claimed:
            self._transfers.put(one.id, one)
        return sorted(claimed, key=lambda one: (one.created_at, one.id))

    def listed(
        self, status: TransferStatus, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[Transfer]:
        found = (
            one
            for one in self._transfers.values()
            if one.status is status and (after is None or (one.created_at, one.id) > after)
        )
        return sorted(found, key=lambda one: (one.created_at, one.id))[:limit]

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer."""
        for one in self._transfers.values():
            if one.customer == customer:
                self._transfers.put(one.id, replace(one, customer=pseudonym))
