"""Keys under which clients make a request once. Part of the storage port."""

from abc import ABC, abstractmethod
from datetime import datetime

import msgspec


class RequestKey(msgspec.Struct, frozen=True, kw_only=True):
    """The first use of an Idempotency-Key.

    Attributes:
        customer: whose it is; for the back office, the actor.
        key: of ours, made from the client's and from what it was used for.
        body_hash: of all that was asked with it.
    """

    customer: str
    key: str
    body_hash: str
    created_at: datetime


class RequestKeys(ABC):
    """The keys that were used."""

    @abstractmethod
    def use(self, used: RequestKey) -> RequestKey:
        """Note a key's first use; returns what is stored, which may be older."""

    @abstractmethod
    def forget(self, used: RequestKey) -> None:
        """Forget a key: what was asked with it was refused."""

    @abstractmethod
    def prune(self, before: datetime, limit: int) -> int:
        """Forget keys that were first used before then; returns how many."""
