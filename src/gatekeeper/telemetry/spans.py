"""The table of all spans: what each is called, of which kind it is, and what it tells.

Spans may name one event, message or object, which metrics must not; customers are named by neither.
"""

from enum import StrEnum
from typing import Final

import msgspec

from gatekeeper.telemetry.metrics import (
    ERROR_TYPE,
    EVENT_TYPE,
    METHOD,
    OUTCOME,
    RECEIVER,
    STATUS,
    TEMPLATE,
    TOPIC,
)

EVENT_ID: Final = "gatekeeper.event.id"
MESSAGE_ID: Final = "gatekeeper.message.id"
ATTEMPT: Final = "gatekeeper.attempt"
OBJECT: Final = "gatekeeper.object"
RESENDS: Final = "http.request.resend_count"


class Role(StrEnum):
    """The kind of a span, in OpenTelemetry's words."""

    INTERNAL = "internal"
    CLIENT = "client"
    CONSUMER = "consumer"


class SpanType(msgspec.Struct, frozen=True):
    """One kind of span."""

    name: str
    role: Role
    description: str
    attributes: tuple[str, ...] = ()


INTAKE: Final = SpanType(
    "gatekeeper.intake",
    Role.INTERNAL,
    "A webhook, from its body to the commit.",
    (EVENT_TYPE, EVENT_ID, OUTCOME, ERROR_TYPE),
)
DISPATCH: Final = SpanType(
    "gatekeeper.dispatch",
    Role.CONSUMER,
    "The events of one object, carried out: projection and handlers. Linked to the span of the "
    "intake of each event that this process has taken in.",
    (OBJECT, EVENT_TYPE, EVENT_ID, ATTEMPT, OUTCOME),
)
DELIVERY: Final = SpanType(
    "gatekeeper.outbox.delivery",
    Role.CONSUMER,
    "A message of the outbox, handed to one of its receivers.",
    (TOPIC, RECEIVER, MESSAGE_ID, ATTEMPT, OUTCOME),
)
STRIPE_REQUEST: Final = SpanType(
    "gatekeeper.stripe.request",
    Role.CLIENT,
    "A request to Stripe, with its retries.",
    (METHOD, TEMPLATE, STATUS, ERROR_TYPE, RESENDS),
)
RECONCILIATION: Final = SpanType(
    "gatekeeper.reconciliation",
    Role.INTERNAL,
    "A run of the reconciliation.",
    (OUTCOME, ERROR_TYPE),
)

SPANS: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, SpanType))
"""All of them, in the order of the page."""
