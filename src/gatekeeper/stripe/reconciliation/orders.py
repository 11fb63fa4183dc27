"""The sweep of orders: payments of which the last events never came.

Of an order that is not paid yet, its payment is looked at, or the checkout session that may have
brought one; what it has come to is repaired by the same projection as the webhook's.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from gatekeeper.errors import ProjectionError
from gatekeeper.projection import project_checkout_session
from gatekeeper.projection.mirrored import project_mirrored
from gatekeeper.storage.orders import Order
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.reconciliation.money import Compared
from gatekeeper.stripe.reconciliation.report import Drift

SINCE: Final = timedelta(days=30)
"""How old orders are that are looked at: by then a session has ended, what was held has lapsed, and
a debit has come or failed (https://docs.stripe.com/payments/sepa-debit#timing)."""

_PAGE: Final = 100


class OrderSweep:
    """Compares the payments of orders that are not paid yet."""

    def __init__(self, gateway: StripeGateway, store: Store) -> None:
        self._gateway = gateway
        self._store = store

    async def look(self, now: datetime) -> AsyncIterator[Compared]:
        """Compare, page after page; writes nothing.

        Raises:
            StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        after = ""
        while page := await self._store.read(partial(_page, after=after, since=now - SINCE)):
            yield await self._compared(page)
            after = page[-1].id

    async def _compared(self, page: Sequence[Order]) -> Compared:
        found: list[Drift] = []
        unreadable: list[tuple[str, ProjectionError]] = []
        for order in page:
            named = order.payment_id or str(order.checkout_session_id)
            try:
                if order.payment_id is None:
                    found += await self._session(order, named)
                else:
                    found += await self._payment(order, named)
            except ProjectionError as error:
                unreadable.append((named, error))
        return Compared(found, len(page), tuple(unreadable))

    async def _payment(self, order: Order, payment_id: str) -> list[Drift]:
        theirs = await self._gateway.fetch("payment_intent", payment_id)
        ours = await self._store.read(lambda tx: tx.orders.payment(payment_id))
        if theirs is None:
            return []
        seen = project_mirrored(theirs, "payment_intent")
        has = None if ours is None else f"{ours.status}, {ours.amount_minor}"
        return _drift(
            order, "payment_intent", payment_id, has, f"{seen.status}, {seen.amount_minor}"
        )

    async def _session(self, order: Order, session_id: str) -> list[Drift]:
        theirs = await self._gateway.fetch("checkout.session", session_id)
        facts = None if theirs is None else project_checkout_session(theirs)
        if facts is None or facts.status != "complete":
            return []
        return _drift(order, "checkout.session", session_id, str(order.status), "complete")


def _drift(order: Order, kind: str, name: str, ours: str | None, theirs: str) -> list[Drift]:
    if ours == theirs:
        return []
    return [
        Drift(
            kind=kind,
            id=name,
            customer=order.customer,
            field="status",
            ours=ours,
            theirs=theirs,
        )
    ]


def _page(tx: Transaction, *, after: str, since: datetime) -> Sequence[Order]:
    return tx.orders.unsettled_after(after, since, _PAGE)
