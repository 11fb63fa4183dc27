"""The rows that the shell keeps beside the ledger's and the entitlements' own values."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer by the host's own id. `stripe_id` is set once Stripe knows them too."""

    id: str
    created_at: datetime
    version: int = 0
    stripe_id: str | None = None
    email: str | None = None
    name: str | None = None
    deleted_at: datetime | None = None


class CustomerSearch(msgspec.Struct, frozen=True, kw_only=True):
    """Which customers are looked for; None is no matter which.

    Attributes:
        email: the whole address, as it is kept; one in small letters is found in whatever case it
            is asked for.
        name: how the name begins, in whatever case.
        deleted: also those who were deleted.
    """

    email: str | None = None
    name: str | None = None
    deleted: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that are looked for."""
        return () if self.email is None else tuple({self.email: 1, self.email.lower(): 1})


class PriceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a Stripe price id stood for when it was first seen; never changed afterwards."""

    price_id: str
    lookup_key: str
    plan: str | None = None
    pack: str | None = None
    first_seen_at: datetime


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """The projection of one Stripe subscription; its items are stored beside it."""

    id: str
    customer: str
    status: str
    started_at: datetime
    anchor: datetime
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    ended_at: datetime | None = None
    collection_paused: bool = False
    latest_invoice_id: str | None = None
    updated_at: datetime


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """The projection of one Stripe invoice, as far as access depends on it.

    `failures_told` is the number of the last attempt to collect it of whose failure was told.
    `credited_minor` is what credit notes gave back after the payment.
    """

    id: str
    customer: str
    subscription_id: str | None
    status: str
    amount_due_minor: int
    amount_paid_minor: int
    currency: str
    created_at: datetime
    finalized_at: datetime | None = None
    due_at: datetime | None = None
    paid_at: datetime | None = None
    failures_told: int = 0
    credited_minor: int = 0


class PurchaseStatus(StrEnum):
    """How far a one-time purchase has come."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """One checkout that we started: what was asked for, by whom, and what came of it.

    Written before the customer is sent to Stripe, so that what was bought is read from here, never
    from the browser or from metadata (DESIGN invariant 10). `duplicate_of` is the purchase of the
    same plan that this one was paid beside.
    """

    id: str
    customer: str
    price_lookup_key: str
    quantity: int
    mode: str
    status: PurchaseStatus
    created_at: datetime
    checkout_session_id: str | None = None
    payment_intent_id: str | None = None
    subscription_id: str | None = None
    settled_at: datetime | None = None
    duplicate_of: str | None = None


class EventStatus(StrEnum):
    """Where a received event is on its way."""

    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"
    IGNORED = "ignored"
    DISCARDED = "discarded"


class ErrorKind(StrEnum):
    """What is known of why an event failed."""

    TRANSIENT = "transient"
    """It may pass: an outage, or whatever a handler raised without saying more."""

    DEPENDENCY = "dependency"
    """What the event builds upon was not there yet."""

    PERMANENT = "permanent"
    """Its handlers said that trying again would change nothing."""


class InboxEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as received. `payload` is the raw body (None once purged), for replay.

    `key` identifies the event: its id, with the Connect account it came for. `object_key` names
    the object it is about, the unit of ordering and of fetches. `twin` is the key of the snapshot
    event that tells of the same change as a thin one, whether that has come or not.
    """

    key: str
    event_id: str
    type: str
    account: str | None
    livemode: bool
    api_version: str | None
    object_type: str | None
    object_id: str | None
    object_key: str
    created_at: datetime
    received_at: datetime
    payload: bytes | None
    status: EventStatus = EventStatus.PENDING
    attempts: int = 0
    due_at: datetime
    leased_until: datetime | None = None
    last_error: str | None = None
    error_kind: ErrorKind | None = None
    twin: str | None = None


class OutboxState(StrEnum):
    """Where a message of the outbox is on its way."""

    WAITING = "waiting"
    DEAD = "dead"
    SENT = "sent"


class OutboxCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the outbox has not left, and since when its oldest waiting message waits."""

    waiting: int
    dead: int
    oldest_waiting_at: datetime | None = None


class OutboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has to leave, written in the transaction that decided it.

    Attributes:
        receiver: whom it is for; empty for whoever receives its topic, among whom it is shared out
            when it is delivered. A message to one receiver waits for the earlier ones of its
            customer to that receiver, and for no others.
    """

    id: str
    customer: str
    topic: str
    body: str
    created_at: datetime
    due_at: datetime
    receiver: str = ""
    attempts: int = 0
    sent_at: datetime | None = None
    dead: bool = False
    last_error: str | None = None


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """The Stripe account and mode that a database belongs to."""

    account: str
    livemode: bool
