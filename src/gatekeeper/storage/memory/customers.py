"""Customers and their overrides, in memory."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.entitlements.state import CustomerState, Item, Override
from gatekeeper.errors import ConflictError, CustomerNotFoundError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.port import Customers
from gatekeeper.storage.records import Customer, CustomerSearch


class MemoryCustomers(Customers):
    """See the port. `items_of` reads the items of a customer."""

    def __init__(self, journal: Journal, items_of: Callable[[str], tuple[Item, ...]]) -> None:
        self._customers: Table[str, Customer] = Table(journal)
        self._by_stripe_id: Table[str, str] = Table(journal)
        self._overrides: Table[str, tuple[Override, ...]] = Table(journal)
        self._items_of = items_of

    def get(self, customer: str, *, lock: bool = False) -> Customer | None:
        return self._customers.get(customer)  # writes are one at a time: nothing to lock

    def by_stripe_id(self, stripe_id: str) -> Customer | None:
        owner = self._by_stripe_id.get(stripe_id)
        return None if owner is None else self._customers.get(owner)

    def insert(self, customer: Customer) -> bool:
        if customer.id in self._customers:
            return False
        self._claim_stripe_id(customer)
        return self._customers.insert(customer.id, customer)

    def save(self, customer: Customer) -> None:
        stored = self._customers.get(customer.id)
        if stored is None:
            return
        if stored.stripe_id is not None and stored.stripe_id != customer.stripe_id:
            self._by_stripe_id.delete(stored.stripe_id)
        self._claim_stripe_id(customer)
        self._customers.put(customer.id, replace(customer, version=stored.version))

    def touch(self, customer: str) -> int:
        stored = self._customers.get(customer)
        if stored is None:
            raise CustomerNotFoundError("This customer is not known.", customer=customer)
        self._customers.put(customer, replace(stored, version=stored.version + 1))
        return stored.version + 1

    def versions(self, customers: Collection[str]) -> dict[str, int]:
        found = (self._customers.get(customer) for customer in customers)
        return {one.id: one.version for one in found if one is not None and one.deleted_at is None}

    def state(self, customer: str) -> CustomerState | None:
        stored = self._customers.get(customer)
        if stored is None or stored.deleted_at is not None:
            return None
        return CustomerState(
            customer=stored.id,
            created_at=stored.created_at,
            version=stored.version,
            items=self._items_of(customer),
            overrides=self._overrides.get(customer) or (),
        )

    def find(
        self, search: CustomerSearch, limit: int, after: str | None = None
    ) -> Sequence[Customer]:
        found = [
            one
            for one in self._customers.values()
            if (search.email is None or one.email in search.addresses)
            and (search.name is None or _begins(one.name, search.name))
            and (search.deleted or one.deleted_at is None)
            and (after is None or one.id > after)
        ]
        return sorted(found, key=lambda one: one.id)[:limit]

    def put_override(self, customer: str, override: Override) -> None:
        others = self._without(customer, override.kind, override.key)
        ordered = sorted((*others, override), key=lambda one: (one.kind, one.key))
        self._overrides.put(customer, tuple(ordered))

    def remove_override(self, customer: str, kind: str, key: str) -> bool:
        others = self._without(customer, kind, key)
        found = len(others) < len(self._overrides.get(customer) or ())
        if found:
            self._overrides.put(customer, others)
        return found

    def erase(self, customer: str, pseudonym: str, at: datetime) -> None:
        """Move a customer to a pseudonym, without what tells who they were."""
        stored = self._customers.get(customer)
        if stored is not None:
            if stored.stripe_id is not None:
                self._by_stripe_id.delete(stored.stripe_id)
            self._customers.delete(customer)
            moved = Customer(
                id=pseudonym,
                created_at=stored.created_at,
                version=stored.version + 1,
                deleted_at=stored.deleted_at or at,
            )
            self._customers.put(pseudonym, moved)
        self._overrides.delete(customer)

    def _without(self, customer: str, kind: str, key: str) -> tuple[Override, ...]:
        stored = self._overrides.get(customer) or ()
        return tuple(one for one in stored if (one.kind, one.key) != (kind, key))

    def _claim_stripe_id(self, customer: Customer) -> None:
        if customer.stripe_id is None:
            return
        if self._by_stripe_id.get(customer.stripe_id) not in (None, customer.id):
            raise ConflictError("Another customer has this Stripe id already.")
        self._by_stripe_id.put(customer.stripe_id, customer.id)


def _begins(name: str | None, prefix: str) -> bool:
    return name is not None and name.lower().startswith(prefix.lower())
