"""Purchases, in memory."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import ConflictError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.port import Purchases
from gatekeeper.storage.records import Purchase, PurchaseStatus


class MemoryPurchases(Purchases):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._purchases: Table[str, Purchase] = Table(journal)
        self._by_session: Table[str, str] = Table(journal)

    def insert(self, purchase: Purchase) -> None:
        if not self._purchases.insert(purchase.id, purchase):
            raise ConflictError("There is a purchase of this id already.")
        self._claim_session(purchase)

    def save(self, purchase: Purchase) -> None:
        stored = self._purchases.get(purchase.id)
        if stored is None:
            return
        if stored.checkout_session_id is not None:
            self._by_session.delete(stored.checkout_session_id)
        self._purchases.put(purchase.id, purchase)
        self._claim_session(purchase)

    def get(self, purchase_id: str, *, lock: bool = False) -> Purchase | None:
        return self._purchases.get(purchase_id)

    def by_session(self, checkout_session_id: str, *, lock: bool = False) -> Purchase | None:
        purchase_id = self._by_session.get(checkout_session_id)
        return None if purchase_id is None else self._purchases.get(purchase_id)

    def by_intent(self, payment_intent_id: str, *, lock: bool = False) -> Purchase | None:
        found = (
            one for one in self._purchases.values() if one.payment_intent_id == payment_intent_id
        )
        return max(found, key=lambda one: (one.created_at, one.id), default=None)

    def pending(self, customer: str) -> Sequence[Purchase]:
        found = (
            one
            for one in self._purchases.values()
            if one.customer == customer and one.status is PurchaseStatus.PENDING
        )
        return tuple(sorted(found, key=lambda one: (one.created_at, one.id)))

    def paid(self, customer: str, *, since: datetime | None = None) -> Sequence[Purchase]:
        found = (
            one
            for one in self._purchases.values()
            if one.customer == customer
            and one.status is PurchaseStatus.PAID
            and (since is None or (one.settled_at is not None and one.settled_at > since))
        )
        return tuple(sorted(found, key=lambda one: (one.created_at, one.id)))

    def newest(
        self, customer: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> Sequence[Purchase]:
        found = [
            one
            for one in self._purchases.values()
            if one.customer == customer and (before is None or (one.created_at, one.id) < before)
        ]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[:limit]

    def duplicates(self, limit: int, customer: str | None = None) -> Sequence[Purchase]:
        found = [
            one
            for one in self._purchases.values()
            if one.duplicate_of is not None and customer in (None, one.customer)
        ]
        found.sort(key=lambda one: one.id)
        found.sort(key=lambda one: one.created_at, reverse=True)
        return found[:limit]

    def pending_after(self, purchase_id: str, limit: int) -> Sequence[Purchase]:
        found = (
            one
            for one in self._purchases.values()
            if one.id > purchase_id
            and one.status is PurchaseStatus.PENDING
            and one.checkout_session_id is not None
        )
        return tuple(sorted(found, key=lambda one: one.id)[:limit])

    def every(self) -> Sequence[Purchase]:
        """Everybody's purchases."""
        return self._purchases.values()

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer."""
        for key, purchase in self._purchases.items():
            if purchase.customer == customer:
                self._purchases.put(key, replace(purchase, customer=pseudonym))

    def _claim_session(self, purchase: Purchase) -> None:
        session = purchase.checkout_session_id
        if session is not None and not self._by_session.insert(session, purchase.id):
            raise ConflictError("There is a purchase of this checkout session already.")
