"""Sellers."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, delete, update

from gatekeeper.storage.sellers import Seller, Sellers
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.tables import sellers

_OWN: Final = sellers.c.customer == bindparam("of_customer")
_UNMADE: Final = sellers.c.account_id.is_(None)
_GET: Final = select_of(sellers, Seller).where(_OWN)
_GET_LOCKED: Final = _GET.with_for_update()
_BY_ACCOUNT: Final = select_of(sellers, Seller).where(
    sellers.c.account_id == bindparam("of_account")
)
_SET_ACCOUNT: Final = (
    update(sellers).where(_OWN, _UNMADE).values(account_id=bindparam("new_account"))
)
_WITHDRAW: Final = delete(sellers).where(_OWN, _UNMADE)
_LISTED: Final = select_of(sellers, Seller).order_by(sellers.c.customer).limit(bindparam("at_most"))
_LISTED_AFTER: Final = _LISTED.where(sellers.c.customer > bindparam("after"))


class SqlSellers(Aggregate, Sellers):
    """`Sellers` over the table `sellers`."""

    def get(self, customer: str, *, lock: bool = False) -> Seller | None:
        statement = _GET_LOCKED if lock else _GET
        row = self._connection.execute(statement, {"of_customer": customer})
        return struct_of(row.mappings().one_or_none(), Seller)

    def by_account(self, account_id: str) -> Seller | None:
        row = self._connection.execute(_BY_ACCOUNT, {"of_account": account_id})
        return struct_of(row.mappings().one_or_none(), Seller)

    def insert(self, seller: Seller) -> bool:
        return self._changed(self._dialect.insert_new(sellers), columns_of(seller)) == 1

    def set_account(self, customer: str, account_id: str) -> bool:
        values = {"of_customer": customer, "new_account": account_id}
        return self.by_account(account_id) is None and self._changed(_SET_ACCOUNT, values) == 1

    def withdraw(self, customer: str) -> bool:
        return self._changed(_WITHDRAW, {"of_customer": customer}) == 1

    def listed(self, limit: int, after: str | None = None) -> Sequence[Seller]:
        statement = _LISTED if after is None else _LISTED_AFTER
        values = {"at_most": limit} | ({} if after is None else {"after": after})
        found = self._connection.execute(statement, values)
        return [Seller(**row) for row in found.mappings()]
