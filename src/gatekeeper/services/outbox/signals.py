"""What is told to the outside, and to whom."""

import difflib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec
from uuid_utils.compat import uuid7

from gatekeeper.errors import RegistrationError
from gatekeeper.services.registry import Registered, Registry
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import OutboxMessage

TOPICS: Final = frozenset(
    {
        "access.denied",
        "cap.reached",
        "checkout.started",
        "credits.debt",
        "credits.exhausted",
        "credits.frozen",
        "credits.low",
        "credits.unfrozen",
        "customer.created",
        "grant.expiring",
        "order.authorized",
        "order.canceled",
        "order.failed",
        "order.mispaid",
        "order.paid",
        "order.refunded",
        "payback.failed",
        "payment.duplicate",
        "payment.failed",
        "payment.succeeded",
        "subscription.changed",
        "top_up.blocked",
        "top_up.due",
        "top_up.failed",
        "transfer.failed",
        "usage.rejected",
        "velocity.exceeded",
    }
)
"""The topics that a host may receive."""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has happened to a customer, delivered at least once and in their order.

    Attributes:
        id: the same at each delivery: what to know a repetition by.
        topic: for example "credits.low".
        at: when what it tells of was written.
        body: what there is to say of it; docs/guides/signals.md lists the keys of each topic.
        attempt: 1 for the first try.
    """

    id: str
    topic: str
    customer: str
    at: datetime
    body: Mapping[str, Any]
    attempt: int = 1


BETWEEN: Final = "/"
"""Between a signal's id and its receiver, in the id of a message to one receiver."""

Receiver = Callable[[Signal], Awaitable[None]]


class SignalRegistry(Registry[Signal]):
    """Receivers by topic. Each has its own messages: one that fails is called again, alone."""

    what: ClassVar[str] = "topic"
    late: ClassVar[str] = "signals are being delivered"

    def __init__(self, topics: frozenset[str] = TOPICS) -> None:
        super().__init__()
        self.topics = topics

    def named(self, name: str, topic: str) -> Registered[Signal] | None:
        """The receiver of a topic by its name."""
        return next((one for one in self.handlers_of(topic) if one.name == name), None)

    def _check_type(self, type_: object) -> None:
        super()._check_type(type_)
        if type_ not in self.topics:
            near = difflib.get_close_matches(str(type_), self.topics, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise RegistrationError(f"There is no topic {type_!r}{hint}")


def signal_of(message: OutboxMessage) -> Signal:
    """A stored message as its receivers see it.

    Raises:
        msgspec.DecodeError: the body is no JSON object, which we never write.
    """
    return Signal(
        id=message.id.partition(BETWEEN)[0],
        topic=message.topic,
        customer=message.customer,
        at=message.created_at,
        body=msgspec.json.decode(message.body, type=dict[str, Any]),
        attempt=message.attempts,
    )


def tell(
    tx: Transaction,
    topic: str,
    customer: str,
    body: Mapping[str, Any],
    now: datetime,
    *,
    signal_id: str | None = None,
) -> None:
    """Write a signal in the transaction of the change that it tells of. `body` is plain data;
    moments become ISO 8601. A signal of the same `signal_id` is told once."""
    tx.outbox.add(
        [
            OutboxMessage(
                id=signal_id or str(uuid7()),
                customer=customer,
                topic=topic,
                body=msgspec.json.encode(body).decode(),
                created_at=now,
                due_at=now,
            )
        ]
    )
