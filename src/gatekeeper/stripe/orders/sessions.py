"""Checkout sessions of orders: Stripe's own page, with one line made from the order."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gatekeeper.errors import PaymentStateError, StripeRequestError
from gatekeeper.services import orders
from gatekeeper.storage.orders import Order
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.checkout_params import check_url
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.orders import params
from gatekeeper.stripe.orders.intents import OrderIntents
from gatekeeper.stripe.orders.values import OrderCheckout, PayOptions
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.webhooks import Projections

MAKE: Final = "order sessions create"
EXPIRE: Final = "order sessions expire"


class OrderSessions:
    """The checkout sessions of orders. An order is paid in one way at a time: beginning one ends
    the other first."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        outgoing: OutgoingRequests,
        projections: Projections,
        intents: OrderIntents,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._outgoing = outgoing
        self._projections = projections
        self._intents = intents
        self._identities = StripeIdentities(gateway, outgoing, store)
        outgoing.on_resumed(MAKE, _keep, look=self._look)
        outgoing.on_resumed(EXPIRE, None, look=self._as_it_is, looks_first=True)

    async def begin(
        self, order_id: str, customer: str, options: PayOptions, success_url: str, cancel_url: str
    ) -> OrderCheckout:
        """See `OrderDesk.checkout`."""
        urls = (success_url, cancel_url)
        for url in urls:
            check_url(url)
        order = await self._owned(order_id, customer)
        if not orders.is_open(order):
            raise orders.closed(order)
        destination = await self._intents.destination(order)
        stripe_customer = await self._identities.ensure(customer)
        tried = order.checkout_session_id or "first"
        key = params.key_of(
            *("session", order.id, order.revision, order.payment_id, tried),
            *(stripe_customer, destination, options, urls),
        )
        asked = params.session(order, stripe_customer, destination, options, urls, key)
        running = await self._running(order, asked)
        if running is not None:
            return OrderCheckout(order=order.id, session_id=running["id"], url=running["url"])
        await self.close(order)
        await self._intents.let_go(order)
        made = await self._create(order, asked, key)
        kept = await self._owned(order_id, customer)
        if kept.checkout_session_id != made["id"] or kept.revision != order.revision:
            await self._expire(kept, made["id"])
            raise PaymentStateError("The order is being changed; try again.", status=kept.status)
        return OrderCheckout(order=order.id, session_id=made["id"], url=made["url"])

    async def close(self, order: Order) -> None:
        """End the session in which an order may be paid, if one is open.

        Raises:
            PaymentStateError: it was completed.
            StripeUnavailableError, StripeRequestError.
        """
        session_id = order.checkout_session_id
        found = None
        if session_id is not None and order.payment_id is None:
            found = await self._gateway.fetch("checkout.session", session_id)
        if found is None or found["status"] == "expired":
            return
        if found["status"] == "open":
            try:
                await self._expire(order, found["id"])
            except StripeRequestError:  # it was completed just now, or somebody else has ended it
                now = await self._gateway.fetch("checkout.session", found["id"])
                if now is not None and now["status"] == "expired":
                    return
            else:
                return
        await self.refresh(order)
        raise PaymentStateError("The order was paid at checkout.", status="complete")

    async def refresh(self, order: Order) -> None:
        """Find out what has become of an order's session, as by the webhook."""
        if order.checkout_session_id is None:
            return
        await self._projections.checkouts.refresh(order.checkout_session_id)
        known = await self._store.read(lambda tx: tx.orders.get(order.id))
        if known is not None and known.payment_id is not None:
            await self._intents.refresh(known.payment_id)

    async def _running(self, order: Order, asked: dict[str, Any]) -> Obj | None:
        """The order's session, if it is open and the same is asked for."""
        if order.checkout_session_id is None or order.payment_id is not None:
            return None
        found = await self._gateway.fetch("checkout.session", order.checkout_session_id)
        if found is None or found["status"] != "open":
            return None
        made_for = (found.get("metadata") or {}).get(params.TERMS)
        return found if made_for == asked["metadata"][params.TERMS] else None

    async def _create(self, order: Order, asked: dict[str, Any], key: str) -> Obj:
        def settle(tx: Transaction, made: Obj) -> Obj:
            _attach(tx, order.id, made["id"])
            return made

        return await self._outgoing.post(
            MAKE,
            "/v1/checkout/sessions",
            asked,
            customer=order.customer,
            idempotency_key=key,
            settle=settle,
            keeps_trying=False,  # its customer has been told that it failed
        )

    async def _expire(self, order: Order, session_id: str) -> None:
        await self._outgoing.post(
            EXPIRE,
            f"/v1/checkout/sessions/{session_id}/expire",
            {},
            customer=order.customer,
            settle=lambda *_: None,
            keeps_trying=False,
        )

    async def _owned(self, order_id: str, customer: str) -> Order:
        return await self._store.read(lambda tx: orders.owned(tx, order_id, customer))

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The session that a request has made, if it is open still."""
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        query = {"customer": asked["customer"], "status": "open"}
        what = "listing checkout sessions"
        async for page in self._gateway.pages("/v1/checkout/sessions", query, what=what):
            for found in page:
                made_by = (found.get("metadata") or {}).get(params.REQUEST)
                if made_by == asked["metadata"][params.REQUEST]:
                    return found
        return None

    async def _as_it_is(self, request: OutgoingRequest) -> Obj | None:
        """A session that was to end: whoever asked was told that it failed."""
        session_id = request.path.split("/")[4]
        return await self._gateway.fetch("checkout.session", session_id) or {"id": None}


def _attach(tx: Transaction, order_id: str, session_id: str) -> None:
    known = tx.orders.get(order_id, lock=True)
    if known is not None and known.payment_id is None and known.canceled_at is None:
        wanted = replace(known, checkout_session_id=session_id)
        orders.write(tx, known, wanted, tx.now())


def _keep(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    """The process died before it heard of the session: the order gets it all the same."""
    asked: dict[str, Any] = msgspec.json.decode(request.params)
    _attach(tx, asked["client_reference_id"], made["id"])
