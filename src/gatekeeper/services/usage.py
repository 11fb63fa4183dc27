"""What others have to hear of a change: use beyond the grants, and thresholds that were crossed.
Written in the transaction of the change itself: usage of a meter, and messages of the outbox."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec
from uuid_utils.compat import uuid7

from gatekeeper.ledger import Change
from gatekeeper.services.outbox.signals import tell
from gatekeeper.storage.metering import Usage
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import OutboxMessage

OVERAGE_PREFIX: Final = "overage/"
"""How the ids of overage begin: a host may not use such ids."""


def record(tx: Transaction, changes: Iterable[Change], now: datetime) -> None:
    """Record the overage and queue the signals of changes, in the transaction that wrote them.

    Overage is usage of its meter, in the unit's smallest steps, by an id that derives from the
    entry: it counts once. A signal's topic is its kind. What has become debt is told too.
    """
    changed = tuple(changes)
    tx.metering.record(
        Usage(
            customer=change.account.customer,
            meter=use.meter,
            id=overage_id(change.account.unit, use.entry_sequence),
            quantity=use.amount,
            at=now,
            received_at=now,
        )
        for change in changed
        for use in change.overage
    )
    tx.outbox.add(
        OutboxMessage(
            id=str(uuid7()),
            customer=signal.customer,
            topic=signal.kind,
            body=msgspec.json.encode(signal).decode(),
            created_at=now,
            due_at=now,
        )
        for change in changed
        for signal in change.signals
    )
    for change in changed:
        added = sum(entry.debt_delta for entry in change.entries if entry.debt_delta > 0)
        if added:
            account = change.account
            body = {"unit": account.unit, "owed": account.debt, "added": added}
            tell(tx, "credits.debt", account.customer, body, now)


def overage_id(unit: str, entry_sequence: int) -> str:
    """The id of the usage that a capture of overage is."""
    return f"{OVERAGE_PREFIX}{unit}/{entry_sequence}"
