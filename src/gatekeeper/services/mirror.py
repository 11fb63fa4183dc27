"""Copies of Stripe's objects: from what a projection read to rows."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from gatekeeper.projection.mirrored import Mirrored
from gatekeeper.projection.shapes import SHAPES
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer


def link(tx: Transaction, customer: Customer, stripe_id: str) -> None:
    """Note which of Stripe's customers a customer of the host's, whose row is locked, is; what was
    copied of theirs before is the customer's from now on."""
    tx.customers.save(replace(customer, stripe_id=stripe_id))
    tx.mirror.adopt(stripe_id, customer.id)


def save_objects(
    tx: Transaction,
    seen: Sequence[Mirrored],
    now: datetime,
    account: str | None = None,
    owner: Customer | None = None,
) -> Sequence[MirrorObject]:
    """Write objects that were fetched together, what others belong to first. Returns their rows as
    they are then. `owner` is the host's customer whose all of them are, where that is known."""
    return [save_object(tx, one, now, account, owner) for one in seen]


def save_object(
    tx: Transaction,
    seen: Mirrored,
    now: datetime,
    account: str | None = None,
    owner: Customer | None = None,
) -> MirrorObject:
    """Write an object as it was fetched, with the host's customer whose it is: `owner`, else by
    Stripe's customer, else by its parent's row, else as it was known before. Customers of connected
    accounts are not the host's.

    What has come to a final status stays there: an object that was fetched inside of another may be
    older than what is known of it.
    """
    on = account or ""
    if owner is None and not on:
        owner = owner_of(tx, seen.stripe_customer, None)
    known = None
    if owner is None or (SHAPES[seen.kind].final and not seen.final):
        known = tx.mirror.get(seen.kind, seen.id, on)
    if known is not None and not seen.final and known.status in SHAPES[seen.kind].final:
        return known
    customer, stripe_customer = None, seen.stripe_customer
    if owner is not None:
        customer, theirs = owner.id, owner.stripe_id
    elif on or (heir := _known_owner(tx, seen, known)) is None:
        theirs = stripe_customer
    else:
        customer, theirs = heir.customer, heir.stripe_customer
    if theirs is None:  # they were erased: nothing may lead back to them
        stripe_customer = None
    row = MirrorObject(
        kind=seen.kind,
        id=seen.id,
        account=on,
        customer=customer,
        stripe_customer=stripe_customer,
        parent=seen.parent or (None if known is None else known.parent),
        status=seen.status,
        amount_minor=seen.amount_minor,
        currency=seen.currency,
        created_at=seen.created_at,
        facts=msgspec.json.encode(seen.facts).decode(),
        seen_at=now,
    )
    tx.mirror.put(row)
    return row


def _known_owner(
    tx: Transaction, seen: Mirrored, known: MirrorObject | None
) -> MirrorObject | None:
    """The row that tells whose an object is: its parent's, else its own of before."""
    above = None if seen.parent is None else tx.mirror.get(*seen.parent.split("/", 1))
    return next((one for one in (above, known) if one is not None and one.customer), None)


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
