"""The sweep: compare what we keep with what Stripe lists, for changes that never made an event."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple

from gatekeeper.errors import (
    GatekeeperError,
    ProjectionError,
    SweepStoppedError,
    UnavailableError,
)
from gatekeeper.projection import (
    InvoiceFacts,
    SubscriptionFacts,
    project_checkout_session,
    project_invoice,
    project_subscription,
)
from gatekeeper.projection.mirrored import project_mirrored
from gatekeeper.services.drift import GIVING_ACCESS, Difference, differences
from gatekeeper.services.history import Because
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Purchase, Subscription
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.long_work import Held
from gatekeeper.stripe.reconciliation.invoices import InvoiceSweep
from gatekeeper.stripe.reconciliation.money import MoneySweep
from gatekeeper.stripe.reconciliation.orders import OrderSweep
from gatekeeper.stripe.reconciliation.report import Drift, Watch, unreadable_object
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.stripe.webhooks.handlers.context import nothing
from gatekeeper.stripe.webhooks.handlers.money import WARNING

logger = logging.getLogger("gatekeeper.reconciliation")

MAX_REVOKED_PER_CENT: Final = 1
MIN_REVOKED: Final = 5
"""So many subscriptions may end in a sweep, however few there are."""

SWEPT: Final = Because("reconciliation")

_PAGE: Final = 200
_GONE: Final = "gone"


class Found(NamedTuple):
    """What a sweep has seen: the drift, how much was looked at, and the ids of what is not as
    Stripe's objects are, which holds up nothing else."""

    drift: list[Drift]
    objects: int
    running: int
    strangers: int
    unreadable: tuple[str, ...] = ()


class ObjectSweep:
    """Compares subscriptions, recent invoices, what was taken off charges, and open checkouts, and
    repairs what differs."""

    def __init__(self, gateway: StripeGateway, store: Store, projections: Projections) -> None:
        self._gateway = gateway
        self._store = store
        self._projections = projections
        self._invoices = InvoiceSweep(gateway, store)
        self._money = MoneySweep(gateway, store)
        self._orders = OrderSweep(gateway, store)

    async def look(self, watch: Watch, held: Held | None) -> Found:
        """Compare; writes nothing.

        Raises:
            StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        drift: list[Drift] = []
        seen: set[str] = set()
        unreadable: list[str] = []
        strangers = objects = running = 0
        query = {"status": "all", "expand": ["data.latest_invoice"]}
        async for page in self._gateway.pages(
            "/v1/subscriptions", query, what="listing subscriptions"
        ):
            for found in page:
                seen.add(found["id"])
                try:
                    compared = await self._compare(found)
                except ProjectionError as error:
                    unreadable.append(unreadable_object(found["id"], error))
                    continue
                if compared is None:
                    strangers += 1
                    continue
                objects += 1
                drift += compared
            watch("subscriptions", len(page))
            await _keep(held)
        async for ours in self._running():
            running += 1
            if ours.id in seen:
                continue
            objects += 1
            try:
                listed = await self._gateway.fetch("subscription", ours.id)
                drift += [_gone(ours)] if listed is None else await self._compare(listed) or []
            except ProjectionError as error:
                unreadable.append(unreadable_object(ours.id, error))
            await _keep(held)
        now = await self._store.read(lambda tx: tx.now())
        for what, pages in (
            ("invoices", self._invoices.look(now)),
            ("refunds and disputes", self._money.look(now)),
            ("orders", self._orders.look(now)),
        ):
            async for part in pages:
                objects += part.objects
                drift += part.drift
                unreadable += [unreadable_object(name, error) for name, error in part.unreadable]
                watch(what, part.objects)
                await _keep(held)
        async for purchase in self._pending():
            objects += 1
            try:
                drift += await self._checkout(purchase)
            except ProjectionError as error:
                unreadable.append(unreadable_object(str(purchase.checkout_session_id), error))
            watch("checkouts", 1)
            await _keep(held)
        return Found(drift, objects, running, strangers, tuple(unreadable))

    def guard(self, found: Found) -> None:
        """Stop a sweep that would take access from more than 1 % of all (DESIGN section 9): a
        wrong key or a fault of ours is likelier than so many cancellations without an event.

        Raises:
            SweepStoppedError: nothing has been changed.
        """
        ending = {one.id for one in found.drift if one.revokes}
        allowed = max(MIN_REVOKED, found.running * MAX_REVOKED_PER_CENT // 100)
        if len(ending) > allowed:
            error = SweepStoppedError(
                f"The sweep would take access from {len(ending)} of {found.running} running "
                f"subscriptions, which is more than {allowed}: nothing was changed. Look at it "
                "with --dry-run; if it is right, repeat it with --allow-revocations."
            )
            logger.error("the sweep was stopped: %s", error)
            raise error

    async def repair(self, drift: Sequence[Drift], held: Held) -> list[str]:
        """Bring every object that differs up to date; returns the ids of those that failed.

        Raises:
            UnavailableError: Stripe or the database can't be reached; the next run goes on.
        """
        failed = []
        for kind, object_id, repairs in dict.fromkeys(
            (one.kind, one.id, one.repairs) for one in drift
        ):
            try:
                await self._repair(kind, object_id, repairs)
            except UnavailableError:
                raise
            except GatekeeperError:
                logger.exception("%s %s could not be repaired", kind, object_id)
                failed.append(object_id)
            await _keep(held)
        return failed

    async def _repair(self, kind: str, object_id: str, charge_id: str | None) -> None:
        projections = self._projections
        if kind == "subscription":
            await projections.subscriptions.refresh(object_id, because=SWEPT)
        elif kind == "invoice":
            await projections.invoices.refresh(object_id, because=SWEPT)
        elif kind == "checkout.session":
            await projections.checkouts.refresh(object_id, because=SWEPT)
            ordered = await self._store.read(lambda tx: tx.orders.by_session(object_id))
            if ordered is not None and ordered.payment_id is not None:
                await projections.copies["payment_intent"].refresh(ordered.payment_id)
        elif kind == "payment_intent":
            await projections.copies[kind].refresh(object_id)
        elif charge_id is not None:
            found = await self._gateway.fetch(kind, object_id) if kind == WARNING else None
            warning = None if found is None else project_mirrored(found, WARNING)
            await projections.money.refresh(charge_id, nothing, warning=warning, because=SWEPT)

    async def _compare(self, found: Obj) -> list[Drift] | None:
        """How a listed subscription differs from our copy; None if it is a stranger's."""
        facts = project_subscription(found)
        if facts.has_more_items:
            found = await self._gateway.fetch("subscription", facts.id) or found
            facts = project_subscription(found)
        latest = found.get("latest_invoice")
        invoice = project_invoice(latest) if isinstance(latest, dict) else None
        return await self._store.read(lambda tx: _drift_of(tx, facts, invoice))

    async def _checkout(self, purchase: Purchase) -> list[Drift]:
        """What a pending purchase's session has come to; one that is open has not drifted."""
        session_id = str(purchase.checkout_session_id)
        session = await self._gateway.fetch("checkout.session", session_id)
        if session is None:
            return []
        facts = project_checkout_session(session)
        if not facts.is_settled and facts.status != "expired":
            return []
        return [
            Drift(
                kind="checkout.session",
                id=session_id,
                customer=purchase.customer,
                field="status",
                ours=str(purchase.status),
                theirs="paid" if facts.is_settled else facts.status,
            )
        ]

    async def _running(self) -> AsyncIterator[Subscription]:
        after = ""
        while page := await self._store.read(_running_page(after)):
            for one in page:
                yield one
            after = page[-1].id

    async def _pending(self) -> AsyncIterator[Purchase]:
        after = ""
        while page := await self._store.read(_pending_page(after)):
            for one in page:
                yield one
            after = page[-1].id


