"""The part of the storage port that keeps the refunds that were asked for here."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

RefundPlace = tuple[datetime, str]
"""Where a refund stands among all: when it was asked for, and its id."""


class AskedStatus(StrEnum):
    """How far the request for a refund has come; what became of the refund, its copy tells."""

    OPEN = "open"
    """It is being sent; it counts as given."""

    MADE = "made"
    """Stripe has made it."""

    REFUSED = "refused"
    """Stripe has refused it, or it never got there: no money has moved."""


class AskedRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that was asked for here.

    Attributes:
        id: ours; under an idempotency key, made of that.
        customer: who has paid, where that is known.
        payment_id: the payment intent; the charge, if it has none.
        invoice_id, order_id: what it was asked for, if it was one of them.
        amount_minor: in minor units of `currency`.
        reason: Stripe's word for it.
        note: why, in the actor's words.
        refund_id: Stripe's, once it is made.
    """

    id: str
    customer: str | None = None
    payment_id: str
    charge_id: str
    invoice_id: str | None = None
    order_id: str | None = None
    amount_minor: int
    currency: str
    reason: str | None = None
    note: str
    actor: str
    status: AskedStatus = AskedStatus.OPEN
    refund_id: str | None = None
    created_at: datetime
    ended_at: datetime | None = None
    last_error: str | None = None

    @property
    def place(self) -> RefundPlace:
        """Where it stands among all."""
        return self.created_at, self.id


class Refunds(ABC):
    """Refunds that were asked for here."""

    @abstractmethod
    def insert(self, refund: AskedRefund) -> bool:
        """Add a refund; False if there is one of its id."""

    @abstractmethod
    def get(self, refund_id: str, *, lock: bool = False) -> AskedRefund | None:
        """A refund by our id."""

    @abstractmethod
    def save(self, refund: AskedRefund) -> None:
        """Write a refund's fields.

        Raises:
            NotFoundError: there is none of its id.
        """

    @abstractmethod
    def of_payment(self, payment_id: str) -> Sequence[AskedRefund]:
        """All that were asked for of a payment, the oldest first."""

    @abstractmethod
    def made(self, refund_ids: Collection[str]) -> Mapping[str, AskedRefund]:
        """Those that Stripe has made, by its ids; those that were not asked for here are left
        out."""

    @abstractmethod
    def unmade(
        self,
        limit: int,
        before: RefundPlace | None = None,
        customer: str | None = None,
        status: str | None = None,
    ) -> Sequence[AskedRefund]:
        """Those that Stripe has not made (of a customer, of a status), the newest first; `before`:
        only what comes after this place in that order."""
