"""The sweep of copies: what Stripe has of which there is no copy here, or another one.

For the first import of an account, and for what befell an object without an event. Copies decide
nothing. What does decide something is compared by the sweep of objects, which looks at less and is
guarded: here a copy of it is made where there is none, and that is all.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from gatekeeper.errors import (
    ConflictError,
    GatekeeperError,
    ProjectionError,
    StripeRequestError,
    UnavailableError,
)
from gatekeeper.projection.mirrored import Mirrored, project_copies
from gatekeeper.projection.shapes import SHAPES
from gatekeeper.services.mirror import save_objects
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.mirror import PERSONAL, MirrorObject
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.long_work import Held
from gatekeeper.stripe.reconciliation.money import MONEY_SINCE, owner_of_charge
from gatekeeper.stripe.reconciliation.money import SWEPT as MONEY
from gatekeeper.stripe.reconciliation.report import CopyCount, Watch, unreadable_object
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.stripe.webhooks.projecting import object_key

logger = logging.getLogger("gatekeeper.reconciliation")

DECIDING: Final = (
    *("customer", "subscription", "checkout.session", "invoice", "charge"),
    *MONEY,
)
"""Kinds whose projection means more than a copy."""

_EFFECTIVE: Final = frozenset({"review", "transfer"})
"""Kinds of whose copy something follows, in the transaction that writes what was fetched."""

ORDER: Final = (
    *("account", "customer", "product", "price", "subscription"),
    *("subscription_schedule", "checkout.session", "invoice", "payment_intent", "setup_intent"),
    *("charge", *MONEY, "review", "transfer", "application_fee", "payout"),
)
"""What belongs to another comes after it, so that it is known whose it is. Payments of invoices and
balance transactions come with what they are of. Of reviews Stripe lists those that are open."""

METHOD: Final = "payment_method"
"""Stripe lists these customer by customer."""

_FORBIDDEN: Final = 403

_STATE: Final = "copies"


class _Place(msgspec.Struct, frozen=True):
    """How far a sweep has come: the kind at hand, and the last of its objects that was seen ("" if
    none was yet)."""

    kind: str
    after: str
    since: int | None


class CopySweep:
    """Copies what is not copied yet, and mends copies that differ."""

    def __init__(self, gateway: StripeGateway, store: Store, projections: Projections) -> None:
        self._gateway = gateway
        self._store = store
        self._projections = projections

    async def run(
        self, since: datetime | None, watch: Watch, held: Held | None
    ) -> tuple[CopyCount, ...]:
        """Look at every kind that our account has, or at what of it was made since; returns what
        was found of each. Without `held` nothing is written. A sweep that was cut off goes on where
        it was. A kind that a restricted key may not list is left out, and that is logged.

        Raises:
            ConflictError, StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        begin = None if since is None else int(since.timestamp())
        at = None if held is None else _left_at(held, begin)
        kinds = ORDER if at is None else ORDER[ORDER.index(at.kind) :]
        counts = []
        for kind in kinds:
            place = _Place(kind, "", begin)
            try:
                if at is not None and at.kind == kind and await self._is_there(at):
                    place = at
                counts += await self._kind(place, watch, held)
            except StripeRequestError as error:
                if error.params.get("stripe_status") != _FORBIDDEN:
                    raise
                logger.warning("no %s was compared: the key may not list them", kind)
        if held is not None:
            await held.save(**{_STATE: None})
        return tuple(counts)

    async def _is_there(self, place: _Place) -> bool:
        """Whether the listing can go on after an object: not where it was deleted meanwhile."""
        found = await self._gateway.fetch(place.kind, place.after)
        return found is not None and not found.get("deleted")

    async def _kind(self, place: _Place, watch: Watch, held: Held | None) -> list[CopyCount]:
        kind, count, methods = place.kind, CopyCount(kind=place.kind), CopyCount(kind=METHOD)
        pages = self._gateway.pages(KINDS[kind].path, _query(place), what=f"listing a {kind}")
        async for page in pages:
            count = count.with_more(await self._page(kind, page, held))
            if kind == "customer":
                for customer in await self._store.read(partial(_ours, page=page)):
                    methods = methods.with_more(await self._methods_of(customer, held))
            watch("copies", len(page))
            if held is not None and page:
                left = msgspec.structs.replace(place, after=page[-1]["id"])
                await held.save(**{_STATE: msgspec.to_builtins(left)})
        return [count, methods] if kind == "customer" else [count]

    async def _methods_of(self, customer: str, held: Held | None) -> CopyCount:
        path = f"{KINDS['customer'].path}/{customer}/payment_methods"
        found = await self._gateway.listed(path, what="listing payment methods")
        return await self._page(METHOD, found, held)

    async def _page(self, kind: str, page: Sequence[Obj], held: Held | None) -> CopyCount:
        """Compare some objects of a kind, and write what of them is missing or differs."""
        failed: list[str] = []
        seen: dict[str, Sequence[Mirrored]] = {}
        for one in page:
            try:
                seen[one["id"]] = _read(one)
            except ProjectionError as error:
                failed.append(unreadable_object(one["id"], error))
        missing, other = await self._store.read(partial(_judge, kind=kind, page=page, seen=seen))
        if held is not None:
            effective = kind in _EFFECTIVE
            plain = [one for one in page if not effective and one["id"] in missing]
            await self._copy(kind, plain, seen)
            failed += await self._refresh(kind, [*other, *(missing if effective else ())])
        return CopyCount(
            kind=kind,
            objects=len(page),
            missing=len(missing),
            differing=len(other),
            failed=tuple(failed),
        )

    async def _copy(
        self, kind: str, page: Sequence[Obj], seen: Mapping[str, Sequence[Mirrored]]
    ) -> None:
        """Copy what has no copy, from the listing where that shows the whole of it."""
        found = {}
        for one in page:
            whole = await self._gateway.fetch(kind, one["id"]) if _is_cut(one) else None
            found[str(one["id"])] = seen[one["id"]] if whole is None else _read(whole)
        if not found:
            return
        for name in await self._store.write(partial(self._keep, kind=kind, seen=found)):
            # It was fetched while it was listed, and may be gone by now; or by a release that made
            # no copies.
            whole = await self._gateway.fetch(kind, name)
            if whole is not None and not whole.get("deleted"):
                await self._store.write(partial(_keep_missing, kind=kind, seen=_read(whole)))

    def _keep(
        self, tx: Transaction, *, kind: str, seen: Mapping[str, Sequence[Mirrored]]
    ) -> list[str]:
        """Write what was listed, under a ticket that is older than all: where anything of the
        object was ever fetched, that counts. Returns what was not written."""
        now, left = tx.now(), []
        for name in sorted(seen):
            key = object_key(kind, name, livemode=self._gateway.livemode, account=None)
            if tx.inbox.use_ticket(key, 0, terminal=False):
                save_objects(tx, seen[name], now)
            else:
                left.append(name)
        return left

    async def _refresh(self, kind: str, names: Sequence[str]) -> list[str]:
        """Bring copies up to date by a fetch; returns those that could not be."""
        failed = []
        for name in names:
            try:
                await self._projections.copies[kind].refresh(name)
            except (UnavailableError, ConflictError):
                raise
            except GatekeeperError:
                logger.exception("%s %s could not be repaired", kind, name)
                failed.append(name)
        return failed


