"""Payments: what each has granted, and how much of it was taken back. Part of the storage port."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

_PLANS: Final = "plans/"


def plans_of(customer: str) -> str:
    """The id of the row that keeps what was taken back of a customer's plans: it is no payment's.

    It derives from the customer's id, so that all find the same; an erasure gives it another.
    """
    return f"{_PLANS}{hashlib.sha256(customer.encode()).hexdigest()[:32]}"


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One grant that a payment has made.

    `taken` is how much of it was taken back, as a target that was reached; of that, `lapsed` had
    expired or was revoked before, so that there was nothing to take, and `elsewhere` came out of
    other grants of the account, or is owed. `turns` counts how often the
    part taken back changed.
    """

    unit: str
    grant_id: str
    key: str
    amount: int
    kind: str
    expires_at: datetime | None = None
    taken: int = 0
    turns: int = 0
    lapsed: int = 0
    elsewhere: int = 0


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment by its payment intent, or its charge if it has none.

    `amount_minor` and `returned_minor` are those of its charge as last fetched; 0 before the first
    time. `invoice_id` is the invoice that it has paid.
    """

    id: str
    customer: str | None = None
    invoice_id: str | None = None
    amount_minor: int = 0
    returned_minor: int = 0
    shares: tuple[Share, ...] = ()
    updated_at: datetime | None = None

    @property
    def is_of_plans(self) -> bool:
        """Whether it is the row of a customer's plans (`plans_of`), and no payment."""
        return self.id.startswith(_PLANS)


class Payments(ABC):
    """What payments have granted."""

    @abstractmethod
    def lock(self, payment_id: str) -> Payment:
        """A payment, locked until the end of the transaction; its row is made if it is new, so
        that the grant of a payment and its return meet on it, whichever comes first."""

    @abstractmethod
    def get(self, payment_id: str) -> Payment | None:
        """A payment, if anything is known of it."""

    @abstractmethod
    def of_invoice(self, invoice_id: str) -> Sequence[Payment]:
        """The payments of an invoice, by id."""

    @abstractmethod
    def save(self, payment: Payment) -> None:
        """Write a payment that is locked."""
