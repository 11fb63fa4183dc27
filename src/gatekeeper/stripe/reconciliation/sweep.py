"""The sweep: compare what we keep with what Stripe lists, for changes that never made an event."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from gatekeeper.errors import GatekeeperError, SweepStoppedError, UnavailableError
from gatekeeper.projection import (
    InvoiceFacts,
    SubscriptionFacts,
    project_checkout_session,
    project_invoice,
    project_subscription,
)
from gatekeeper.services.drift import GIVING_ACCESS, Difference, differences
from gatekeeper.services.history import Because
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Purchase, Subscription
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.long_work import Held
from gatekeeper.stripe.reconciliation.report import Drift, Watch
from gatekeeper.stripe.webhooks import Projections

logger = logging.getLogger("gatekeeper.reconciliation")

MAX_REVOKED_PER_CENT: Final = 1
MIN_REVOKED: Final = 5
"""So many subscriptions may end in a sweep, however few there are."""

INVOICES_SINCE: Final = timedelta(days=62)
"""How old the invoices are that are looked at: those of this monthly period and of the last."""

SWEPT: Final = Because("reconciliation")

_PAGE: Final = 200
_GONE: Final = "gone"


class Found(NamedTuple):
    """What a sweep has seen: the drift, and how much was looked at."""

    drift: list[Drift]
    objects: int
    running: int
    strangers: int


class ObjectSweep:
    """Compares subscriptions, recent invoices and open checkouts, and repairs what differs."""

    def __init__(self, gateway: StripeGateway, store: Store, projections: Projections) -> None:
        self._gateway = gateway
        self._store = store
        self._projections = projections

    async def look(self, watch: Watch, held: Held | None) -> Found:
        """Compare; writes nothing.

        Raises:
            StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        drift: list[Drift] = []
        seen: set[str] = set()
        strangers = objects = running = 0
        query = {"status": "all", "expand": ["data.latest_invoice"]}
        async for page in self._gateway.pages(
            "/v1/subscriptions", query, what="listing subscriptions"
        ):
            for found in page:
                compared = await self._compare(found)
                if compared is None:
                    strangers += 1
                    continue
                seen.add(found["id"])
                objects += 1
                drift += compared
            watch("subscriptions", len(page))
            await _keep(held)
        async for ours in self._running():
            running += 1
            if ours.id in seen:
                continue
            objects += 1
            listed = await self._gateway.fetch("subscription", ours.id)
            drift += [_gone(ours)] if listed is None else await self._compare(listed) or []
            await _keep(held)
        async for bills in self._recent_invoices(await self._store.read(lambda tx: tx.now())):
            looked_at = await self._store.read(partial(_invoice_drift, page=bills))
            objects += looked_at.objects
            drift += looked_at.drift
            watch("invoices", len(bills))
            await _keep(held)
        async for purchase in self._pending():
            objects += 1
            drift += await self._checkout(purchase)
            watch("checkouts", 1)
            await _keep(held)
        return Found(drift, objects, running, strangers)

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
            logger.error("%s", error)
            raise error

    async def repair(self, drift: Sequence[Drift], held: Held) -> list[str]:
        """Bring every object that differs up to date; returns the ids of those that failed.

        Raises:
            UnavailableError: Stripe or the database can't be reached; the next run goes on.
        """
        failed = []
        for kind, object_id in dict.fromkeys((one.kind, one.id) for one in drift):
            try:
                if kind == "subscription":
                    await self._projections.subscriptions.refresh(object_id, because=SWEPT)
                elif kind == "invoice":
                    await self._projections.invoices.refresh(object_id, because=SWEPT)
                else:
                    await self._projections.checkouts.refresh(object_id, because=SWEPT)
            except UnavailableError:
                raise
            except GatekeeperError:
                logger.exception("%s %s could not be repaired", kind, object_id)
                failed.append(object_id)
            await _keep(held)
        return failed

    async def _compare(self, found: Obj) -> list[Drift] | None:
        """How a listed subscription differs from our copy; None if it is a stranger's."""
        if found["items"].get("has_more"):
            found = await self._gateway.fetch("subscription", found["id"]) or found
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

    async def _recent_invoices(self, now: datetime) -> AsyncIterator[Sequence[InvoiceFacts]]:
        """The invoices that may still matter, without drafts, which say nothing yet. What they
        paid for is nowhere else: a subscription shows its latest invoice alone."""
        query = {"created": {"gte": int((now - INVOICES_SINCE).timestamp())}}
        async for page in self._gateway.pages("/v1/invoices", query, what="listing invoices"):
            yield [project_invoice(found) for found in page if found["status"] != "draft"]

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


class _Compared(NamedTuple):
    drift: list[Drift]
    objects: int


def _invoice_drift(tx: Transaction, *, page: Sequence[InvoiceFacts]) -> _Compared:
    """The invoices of our customers whose status we have otherwise, or which we don't have."""
    found = []
    objects = 0
    for facts in page:
        owner = owner_of(tx, facts.customer, facts.subscription_id)
        if owner is None:
            continue
        objects += 1
        ours = tx.subscriptions.invoice(facts.id)
        if ours is None or ours.status != facts.status:
            found.append(
                Drift(
                    kind="invoice",
                    id=facts.id,
                    customer=owner.id,
                    field="status",
                    ours=None if ours is None else ours.status,
                    theirs=facts.status,
                )
            )
    return _Compared(found, objects)


def _drift(subscription_id: str, customer: str, found: Difference) -> Drift:
    revokes = (
        found.field == "status"
        and found.ours in GIVING_ACCESS
        and found.theirs not in GIVING_ACCESS
    )
    return Drift(
        kind="subscription",
        id=subscription_id,
        customer=customer,
        field=found.field,
        ours=found.ours,
        theirs=found.theirs,
        revokes=revokes,
    )


def _gone(ours: Subscription) -> Drift:
    """A subscription that Stripe neither lists nor finds."""
    return _drift(ours.id, ours.customer, Difference("status", ours.status, _GONE))


async def _keep(held: Held | None) -> None:
    if held is not None:
        await held.save()
