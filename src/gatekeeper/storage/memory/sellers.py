"""Sellers, in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.sellers import Seller, Sellers


class MemorySellers(Sellers):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._sellers: Table[str, Seller] = Table(journal)

    def get(self, customer: str, *, lock: bool = False) -> Seller | None:
        return self._sellers.get(customer)

    def by_account(self, account_id: str) -> Seller | None:
        found = (one for one in self._sellers.values() if one.account_id == account_id)
        return next(found, None)

    def insert(self, seller: Seller) -> bool:
        return self._sellers.insert(seller.customer, seller)

    def set_account(self, customer: str, account_id: str) -> bool:
        known = self._sellers.get(customer)
        if known is None or known.account_id is not None or self.by_account(account_id) is not None:
            return False
        self._sellers.put(customer, replace(known, account_id=account_id))
        return True

    def withdraw(self, customer: str) -> bool:
        known = self._sellers.get(customer)
        if known is None or known.account_id is not None:
            return False
        self._sellers.delete(customer)
        return True

    def listed(self, limit: int, after: str | None = None) -> Sequence[Seller]:
        found = (one for one in self._sellers.values() if after is None or one.customer > after)
        return sorted(found, key=lambda one: one.customer)[:limit]

    def erase(self, customer: str) -> None:
        """Forget that a customer sells; what is owed to the account stays."""
        self._sellers.delete(customer)
