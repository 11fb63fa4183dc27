"""What is done, by policy, about a plan that was paid twice: the later subscription is canceled,
and its money given back.

It is a receiver of the signal that tells of it: called until it has succeeded, and each of its
steps is done once, however often it is called. The refund is a stored request.
"""

from typing import Final

import msgspec

from gatekeeper.errors import StripeRequestError
from gatekeeper.services.outbox import Signal
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests

NAME: Final = "gatekeeper.duplicates"
"""The receiver's name in the outbox."""

REFUND: Final = "refunds create"


class DuplicateRefunds:
    """Cancels and refunds duplicates."""

    def __init__(self, gateway: StripeGateway, outgoing: OutgoingRequests) -> None:
        self._gateway = gateway
        self._outgoing = outgoing
        outgoing.on_resumed(REFUND, None, look=self._look)

    async def settle(self, signal: Signal) -> None:
        """End the duplicate that a signal tells of, and refund what was paid for it.

        Raises:
            StripeUnavailableError, StripeRequestError: it is called again.
        """
        body = signal.body
        await self._gateway.cancel_subscription(body["subscription"])
        if body["invoice"] is None:
            return
        payments = await self._gateway.listed(
            "/v1/invoice_payments",
            {"invoice": body["invoice"], "status": "paid"},
            what=f"invoice {body['invoice']}",
        )
        for one in payments:
            intent = one["payment"].get("payment_intent")
            if intent is not None:
                await self._refund(str(intent), body["purchase"], signal.customer)

    async def _refund(self, intent: str, purchase: str, customer: str) -> None:
        params = {
            "payment_intent": intent,
            "reason": "duplicate",
            "metadata": {"gatekeeper_purchase": purchase},
        }
        try:
            await self._outgoing.post(
                REFUND,
                "/v1/refunds",
                params,
                customer=customer,
                idempotency_key=f"gatekeeper-duplicate-{purchase}-{intent}"[:255],
                settle=_nothing,
            )
        except StripeRequestError as error:
            if error.params.get("stripe_code") != "charge_already_refunded":
                raise

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The refund that was made by a request, if it was."""
        asked = msgspec.json.decode(request.params)
        of = {"payment_intent": asked["payment_intent"]}
        made = await self._gateway.listed("/v1/refunds", of, what="refunds of a duplicate")
        alike = (one for one in made if one.get("metadata") == asked["metadata"])
        return next(alike, None)


def _nothing(tx: Transaction, refund: Obj) -> None:
    """The refund's own event brings what follows from it."""
