"""The sweep of invoices: what was paid, and what it has bought.

A subscription shows its latest invoice alone; what those before have paid for is nowhere else.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from gatekeeper.errors import ProjectionError
from gatekeeper.projection import InvoiceFacts, project_invoice
from gatekeeper.services.drift import Difference, invoice_differences
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.reconciliation.money import Compared
from gatekeeper.stripe.reconciliation.report import Drift

INVOICES_SINCE: Final = timedelta(days=62)
"""How old the invoices are that are looked at: those of this monthly period and of the last."""


class InvoiceSweep:
    """Compares recent invoices."""

    def __init__(self, gateway: StripeGateway, store: Store) -> None:
        self._gateway = gateway
        self._store = store

    async def look(self, now: datetime) -> AsyncIterator[Compared]:
        """Compare, page after page, without drafts, which say nothing yet; writes nothing.

        Raises:
            StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        query: dict[str, Any] = {"created": {"gte": int((now - INVOICES_SINCE).timestamp())}}
        async for page in self._gateway.pages("/v1/invoices", query, what="listing invoices"):
            found: list[InvoiceFacts] = []
            unreadable: list[tuple[str, ProjectionError]] = []
            for one in page:
                if one["status"] == "draft":
                    continue
                try:
                    found.append(await self._whole(one))
                except ProjectionError as error:
                    unreadable.append((one["id"], error))
            compared = await self._store.read(partial(_compared, page=found))
            yield compared._replace(unreadable=tuple(unreadable))

    async def _whole(self, found: Obj) -> InvoiceFacts:
        """A listing has the first ten lines of each invoice."""
        facts = project_invoice(found)
        if not facts.has_more_lines or not facts.is_paid:
            return facts
        whole = await self._gateway.fetch("invoice", facts.id)
        return facts if whole is None else project_invoice(whole)


def _compared(tx: Transaction, *, page: list[InvoiceFacts]) -> Compared:
    found: list[Drift] = []
    objects = 0
    for facts in page:
        owner = owner_of(tx, facts.customer, facts.subscription_id)
        if owner is None:
            continue
        objects += 1
        found += [_drift(facts, owner.id, one) for one in _differences(tx, facts)]
    return Compared(found, objects)


def _differences(tx: Transaction, facts: InvoiceFacts) -> tuple[Difference, ...]:
    named = {facts.subscription_id, *(line.subscription_id for line in facts.lines)}
    items = [
        item
        for name in sorted(name for name in named if name is not None)
        for item in tx.subscriptions.items(name)
    ]
    return invoice_differences(facts, tx.subscriptions.invoice(facts.id), items)


def _drift(facts: InvoiceFacts, customer: str, found: Difference) -> Drift:
    return Drift(
        kind="invoice",
        id=facts.id,
        customer=customer,
        field=found.field,
        ours=found.ours,
        theirs=found.theirs,
    )