def _keep_missing(tx: Transaction, *, kind: str, seen: Sequence[Mirrored]) -> None:
    if tx.mirror.get(kind, seen[0].id) is None:
        save_objects(tx, seen, tx.now())


def _left_at(held: Held, since: int | None) -> _Place | None:
    """Where a sweep was cut off, if it looked at the same."""
    found = held.state.get(_STATE)
    if found is None:
        return None
    place = msgspec.convert(found, _Place)
    return place if place.since == since and place.kind in ORDER else None


def _ours(tx: Transaction, *, page: Sequence[Obj]) -> list[str]:
    """Which of some Stripe customers are the host's."""
    return [one["id"] for one in page if owner_of(tx, one["id"], None) is not None]


def _query(place: _Place) -> dict[str, Any]:
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


def _read(one: Obj) -> Sequence[Mirrored]:
    """An object and what is inside of it, as copies."""
    charge = one.get("charge")
    bare = {**one, "charge": charge["id"]} if isinstance(charge, dict) else one
    return project_copies(bare, one["object"])


def _judge(
    tx: Transaction, *, kind: str, page: Sequence[Obj], seen: Mapping[str, Sequence[Mirrored]]
) -> tuple[list[str], list[str]]:
    """Of which objects there is no copy, and of which another."""
    missing, other = [], []
    recent = tx.now() - MONEY_SINCE
    for one in page:
        name = str(one["id"])
        if name not in seen:
            continue
        found, known = seen[name][0], tx.mirror.get(kind, name)
        if kind in PERSONAL and owner_of(tx, found.stripe_customer, None) is None:
            continue  # they may have been erased: nothing of them is written again
        if known is None:
            if kind not in MONEY or not _decides(tx, one, found, recent):
                missing.append(name)
        elif kind not in DECIDING and not _is_same(known, found):
            other.append(name)
    return missing, other


def _decides(tx: Transaction, one: Obj, found: Mirrored, recent: datetime) -> bool:
    """Whether something may follow from a refund, dispute or warning, so that it is for the sweep
    of money, which takes and freezes, and knows by the copy what it has done."""
    charge = one.get("charge")
    if not isinstance(charge, dict) or owner_of_charge(tx, charge) is None:
        return False
    return found.created_at is None or found.created_at >= recent


def _is_same(known: MirrorObject, found: Mirrored) -> bool:
    if known.status in SHAPES[found.kind].final and not found.final:
        return True  # it was listed before it came to its end
    ours = (known.status, known.amount_minor, known.currency, known.deleted)
    theirs = (found.status, found.amount_minor, found.currency, False)
    facts = msgspec.json.decode(msgspec.json.encode(found.facts))
    return ours == theirs and msgspec.json.decode(known.facts) == facts


def _is_cut(one: Obj) -> bool:
    """Whether a list that is copied goes on beyond what a listing shows of it."""
    copied = {"items", *(field for field, _ in SHAPES[one["object"]].inside)}
    lists = (one.get(field) for field, _ in KINDS[one["object"]].lists if field in copied)
    return any(isinstance(found, dict) and bool(found.get("has_more")) for found in lists)
