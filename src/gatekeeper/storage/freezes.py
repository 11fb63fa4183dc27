"""Freezes: why a customer's credits are not to be spent for now. Part of the storage port."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

import msgspec


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """One reason to freeze a customer's credits, in force until it is lifted.

    `key` names what it is for, 'kind/id': the same thing freezes once, however often it is told.
    `actor` is who lifted it.
    """

    customer: str
    key: str
    reason: str
    since: datetime
    lifted_at: datetime | None = None
    actor: str | None = None


class Freezes(ABC):
    """The freezes of customers."""

    @abstractmethod
    def add(self, freeze: Freeze) -> bool:
        """Add a freeze; False if there is, or was, one of its key."""

    @abstractmethod
    def of(self, customer: str) -> Sequence[Freeze]:
        """The freezes of a customer, lifted ones included, the oldest first."""

    @abstractmethod
    def lift(self, customer: str, at: datetime, actor: str, *, key: str | None = None) -> int:
        """Lift all freezes that are in force, or the one of `key`; returns how many."""
