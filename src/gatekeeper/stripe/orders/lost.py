"""Requests about the payments of orders whose end is not known: how each is made good."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from gatekeeper.services import orders
from gatekeeper.storage.orders import OrderPayment
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.orders import params

Refresh = Callable[[str], Awaitable[Obj | None]]
"""Reads a payment, and writes what follows from it."""


class LostPayments:
    """Asks Stripe what has become of a request."""

    def __init__(self, gateway: StripeGateway, refresh: Refresh) -> None:
        self._gateway = gateway
        self._refresh = refresh

    async def look(self, request: OutgoingRequest) -> Obj | None:
        """The payment that a request has made."""
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        of = {"customer": asked["customer"]}
        async for page in self._gateway.pages("/v1/payment_intents", of, what="listing payments"):
            for found in page:
                if (found.get("metadata") or {}).get(params.REQUEST) == (
                    asked["metadata"][params.REQUEST]
                ):
                    return found
        return None

    async def as_it_is(self, request: OutgoingRequest) -> Obj | None:
        """The payment as it is: what it was asked for is not done any more."""
        return await self._refresh(_named_in(request)) or {"id": None}

    async def captured(self, request: OutgoingRequest) -> Obj | None:
        """The payment, once it was captured, or can't be any more."""
        found = await self._refresh(_named_in(request))
        return None if found is not None and found["status"] == "requires_capture" else found


def attach(tx: Transaction, order_id: str, made: Obj) -> None:
    """Note that a payment was made for an order."""
    order = tx.orders.get(order_id, lock=True)
    if order is None:
        return
    payment = OrderPayment(
        id=made["id"],
        order_id=order.id,
        customer=order.customer,
        status=made["status"],
        amount_minor=made["amount"],
        currency=made["currency"],
        created_at=datetime.fromtimestamp(made["created"], UTC),
    )
    orders.attach(tx, order, payment, tx.now())


def keep(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    """The process died before it heard of the payment: the order gets it all the same."""
    asked: dict[str, Any] = msgspec.json.decode(request.params)
    attach(tx, asked["metadata"]["gatekeeper_order"], made)


def _named_in(request: OutgoingRequest) -> str:
    return request.path.split("/")[3]
