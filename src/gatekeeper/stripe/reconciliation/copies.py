"""The sweep of copies: what Stripe has of which there is no copy here, or another one.

For the first import of an account, and for what befell an object without an event.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.errors import (
    ConflictError,
    GatekeeperError,
    ProjectionError,
    StripeRequestError,
    TransactionConflictError,
    UnavailableError,
)
from gatekeeper.projection.mirrored import Mirrored
from gatekeeper.services.mirror import save_objects
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.long_work import Held
from gatekeeper.stripe.reconciliation.compared import (
    EFFECTIVE,
    METHOD,
    ORDER,
    TOLD_OF,
    Place,
    copies_in,
    is_cut,
    judge,
    query_of,
)
from gatekeeper.stripe.reconciliation.report import CopyCount, Watch, unreadable_object
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.stripe.webhooks.projecting import object_key

logger = logging.getLogger("gatekeeper.reconciliation")

_FORBIDDEN: Final = 403

_STATE: Final = "copies"


class CopySweep:
    """Copies what is not copied yet, and mends copies that differ."""

    def __init__(self, gateway: StripeGateway, store: Store, projections: Projections) -> None:
        self._gateway = gateway
        self._store = store
        self._projections = projections

    async def run(
        self, since: datetime | None, watch: Watch, held: Held | None, *, connected: bool = False
    ) -> tuple[CopyCount, ...]:
        """Look at every kind that our account has, or at what of it was made since, and then, if
        `connected`, at what the connected accounts have; returns what was found of each kind.
        Without `held` nothing is written. A sweep that was cut off goes on where it was. A kind
        that a restricted key may not list is left out, and so is an account that refuses; that is
        logged.

        Raises:
            ConflictError, StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        begin = None if since is None else int(since.timestamp())
        at = None if held is None else _left_at(held, begin)
        counts: dict[str, CopyCount] = {}
        for on in ("", *(await self._connected() if connected else ())):
            if at is not None and on < at.on:
                continue
            kinds = [kind for kind in ORDER if not on or kind != "account"]
            if at is not None and at.on == on:
                kinds = kinds[kinds.index(at.kind) :]
            for kind in kinds:
                place = Place(kind, "", begin, on)
                try:
                    if at is not None and (at.on, at.kind) == (on, kind):
                        place = at if await self._is_there(at) else place
                    found = await self._kind(place, watch, held)
                except StripeRequestError as error:
                    if not on and error.params.get("stripe_status") != _FORBIDDEN:
                        raise
                    where = f" of account {on}" if on else ""
                    logger.warning("no %s%s was compared: %s", kind, where, error)
                    continue
                for one in found:
                    counts[one.kind] = counts.get(one.kind, CopyCount(kind=one.kind)).with_more(one)
        if held is not None:
            await held.save(**{_STATE: None})
        return tuple(counts.values())

    async def _connected(self) -> list[str]:
        accounts = await self._gateway.listed("/v1/accounts", what="listing connected accounts")
        return sorted(one["id"] for one in accounts)

    async def _is_there(self, place: Place) -> bool:
        """Whether the listing can go on after an object: not where it was deleted meanwhile."""
        found = await self._gateway.fetch(place.kind, place.after, account=place.account)
        return found is not None and not found.get("deleted")

    async def _kind(self, place: Place, watch: Watch, held: Held | None) -> list[CopyCount]:
        kind, count, methods = place.kind, CopyCount(kind=place.kind), CopyCount(kind=METHOD)
        pages = self._gateway.pages(
            KINDS[kind].path, query_of(place), what=f"listing a {kind}", account=place.account
        )
        async for page in pages:
            count = count.with_more(await self._page(place, page, held))
            if kind == "customer" and not place.on:
                for customer in await self._store.read(partial(_ours, page=page)):
                    methods = methods.with_more(await self._methods_of(customer, place, held))
            watch("copies", len(page))
            if held is not None and page:
                left = replace(place, after=page[-1]["id"])
                await held.save(**{_STATE: msgspec.to_builtins(left)})
        return [count, methods] if kind == "customer" else [count]

    async def _methods_of(self, customer: str, place: Place, held: Held | None) -> CopyCount:
        path = f"{KINDS['customer'].path}/{customer}/payment_methods"
        found = await self._gateway.listed(path, what="listing payment methods")
        return await self._page(replace(place, kind=METHOD), found, held)

    async def _page(self, place: Place, page: Sequence[Obj], held: Held | None) -> CopyCount:
        """Compare some objects of a kind, and write what of them is missing or differs."""
        kind, failed = place.kind, list[str]()
        seen: dict[str, Sequence[Mirrored]] = {}
        for one in page:
            try:
                seen[one["id"]] = copies_in(one)
            except ProjectionError as error:
                failed.append(unreadable_object(one["id"], error))
        missing, other = await self._store.read(partial(judge, place=place, page=page, seen=seen))
        if held is not None:
            listed, fetched = {*missing}, [*other]
            ours: Sequence[str] = ()
            if not place.on:
                ours = await self._store.read(partial(_effective, kind, missing))
            if ours:
                listed, fetched = listed.difference(ours), [*other, *ours]
            elif kind not in TOLD_OF:
                listed, fetched = {*missing, *other}, []
            await self._copy(place, [one for one in page if one["id"] in listed], seen)
            failed += await self._refresh(place, fetched)
        return CopyCount(
            kind=kind,
            objects=len(page),
            missing=len(missing),
            differing=len(other),
            failed=tuple(failed),
        )

    async def _copy(
        self, place: Place, page: Sequence[Obj], seen: Mapping[str, Sequence[Mirrored]]
    ) -> None:
        """Copy objects from their listing, where that shows the whole of them."""
        found, fetch = {}, self._gateway.fetch
        for one in page:
            whole = None
            if is_cut(one):
                whole = await fetch(place.kind, one["id"], account=place.account)
            found[str(one["id"])] = seen[one["id"]] if whole is None else copies_in(whole)
        if not found:
            return
        for name in await self._kept(place, found):
            # It was fetched while it was listed, and may be gone by now; or by a release that made
            # no copies.
            whole = await fetch(place.kind, name, account=place.account)
            if whole is not None and not whole.get("deleted"):
                await self._store.write(partial(_keep_missing, place=place, seen=copies_in(whole)))

    async def _kept(self, place: Place, seen: Mapping[str, Sequence[Mirrored]]) -> list[str]:
        """Write what was listed; returns what was not written. Whoever works on one of these
        objects takes the same locks as we, in an order of their own: one that gave way to them is
        tried again by itself."""
        try:
            return await self._store.write(partial(self._keep, place=place, seen=seen))
        except TransactionConflictError:
            left = []
            for name in sorted(seen):
                one = partial(self._keep, place=place, seen={name: seen[name]})
                left += await self._store.write(one)
            return left

    def _keep(
        self, tx: Transaction, *, place: Place, seen: Mapping[str, Sequence[Mirrored]]
    ) -> list[str]:
        """Write what was listed, under a ticket that is older than all: where anything of the
        object was ever fetched, that counts. Returns what was not written."""
        now, left, live = tx.now(), list[str](), self._gateway.livemode
        for name in sorted(seen):
            key = object_key(place.kind, name, livemode=live, account=place.account)
            if tx.inbox.use_ticket(key, 0, terminal=False):
                save_objects(tx, seen[name], now, place.account)
            else:
                left.append(name)
        return left

    async def _refresh(self, place: Place, names: Sequence[str]) -> list[str]:
        """Bring copies up to date by a fetch; returns those that could not be."""
        failed = []
        for name in names:
            try:
                await self._projections.copies[place.kind].refresh(name, account=place.account)
            except (UnavailableError, ConflictError):
                raise
            except GatekeeperError:
                logger.exception("%s %s could not be repaired", place.kind, name)
                failed.append(name)
        return failed


def _effective(kind: str, names: Sequence[str], tx: Transaction) -> Sequence[str]:
    """From which objects more follows than a copy, so that they are fetched."""
    if kind == "payment_intent":
        return [name for name in names if tx.orders.payment(name) is not None]
    return names if kind in EFFECTIVE else ()


def _keep_missing(tx: Transaction, *, place: Place, seen: Sequence[Mirrored]) -> None:
    if tx.mirror.get(place.kind, seen[0].id, place.on) is None:
        save_objects(tx, seen, tx.now(), place.account)


def _left_at(held: Held, since: int | None) -> Place | None:
    """Where a sweep was cut off, if it looked at the same."""
    found = held.state.get(_STATE)
    if found is None:
        return None
    place = msgspec.convert(found, Place)
    return place if place.since == since and place.kind in ORDER else None


def _ours(tx: Transaction, *, page: Sequence[Obj]) -> list[str]:
    """Which of some Stripe customers are the host's."""
    return [one["id"] for one in page if owner_of(tx, one["id"], None) is not None]
