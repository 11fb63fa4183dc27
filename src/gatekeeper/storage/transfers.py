"""Transfers: what is owed to sellers of what buyers have paid. Part of the storage port."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec


class TransferStatus(StrEnum):
    """How far a transfer has come: one that failed is tried again."""

    OWED = "owed"
    FAILED = "failed"
    SENT = "sent"
    DISCARDED = "discarded"
    """Somebody has said that it is not to be sent."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a payment that is owed to a connected account, or was sent to it.

    Attributes:
        id: ours: the same one is owed, and sent, once.
        customer: who has paid.
        charge_id: the charge whose money it is.
        destination: the seller's connected account.
        attempts: how often Stripe has refused it.
        transfer_id: Stripe's, once it was sent.
        of_balance: it is sent out of what the platform has, and not out of the charge.
        reversed_minor: what of it was taken back from the seller since.
        due_at: from when on it may be tried, while it was not sent.
    """

    id: str
    customer: str
    charge_id: str
    destination: str
    amount_minor: int
    currency: str
    status: TransferStatus
    created_at: datetime
    due_at: datetime
    attempts: int = 0
    transfer_id: str | None = None
    reversed_minor: int = 0
    sent_at: datetime | None = None
    last_error: str | None = None
    of_balance: bool = False


class Transfers(ABC):
    """What is owed to sellers."""

    @abstractmethod
    def insert(self, transfer: Transfer) -> bool:
        """Add a transfer; False if there is one of its id."""

    @abstractmethod
    def get(self, transfer_id: str, *, lock: bool = False) -> Transfer | None:
        """A transfer by our id."""

    @abstractmethod
    def by_stripe_id(self, stripe_id: str) -> Transfer | None:
        """A transfer by Stripe's id."""

    @abstractmethod
    def save(self, transfer: Transfer) -> None:
        """Write a transfer's fields."""

    @abstractmethod
    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Transfer]:
        """Those that are due, the oldest first, for this caller alone until then."""

    @abstractmethod
    def listed(
        self, status: TransferStatus, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[Transfer]:
        """The transfers of a status, the oldest first; `after` is when the last of the page before
        was noted, and its id."""
