"""Use beyond the grants: written to the outbox with the capture that made it final."""

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


def record(tx: Transaction, change: Change) -> None:
    """Queue the overage of a change. The identifier derives from the entry, so it is unique and
    the same however often it is sent."""
    account = change.account
    now = tx.now()
    tx.outbox.add(
        OutboxMessage(
            id=str(uuid7()),
            customer=account.customer,
            topic=METER_TOPIC,
            body=msgspec.json.encode(
                MeterUse(
                    meter=use.meter,
                    unit=account.unit,
                    amount=use.amount,
                    identifier=f"{account.customer}/{account.unit}/{use.entry_sequence}",
                )
            ).decode(),
            created_at=now,
            due_at=now,
        )
        for use in change.overage
    )
