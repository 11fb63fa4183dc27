"""Copies of Stripe's objects: from what a projection read to rows."""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from gatekeeper.projection.mirrored import Mirrored
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction


def save_object(
    tx: Transaction, seen: Mirrored, now: datetime, account: str | None = None
) -> MirrorObject:
    """Write an object as it was fetched, with the host's customer whose it is: by Stripe's
    customer, else by its parent's row, else as it was known before. Customers of connected
    accounts are not the host's."""
    on = account or ""
    owner = owner_of(tx, seen.stripe_customer, None) if not on else None
    customer = None if owner is None else owner.id
    if customer is None and not on:
        known = tx.mirror.get(seen.kind, seen.id)
        above = None if seen.parent is None else tx.mirror.get(*seen.parent.split("/", 1))
        customer = next((one.customer for one in (above, known) if one and one.customer), None)
    row = MirrorObject(
        kind=seen.kind,
        id=seen.id,
        account=on,
        customer=customer,
        stripe_customer=seen.stripe_customer,
        parent=seen.parent,
        status=seen.status,
        amount_minor=seen.amount_minor,
        currency=seen.currency,
        created_at=seen.created_at,
        facts=msgspec.json.encode(seen.facts).decode(),
        seen_at=now,
    )
    tx.mirror.put(row)
    return row


def bury_object(
    tx: Transaction, kind: str, object_id: str, now: datetime, account: str | None = None
) -> MirrorObject | None:
    """Note that Stripe has an object no more; what was known of it stays. None if nothing was."""
    known = tx.mirror.get(kind, object_id, account or "")
    if known is None:
        return None
    gone = replace(known, deleted=True, seen_at=now)
    tx.mirror.put(gone)
    return gone
