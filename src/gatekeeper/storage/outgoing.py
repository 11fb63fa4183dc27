"""The part of the storage port that remembers what we ask of Stripe."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec


class RequestStatus(StrEnum):
    """How far a request to Stripe has come."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


class OutgoingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that changes something at Stripe, stored before it is sent.

    `params` is the body as JSON: what goes out under one idempotency key must never change, or
    Stripe refuses the key. It holds no secrets. `due_at` is from when on an open request may be
    sent again, and `key_until` until when that may be done under the same key: after it Stripe may
    have forgotten the key, and would do it a second time.
    """

    id: str
    operation: str
    path: str
    idempotency_key: str
    params: str
    status: RequestStatus
    attempts: int
    created_at: datetime
    due_at: datetime
    key_until: datetime
    customer: str | None = None
    account: str | None = None
    ended_at: datetime | None = None
    answer_id: str | None = None
    last_error: str | None = None


class Requests(ABC):
    """Requests that change something at Stripe."""

    @abstractmethod
    def insert(self, request: OutgoingRequest) -> bool:
        """Add a request; False if there is one of its id."""

    @abstractmethod
    def get(self, request_id: str, *, lock: bool = False) -> OutgoingRequest | None:
        """A request by its id."""

    @abstractmethod
    def save(self, request: OutgoingRequest) -> None:
        """Write a request's fields."""

    @abstractmethod
    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[OutgoingRequest]:
        """The open requests that are due, the oldest first, for this caller alone until then."""

    @abstractmethod
    def prune(self, before: datetime, limit: int) -> int:
        """Delete requests that ended before an instant; returns how many."""