def _running_page(after: str) -> Callable[[Transaction], Sequence[Subscription]]:
    return lambda tx: tx.subscriptions.running_after(after, _PAGE)


def _pending_page(after: str) -> Callable[[Transaction], Sequence[Purchase]]:
    return lambda tx: tx.purchases.pending_after(after, _PAGE)


def _drift_of(
    tx: Transaction, facts: SubscriptionFacts, latest: InvoiceFacts | None
) -> list[Drift] | None:
    owner = owner_of(tx, facts.customer, facts.id)
    if owner is None:
        return None
    stored = tx.subscriptions.get(facts.id)
    found = differences(facts, latest, stored, tx.subscriptions.items(facts.id))
    return [_drift(facts.id, owner.id, one) for one in found]


def _drift(subscription_id: str, customer: str, found: Difference) -> Drift:
    return Drift(
        kind="subscription",
        id=subscription_id,
        customer=customer,
        field=found.field,
        ours=found.ours,
        theirs=found.theirs,
        revokes=_revokes(found),
    )


def _revokes(found: Difference) -> bool:
    """Whether to follow Stripe here takes something away: the subscription, one of its items, or
    all of it for as long as its collection is paused."""
    if found.field == "status":
        return found.ours in GIVING_ACCESS and found.theirs not in GIVING_ACCESS
    if found.field == "collection_paused":
        return found.theirs == str(True)
    return found.theirs is None and found.field.count(".") == 1 and found.field.startswith("items.")


def _gone(ours: Subscription) -> Drift:
    """A subscription that Stripe neither lists nor finds."""
    return _drift(ours.id, ours.customer, Difference("status", ours.status, _GONE))


async def _keep(held: Held | None) -> None:
    if held is not None:
        await held.save()
