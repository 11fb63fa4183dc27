"""The desk that makes events of signals, and decides what leaves the house in them."""

import hashlib
import uuid
from collections.abc import Collection, Mapping
from typing import Final

from gatekeeper.errors import RegistrationError
from gatekeeper.services.analytics.port import Analytics, AnalyticsEvent
from gatekeeper.services.outbox.signals import Signal

RECEIVER: Final = "gatekeeper.analytics"
"""The name of this receiver in the outbox."""

_PAID: Final = ("currency", "amount_minor", "invoice", "subscription", "purchase")
_CREDITS: Final = ("unit", "left", "threshold")
_TOP_UP: Final = ("unit", "pack", "amount_minor", "currency", "error")

EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "access.denied": ("needs", "name"),
    "cap.reached": (*_CREDITS, "every"),
    "checkout.started": ("purchase", "price", "quantity", "mode"),
    "credits.debt": ("unit", "owed", "added"),
    "credits.exhausted": _CREDITS,
    "credits.low": _CREDITS,
    "customer.created": (),
    "grant.expiring": ("unit", "left", "expires_at"),
    "payment.failed": (*_PAID, "attempt", "next_attempt_at"),
    "payment.succeeded": _PAID,
    "subscription.changed": (
        "subscription",
        "status",
        "previous_status",
        "cancel_at",
        "previous_cancel_at",
        "trial_end",
        "ended_at",
        "collection_paused",
        "items",
    ),
    "top_up.blocked": (*_TOP_UP, "reason", "until"),
    "top_up.failed": (*_TOP_UP, "declines", "next_attempt_at"),
}
"""The events, and which keys of the signal's body leave with each. What is not named here stays:
a cap's scope, for one, is the host's own text."""

_NAMESPACE: Final = uuid.UUID("0e2b2f4e-6c0f-5a4e-9a54-6f4b6d1f7a10")
"""What ids of signals that are no UUIDs are made into UUIDs in (RFC 9562, version 5)."""


def check_events(names: Collection[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises:
        RegistrationError: there is no such event, or none is named.
    """
    strange = sorted(set(names) - set(EVENTS))
    if strange or not names:
        raise RegistrationError(
            f"There is no event {strange[0]!r}." if strange else "No event is named."
        )
    return tuple(dict.fromkeys(names))


class AnalyticsDesk:
    """The receiver of signals that has them counted."""

    def __init__(self, analytics: Analytics) -> None:
        self._analytics = analytics

    async def receive(self, signal: Signal) -> None:
        """Have a signal counted."""
        await self._analytics.capture(event_of(signal))


def event_of(signal: Signal) -> AnalyticsEvent:
    """A signal as it leaves the house."""
    allowed = EVENTS[signal.topic]
    return AnalyticsEvent(
        id=_uuid_of(signal.id),
        name=signal.topic,
        customer=_without_address(signal.customer),
        at=signal.at,
        properties={key: signal.body[key] for key in allowed if key in signal.body},
    )


def _without_address(customer: str) -> str:
    """The customer's id. Some hosts use mail addresses for ids: those leave as a hash, which is
    the same each time and says nothing to who does not know the address."""
    if "@" not in customer:
        return customer
    return f"sha256-{hashlib.sha256(customer.encode()).hexdigest()}"


def _uuid_of(signal_id: str) -> str:
    try:
        return str(uuid.UUID(signal_id))
    except ValueError:
        return str(uuid.uuid5(_NAMESPACE, signal_id))
