"""Paybacks: what sellers give back of what they got. Part of the storage port."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec


class PaybackStatus(StrEnum):
    """How far a payback has come: one that failed is tried again."""

    OWED = "owed"
    FAILED = "failed"
    MADE = "made"
    ENDED = "ended"
    """What it was for has come to nothing: it was not made, or the seller has it back."""


class Payback(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a seller's share of a sale that goes back, because the buyer's money does.

    Attributes:
        id: what it is for, "refund/re_..." or "dispute/du_..."; with "/2" and so on at its end if
            that had come to nothing before.
        order_id: the sale.
        customer: who has paid.
        destination: the seller's connected account.
        owed_id: our own transfer that it is of; None if the money went with the payment.
        transfer_id: Stripe's transfer; None while that is not sent.
        attempts: how often Stripe has refused it.
        reversal_id: Stripe's, once it was made.
        due_at: from when on it may be tried, while it was not made.
    """

    id: str
    order_id: str
    customer: str
    destination: str
    owed_id: str | None = None
    transfer_id: str | None = None
    amount_minor: int
    currency: str
    status: PaybackStatus
    created_at: datetime
    due_at: datetime
    attempts: int = 0
    reversal_id: str | None = None
    last_error: str | None = None

    @property
    def cause(self) -> str:
        """What it is for: "refund/re_..."."""
        return "/".join(self.id.split("/")[:2])


class Paybacks(ABC):
    """What sellers give back."""

    @abstractmethod
    def insert(self, payback: Payback) -> bool:
        """Add a payback; False if there is one of its id."""

    @abstractmethod
    def get(self, payback_id: str, *, lock: bool = False) -> Payback | None:
        """A payback, locked until the end of the transaction if asked for."""

    @abstractmethod
    def save(self, payback: Payback) -> None:
        """Write a payback's fields.

        Raises:
            NotFoundError: there is none of its id.
        """

    @abstractmethod
    def of_order(self, order_id: str) -> Sequence[Payback]:
        """All of a sale, the oldest first."""

    @abstractmethod
    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Payback]:
        """Those that are due, the oldest first, for this caller alone until then."""

    @abstractmethod
    def unmade(self, limit: int, after: tuple[datetime, str] | None = None) -> Sequence[Payback]:
        """Those that were not made yet, the oldest first; `after` is when the last of the page
        before was noted, and its id."""
