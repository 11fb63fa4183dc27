"""Payments and what they granted, in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.payments import Payment, Payments, plans_of


class MemoryPayments(Payments):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._payments: Table[str, Payment] = Table(journal)

    def lock(self, payment_id: str) -> Payment:
        return self._payments.get(payment_id) or Payment(id=payment_id)

    def get(self, payment_id: str) -> Payment | None:
        return self._payments.get(payment_id)

    def of_invoice(self, invoice_id: str) -> Sequence[Payment]:
        found = (one for one in self._payments.values() if one.invoice_id == invoice_id)
        return sorted(found, key=lambda one: one.id)

    def save(self, payment: Payment) -> None:
        self._payments.put(payment.id, payment)

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer, and of what derives from their id."""
        for payment in self._payments.values():
            if payment.customer == customer:
                is_named = payment.id == plans_of(customer)
                new_id = plans_of(pseudonym) if is_named else payment.id
                self._payments.delete(payment.id)
                self._payments.put(new_id, replace(payment, id=new_id, customer=pseudonym))
