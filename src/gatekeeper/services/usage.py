"""What others have to hear of a change: use beyond the grants, and thresholds that were crossed.
Written to the outbox in the transaction of the change itself."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from uuid_utils.compat import uuid7

from gatekeeper.ledger import Change
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import OutboxMessage

METER_TOPIC = "stripe.meter"
"""The outbox topic of what Stripe is to bill by a meter."""


class MeterUse(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an outbox message under `METER_TOPIC`. `amount` is in the unit's steps."""

    meter: str
    unit: str
    amount: int
    identifier: str


def record(tx: Transaction, changes: Iterable[Change], now: datetime) -> None:
    """Queue the overage and the signals of changes, in the transaction that wrote them.

    The identifier of overage derives from the entry, so it is unique and the same however often it
    is sent. A signal's topic is its kind.
    """
    tx.outbox.add(
        OutboxMessage(
            id=str(uuid7()), customer=customer, topic=topic, body=body, created_at=now, due_at=now
        )
        for change in changes
        for customer, topic, body in _messages(change)
    )


def _messages(change: Change) -> Iterator[tuple[str, str, str]]:
    account = change.account
    for use in change.overage:
        body = MeterUse(
            meter=use.meter,
            unit=account.unit,
            amount=use.amount,
            identifier=f"{account.customer}/{account.unit}/{use.entry_sequence}",
        )
        yield account.customer, METER_TOPIC, msgspec.json.encode(body).decode()
    for signal in change.signals:
        yield signal.customer, signal.kind, msgspec.json.encode(signal).decode()
