"""What is compared with its copy, in which order, and what differs.

Copies decide nothing. What does decide something is compared by the sweep of objects, which looks
at less and is guarded: here a copy of it is made where there is none, and that is all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from gatekeeper.projection.mirrored import Mirrored, project_copies
from gatekeeper.projection.shapes import SHAPES
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.mirror import PERSONAL, MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.reconciliation.money import MONEY_SINCE, owner_of_charge
from gatekeeper.stripe.reconciliation.money import SWEPT as MONEY
from gatekeeper.stripe.webhooks.handlers.money import WARNING

DECIDING: Final = (
    *("customer", "subscription", "checkout.session", "invoice", "charge"),
    *MONEY,
)
"""Kinds of our own account whose projection means more than a copy."""

EFFECTIVE: Final = frozenset({"review", "transfer"})
"""Kinds of whose copy something follows, in the transaction that writes what was fetched."""

ORDER: Final = (
    *("account", "customer", "product", "price", "subscription"),
    *("subscription_schedule", "checkout.session", "invoice", "payment_intent", "setup_intent"),
    *("charge", *MONEY, "review", "transfer", "application_fee", "payout", "balance_transaction"),
)
"""What belongs to another comes after it, so that it is known whose it is. Payments of invoices
come with them, and balance transactions with what they are of; those of nothing else come last. Of
reviews Stripe lists those that are open."""

TOLD_OF: Final = frozenset(ORDER) - {"balance_transaction"}
"""Kinds of which there are events, and fetches under tickets."""

METHOD: Final = "payment_method"
"""Stripe lists these customer by customer."""


class Place(msgspec.Struct, frozen=True):
    """How far a sweep has come: the account ("" is our own) and kind at hand, and the last of its
    objects that was seen ("" if none was yet)."""

    kind: str
    after: str
    since: int | None
    on: str = ""

    @property
    def account(self) -> str | None:
        """As requests name it."""
        return self.on or None


def query_of(place: Place) -> dict[str, Any]:
    """What to ask a kind's listing for."""
    expand = [*KINDS[place.kind].expand] if SHAPES[place.kind].inside else []
    if place.kind in MONEY:
        expand.append("charge")
    query: dict[str, Any] = {"expand": [f"data.{name}" for name in expand]} if expand else {}
    if place.kind == "subscription":
        query["status"] = "all"
    if place.since is not None:
        query["created"] = {"gte": place.since}
    if place.after:
        query["starting_after"] = place.after
    return query


def copies_in(one: Obj) -> Sequence[Mirrored]:
    """An object and what is inside of it, as copies."""
    charge = one.get("charge")
    bare = {**one, "charge": charge["id"]} if isinstance(charge, dict) else one
    return project_copies(bare, one["object"])


def judge(
    tx: Transaction, *, place: Place, page: Sequence[Obj], seen: Mapping[str, Sequence[Mirrored]]
) -> tuple[list[str], list[str]]:
    """Of which objects there is no copy, and of which another."""
    missing, other, kind, ours = [], [], place.kind, not place.on
    recent = tx.now() - MONEY_SINCE
    for one in page:
        name = str(one["id"])
        if name not in seen:
            continue
        found, known = seen[name][0], tx.mirror.get(kind, name, place.on)
        if ours and kind in PERSONAL and owner_of(tx, found.stripe_customer, None) is None:
            continue  # they may have been erased: nothing of them is written again
        if known is None:
            if not (ours and kind in MONEY and _decides(tx, one, found, recent)):
                missing.append(name)
        elif not (ours and kind in DECIDING) and not _is_same(known, found):
            other.append(name)
    return missing, other


def _decides(tx: Transaction, one: Obj, found: Mirrored, recent: datetime) -> bool:
    """Whether something may follow from a refund, dispute or warning, so that it is for the sweep
    of money, which takes and freezes, and knows by the copy what it has done. A warning is, whoever
    it is of: they may become the host's customer, and are to be frozen for it then."""
    if found.created_at is not None and found.created_at < recent:
        return False
    charge = one.get("charge")
    theirs = isinstance(charge, dict) and owner_of_charge(tx, charge) is not None
    return theirs or found.kind == WARNING


def _is_same(known: MirrorObject, found: Mirrored) -> bool:
    if known.status in SHAPES[found.kind].final and not found.final:
        return True  # it was listed before it came to its end
    ours = (known.status, known.amount_minor, known.currency, known.deleted)
    theirs = (found.status, found.amount_minor, found.currency, False)
    facts = msgspec.json.decode(msgspec.json.encode(found.facts))
    return ours == theirs and msgspec.json.decode(known.facts) == facts


def is_cut(one: Obj) -> bool:
    """Whether a list that is copied goes on beyond what a listing shows of it."""
    copied = {"items", *(field for field, _ in SHAPES[one["object"]].inside)}
    lists = (one.get(field) for field, _ in KINDS[one["object"]].lists if field in copied)
    return any(isinstance(found, dict) and bool(found.get("has_more")) for found in lists)
