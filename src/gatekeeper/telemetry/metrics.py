"""The table of all metrics: what each is called, counts, and may be asked by.

Names and units follow OpenTelemetry's conventions
(https://opentelemetry.io/docs/specs/semconv/general/metrics/): lower case, dots between namespaces,
no unit and no "total" in a name, UCUM units. Every attribute has few values: names of the
catalogue, types of Stripe's events, our own words. No customer, event or object is among them.

`docs/reference/telemetry.md` shows this table; a test holds the two together.
"""

from enum import StrEnum
from typing import Final

import msgspec

OUTCOME: Final = "gatekeeper.outcome"
EVENT_TYPE: Final = "gatekeeper.event.type"
TOPIC: Final = "gatekeeper.topic"
RECEIVER: Final = "gatekeeper.receiver"
REASON: Final = "gatekeeper.reason"
SUBJECT: Final = "gatekeeper.subject"
KIND: Final = "gatekeeper.kind"
# OpenTelemetry's own: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
METHOD: Final = "http.request.method"
TEMPLATE: Final = "url.template"
STATUS: Final = "http.response.status_code"
ERROR_TYPE: Final = "error.type"

OTHER: Final = "_OTHER"
"""Stands for a value that is not among those known, as in OpenTelemetry's own attributes."""

ATTRIBUTES: Final = {
    OUTCOME: "how it ended; the words are in the table",
    EVENT_TYPE: f"the type of Stripe's event if anything here receives it, else `{OTHER}`",
    TOPIC: "the topic of a signal",
    RECEIVER: f"the name of the receiver if it is registered here, else `{OTHER}`",
    REASON: "the `code` of the error",
    SUBJECT: "the plan, feature, unit or cost of the catalogue that was asked for",
    KIND: "what kind of thing it is about, for example `subscription`",
    METHOD: "`GET`, `POST` or `DELETE`",
    TEMPLATE: "the path with its ids left out: `/v1/customers/{id}`",
    STATUS: "the status of the answer, if there was one",
    ERROR_TYPE: "the `code` of the error, if it failed",
}
"""What each attribute holds."""


class Kind(StrEnum):
    """What an instrument does with the numbers that it is given."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


class Metric(msgspec.Struct, frozen=True):
    """One instrument.

    Attributes:
        unit: in UCUM: "s" is seconds, words in braces say what is counted.
        attributes: those it may have; a measurement has no others.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()


def _counter(name: str, unit: str, description: str, *attributes: str) -> Metric:
    return Metric(f"gatekeeper.{name}", Kind.COUNTER, unit, description, attributes)


def _seconds(name: str, description: str, *attributes: str) -> Metric:
    return Metric(f"gatekeeper.{name}", Kind.HISTOGRAM, "s", description, attributes)


def _gauge(name: str, unit: str, description: str, *attributes: str) -> Metric:
    return Metric(f"gatekeeper.{name}", Kind.GAUGE, unit, description, attributes)


INTAKE_EVENTS: Final = _counter(
    "intake.events",
    "{event}",
    "Webhooks that came to the route: `accepted`, `duplicate`, `other_mode`, or the `code` of the "
    "error that refused them.",
    OUTCOME,
)
INTAKE_DURATION: Final = _seconds(
    "intake.duration", "From the body to the commit, or to the refusal.", OUTCOME
)
INBOX_DEPTH: Final = _gauge("inbox.depth", "{event}", "Events that wait to be carried out.")
INBOX_AGE: Final = _gauge("inbox.age", "s", "How long the oldest of them has waited; 0: none does.")
INBOX_DEAD: Final = _gauge("inbox.dead", "{event}", "Dead letters among the events.")
DISPATCH_DURATION: Final = _seconds(
    "dispatch.duration",
    "From the claim of an event's object until the event was settled: `done`, `retry`, `dead`; or "
    "left to its lease: `lost`.",
    EVENT_TYPE,
    OUTCOME,
)
RECONCILIATION_DURATION: Final = _seconds(
    "reconciliation.duration", "Runs: `finished`, or the `code` of the error.", OUTCOME
)
RECONCILIATION_DRIFT: Final = _counter(
    "reconciliation.drift", "{difference}", "Fields that differed from Stripe's.", KIND
)
RECONCILIATION_MISSED: Final = _counter(
    "reconciliation.missed", "{event}", "Events that had never come and were replayed."
)
RECONCILIATION_UNREPAIRED: Final = _counter(
    "reconciliation.unrepaired", "{object}", "Objects whose repair failed."
)
RECONCILIATION_AGE: Final = _gauge(
    "reconciliation.age", "s", "How long ago the last run ended; absent while there was none."
)
DENIALS: Final = _counter(
    "denials",
    "{denial}",
    "What a customer was refused: by a guard, by `allows`, or by a reservation.",
    REASON,
    SUBJECT,
)
HOLDS_OPEN: Final = _gauge("holds.open", "{hold}", "Holds that are not settled.")
HOLDS_EXPIRED: Final = _counter(
    "holds.expired", "{hold}", "Holds whose time ran out before anybody settled them."
)
OUTBOX_DEPTH: Final = _gauge("outbox.depth", "{message}", "Messages that have not left.")
OUTBOX_LAG: Final = _gauge(
    "outbox.lag", "s", "How long the oldest of them has waited; 0: none does."
)
OUTBOX_DEAD: Final = _gauge("outbox.dead", "{message}", "Dead letters among the messages.")
OUTBOX_DURATION: Final = _seconds(
    "outbox.delivery.duration",
    "Deliveries of a message to a receiver: `sent`, `retry`, `dead`, or `lost` to its lease.",
    TOPIC,
    RECEIVER,
    OUTCOME,
)
USAGE_DEPTH: Final = _gauge(
    "usage.depth", "{window}", "Sealed windows of metered usage that Stripe has not been told."
)
USAGE_AGE: Final = _gauge("usage.age", "s", "How long the oldest of them has waited; 0: none does.")
USAGE_DEAD: Final = _gauge(
    "usage.dead", "{window}", "Windows that were given up: use that nobody is billed for."
)
REQUESTS_DEPTH: Final = _gauge(
    "requests.depth",
    "{request}",
    "Requests that change something at Stripe and whose end is not known: of a crash, or of an "
    "outage.",
)
REQUESTS_AGE: Final = _gauge(
    "requests.age", "s", "How long the oldest of them has waited; 0: none does."
)
STRIPE_DURATION: Final = _seconds(
    "stripe.request.duration",
    "Requests to Stripe as their caller waits for them, with their retries.",
    METHOD,
    TEMPLATE,
    STATUS,
    ERROR_TYPE,
)
STRIPE_RETRIES: Final = _counter(
    "stripe.retries", "{retry}", "Attempts beyond the first one of a request.", METHOD, TEMPLATE
)
STRIPE_CIRCUIT: Final = _gauge(
    "stripe.circuit.open", "1", "1 while Stripe does not answer and requests fail at once, else 0."
)
CACHE_EVENTS: Final = _counter(
    "cache.events",
    "{event}",
    "What happened in the cache of entitlements: the fields of `CacheStats`. Hits in memory are "
    "not counted: that would slow them down.",
    OUTCOME,
)

METRICS: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of the page."""
