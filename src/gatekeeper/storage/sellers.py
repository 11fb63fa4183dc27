"""Sellers: customers of the host's who are paid, on a connected account of Stripe's. Part of the
storage port."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

import msgspec


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """A customer who sells.

    Attributes:
        customer: the host's customer.
        country: where they are, in two letters (ISO 3166-1), which an account never changes.
        account_id: their connected account; None while it is being made.
        created_at: when they asked to sell.
    """

    customer: str
    country: str
    account_id: str | None = None
    created_at: datetime


class Sellers(ABC):
    """The customers who sell."""

    @abstractmethod
    def get(self, customer: str, *, lock: bool = False) -> Seller | None:
        """The seller that a customer is, with their row locked if asked for."""

    @abstractmethod
    def by_account(self, account_id: str) -> Seller | None:
        """Whose a connected account is."""

    @abstractmethod
    def insert(self, seller: Seller) -> bool:
        """Add a seller; False if the customer is one."""

    @abstractmethod
    def set_account(self, customer: str, account_id: str) -> bool:
        """Note a seller's account; False if they have one, are none, or it is another's."""

    @abstractmethod
    def withdraw(self, customer: str) -> bool:
        """Forget a seller who has no account; False if they have one, or are none."""

    @abstractmethod
    def listed(self, limit: int, after: str | None = None) -> Sequence[Seller]:
        """The sellers, in the order of the customers' ids, from one on."""
