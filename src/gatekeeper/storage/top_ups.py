"""Automatic top-ups. Part of the storage port."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from gatekeeper.topping_up import TopUp


class TopUps(ABC):
    """What customers have agreed to have bought for them, one for each customer and unit."""

    @abstractmethod
    def insert(self, top_up: TopUp) -> bool:
        """Add a top-up; False if there is one of this customer and unit."""

    @abstractmethod
    def get(self, customer: str, unit: str, *, lock: bool = False) -> TopUp | None:
        """A customer's top-up of a unit."""

    @abstractmethod
    def of(self, customer: str) -> Sequence[TopUp]:
        """The top-ups of a customer, by unit."""

    @abstractmethod
    def save(self, top_up: TopUp) -> None:
        """Write a top-up's fields."""

    @abstractmethod
    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[TopUp]:
        """Those that are to be looked at, the longest due first, for this caller alone until
        then: that is their `due_at`."""
