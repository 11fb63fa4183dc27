"""The event as a host's handler sees it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent


class WebhookEvent:
    """A verified event of Stripe's, delivered at least once.

    Attributes:
        id: Stripe's event id.
        type: for example "invoice.paid".
        created_at: when Stripe made it, in whole seconds: it does not order events.
        account: the Connect account it happened on, or None.
        attempt: 1 for the first try.
        customer: the host's id of the customer it is about, if known.
    """

    def __init__(self, stored: InboxEvent, *, customer: str | None = None) -> None:
        self.id = stored.event_id
        self.type = stored.type
        self.created_at: datetime = stored.created_at
        self.livemode = stored.livemode
        self.account = stored.account
        self.api_version = stored.api_version
        self.object_id = stored.object_id
        self.object_type = stored.object_type
        self.attempt = stored.attempts
        self.customer = customer
        self._payload = stored.payload
        self._body: dict[str, Any] | None = None
        self._writes: list[Callable[[Transaction], None]] = []

    def __repr__(self) -> str:
        return f"WebhookEvent(id={self.id!r}, type={self.type!r}, object_id={self.object_id!r})"

    @property
    def body(self) -> dict[str, Any]:
        """The whole event as Stripe sent it. What it says of the object may be out of date."""
        if self._body is None:
            self._body = {} if self._payload is None else msgspec.json.decode(self._payload)
        return self._body

    @property
    def snapshot(self) -> dict[str, Any]:
        """The object as it was when the event was made; empty for a thin event."""
        data = self.body.get("data")
        found = data.get("object") if isinstance(data, dict) else None
        return found if isinstance(found, dict) else {}

    def write(self, work: Callable[[Transaction], None]) -> None:
        """Run `work` in the transaction that records this handler's completion: exactly once.

        It must be synchronous and do nothing but write through the transaction.
        """
        self._writes.append(work)

    def take_writes(self) -> list[Callable[[Transaction], None]]:
        """What the handler that has just run wants written; the next handler starts afresh."""
        taken, self._writes = self._writes, []
        return taken


class _Named(msgspec.Struct):
    id: str


class _Object(msgspec.Struct):
    object: str
    id: str | None = None
    customer: str | _Named | None = None


class _Data(msgspec.Struct):
    object: _Object


class _Snapshot(msgspec.Struct):
    data: _Data


_decoder: Final = msgspec.json.Decoder(_Snapshot)


def stripe_customer_of(stored: InboxEvent) -> str | None:
    """Stripe's id of the customer whom an event is about, as its snapshot says; None if it doesn't.

    Whose an object is never changes, so that an old snapshot is as good as a new one.
    """
    if stored.account is not None:
        return None
    if stored.object_type == "customer":
        return stored.object_id
    if stored.payload is None:
        return None
    try:
        found = _decoder.decode(stored.payload).data.object
    except msgspec.MsgspecError:  # a thin event, or an object whose `customer` is something else
        return None
    return found.customer.id if isinstance(found.customer, _Named) else found.customer


def customer_of(tx: Transaction, stored: InboxEvent) -> str | None:
    """The host's id of the customer whom an event is about: by its snapshot, else by our copy of
    the object, which knows whose it is also where the event does not say it (a thin one, or one of
    a refund or a dispute). None if it is nobody's, or theirs who were deleted."""
    if stored.account is not None:
        return None
    stripe_id = stripe_customer_of(stored)
    found = None if stripe_id is None else tx.customers.by_stripe_id(stripe_id)
    if found is not None:
        return found.id
    if stored.object_type is None or stored.object_id is None:
        return None
    copy = tx.mirror.get(stored.object_type, stored.object_id)
    owner = None if copy is None or copy.customer is None else tx.customers.get(copy.customer)
    return None if owner is None or owner.deleted_at is not None else owner.id


def named_in(stored: InboxEvent, field: str, path: str) -> str | None:
    """The id of the object that another is part of: as a field of the event's snapshot names it,
    which has never changed, or as the address of a thin event's object does, below the `path` of
    such objects. None if the event says neither."""
    event = WebhookEvent(stored)
    found = event.snapshot.get(field)
    named = found.get("id") if isinstance(found, dict) else found
    if isinstance(named, str):
        return named
    related = event.body.get("related_object")
    address = related.get("url") if isinstance(related, dict) else None
    if not isinstance(address, str) or not address.startswith(f"{path}/"):
        return None
    return unquote(address.removeprefix(f"{path}/").partition("/")[0]) or None


def snapshot_type(type_: str) -> str:
    """The type of the snapshot event that a thin one stands for: "v1.invoice.paid" is the thin
    "invoice.paid" (https://docs.stripe.com/webhooks/migrate-snapshot-to-thin-events)."""
    return type_.removeprefix("v1.")
