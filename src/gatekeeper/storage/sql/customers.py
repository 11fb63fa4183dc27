"""Customers, their overrides, and the state that entitlements derive from."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, select, update

from gatekeeper.entitlements.state import CustomerState, Override
from gatekeeper.errors import CustomerNotFoundError
from gatekeeper.storage.port import Customers
from gatekeeper.storage.records import Customer, CustomerSearch
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.among import padded
from gatekeeper.storage.sql.items import COLUMNS, build_items, with_lines
from gatekeeper.storage.sql.tables import customers, items, overrides

_GET: Final = select_of(customers, Customer).where(customers.c.id == bindparam("customer"))
_GET_LOCKED: Final = _GET.with_for_update(key_share=True)
_BY_STRIPE_ID: Final = select_of(customers, Customer).where(
    customers.c.stripe_id == bindparam("stripe_id")
)
_SAVE: Final = (
    update(customers)
    .where(customers.c.id == bindparam("customer"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in ("stripe_id", "email", "name", "deleted_at", "created_at")
        }
    )
)
_TOUCH: Final = (
    update(customers)
    .where(customers.c.id == bindparam("customer"))
    .values(version=customers.c.version + 1)
    .returning(customers.c.version)
)
_VERSIONS: Final = select(customers.c.id, customers.c.version).where(
    customers.c.id.in_(bindparam("ids", expanding=True)), customers.c.deleted_at.is_(None)
)
_STATE: Final = (
    select(*COLUMNS, customers.c.created_at, customers.c.version)
    .select_from(with_lines(customers.outerjoin(items, items.c.customer == customers.c.id)))
    .where(customers.c.id == bindparam("customer"), customers.c.deleted_at.is_(None))
)
_OVERRIDES: Final = select_of(overrides, Override).where(
    overrides.c.customer == bindparam("customer_id")
)
_REMOVE_OVERRIDE: Final = delete(overrides).where(
    overrides.c.customer == bindparam("customer_id"),
    overrides.c.kind == bindparam("of_kind"),
    overrides.c.key == bindparam("of_key"),
)


class SqlCustomers(Aggregate, Customers):
    """`Customers` over the tables `customers` and `overrides`."""

    def get(self, customer: str, *, lock: bool = False) -> Customer | None:
        if lock:
            self._note(customer)
        statement = _GET_LOCKED if lock else _GET
        row = self._connection.execute(statement, {"customer": customer}).mappings().one_or_none()
        return struct_of(row, Customer)

    def by_stripe_id(self, stripe_id: str) -> Customer | None:
        row = self._connection.execute(_BY_STRIPE_ID, {"stripe_id": stripe_id})
        return struct_of(row.mappings().one_or_none(), Customer)

    def insert(self, customer: Customer) -> bool:
        self._note(customer.id)
        return self._changed(self._dialect.insert_new(customers), columns_of(customer)) == 1

    def save(self, customer: Customer) -> None:
        self._note(customer.id)
        written = {
            "new_stripe_id": customer.stripe_id,
            "new_email": customer.email,
            "new_name": customer.name,
            "new_deleted_at": customer.deleted_at,
            "new_created_at": customer.created_at,
        }
        self._connection.execute(_SAVE, {"customer": customer.id, **written})

    def touch(self, customer: str) -> int:
        self._note(customer)
        version = self._connection.execute(_TOUCH, {"customer": customer}).scalar_one_or_none()
        if version is None:
            raise CustomerNotFoundError(f"There is no customer {customer!r}.", customer=customer)
        return int(version)

    def state(self, customer: str) -> CustomerState | None:
        rows = self._connection.execute(_STATE, {"customer": customer}).all()
        if not rows:
            return None
        # Overrides come second: should one have changed in between, the state is filed under the
        # older version, which the change has made obsolete already.
        found = self._connection.execute(_OVERRIDES, {"customer_id": customer}).mappings()
        return CustomerState(
            customer=customer,
            created_at=rows[0].created_at,
            version=rows[0].version,
            items=build_items(rows),
            overrides=tuple(
                sorted((Override(**row) for row in found), key=lambda one: (one.kind, one.key))
            ),
        )

    def versions(self, customers: Collection[str]) -> dict[str, int]:
        if not customers:
            return {}
        rows = self._connection.execute(_VERSIONS, {"ids": padded(sorted(customers))})
        return {row.id: row.version for row in rows}

    def find(
        self, search: CustomerSearch, limit: int, after: str | None = None
    ) -> Sequence[Customer]:
        column = customers.c
        statement: Any = select_of(customers, Customer).order_by(column.id).limit(limit)
        if search.email is not None:
            statement = statement.where(column.email.in_(search.addresses))
        if search.name is not None:
            begins = func.substr(column.name, 1, len(search.name))
            statement = statement.where(func.lower(begins) == func.lower(search.name))
        if not search.deleted:
            statement = statement.where(column.deleted_at.is_(None))
        if after is not None:
            statement = statement.where(column.id > after)
        return [Customer(**row) for row in self._connection.execute(statement).mappings()]

    def put_override(self, customer: str, override: Override) -> None:
        self._note(customer)
        self._connection.execute(
            self._dialect.upsert(overrides), {"customer": customer, **columns_of(override)}
        )

    def remove_override(self, customer: str, kind: str, key: str) -> bool:
        self._note(customer)
        which = {"customer_id": customer, "of_kind": kind, "of_key": key}
        return self._changed(_REMOVE_OVERRIDE, which) > 0
