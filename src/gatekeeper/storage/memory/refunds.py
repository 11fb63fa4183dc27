"""Refunds that were asked for here, in memory."""

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.refunds import AskedRefund, AskedStatus, RefundPlace, Refunds


class MemoryRefunds(Refunds):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._refunds: Table[str, AskedRefund] = Table(journal)

    def insert(self, refund: AskedRefund) -> bool:
        return self._refunds.insert(refund.id, refund)

    def get(self, refund_id: str, *, lock: bool = False) -> AskedRefund | None:
        return self._refunds.get(refund_id)

    def save(self, refund: AskedRefund) -> None:
        if refund.id not in self._refunds:
            raise NotFoundError(f"There is no refund {refund.id!r}.")
        self._refunds.put(refund.id, refund)

    def of_payment(self, payment_id: str) -> Sequence[AskedRefund]:
        found = (one for one in self._refunds.values() if one.payment_id == payment_id)
        return sorted(found, key=lambda one: one.place)

    def made(self, refund_ids: Collection[str]) -> Mapping[str, AskedRefund]:
        return {
            one.refund_id: one
            for one in self._refunds.values()
            if one.refund_id is not None and one.refund_id in refund_ids
        }

    def unmade(
        self,
        limit: int,
        before: RefundPlace | None = None,
        customer: str | None = None,
        status: str | None = None,
    ) -> Sequence[AskedRefund]:
        found = [
            one
            for one in self._refunds.values()
            if one.status is not AskedStatus.MADE
            and customer in (None, one.customer)
            and status in (None, one.status)
            and (before is None or one.place < before)
        ]
        return sorted(found, key=lambda one: one.place, reverse=True)[:limit]

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer, and wipe what was said of them."""
        for one in self._refunds.values():
            if one.actor == customer:
                self._refunds.put(one.id, replace(one, actor=pseudonym))
        for one in self._refunds.values():
            if one.customer == customer:
                plain = replace(one, customer=pseudonym, note="", last_error=None)
                self._refunds.put(one.id, plain)
