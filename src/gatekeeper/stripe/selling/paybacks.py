"""Takes from sellers what they are to give back: each payback by one reversal of the transfer.

As with transfers, each is a stored request; what Stripe has refused (the seller's balance may be
too low) is tried again under a key of its own, with waits that grow
(https://docs.stripe.com/api/transfer_reversals/create).
"""

import hashlib
import logging
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

import anyio
import msgspec

from gatekeeper.errors import GatekeeperError, StripeRequestError
from gatekeeper.services import sales
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.paybacks import Payback
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests

logger: Final = logging.getLogger("gatekeeper.stripe")

OPERATION: Final = "transfer_reversals create"
_LEASE: Final = timedelta(minutes=5)
_SWEEP_SECONDS: Final = 15.0
_BATCH: Final = 20
_MARK: Final = "gatekeeper_payback"


class PaybackTaker:
    """Makes them, and those again that have failed."""

    def __init__(self, gateway: StripeGateway, store: Store, outgoing: OutgoingRequests) -> None:
        self._gateway = gateway
        self._store = store
        self._outgoing = outgoing
        outgoing.on_resumed(OPERATION, _note_resumed, look=self._look)

    async def run(self) -> None:
        """Take for ever. An outage of the database or of Stripe is waited out."""
        while True:
            try:
                while await self.take_due() == _BATCH:
                    pass
            except Exception:
                logger.exception("taking paybacks was interrupted; it goes on")
            await anyio.sleep(_SWEEP_SECONDS)

    async def take_due(self) -> int:
        """Take what is due; returns how many were tried.

        Raises:
            StoreUnavailableError.
        """
        due = await self._store.write(
            lambda tx: tx.paybacks.claim(tx.now(), tx.now() + _LEASE, _BATCH)
        )
        for one in due:
            await self._take(one)
        return len(due)

    async def _take(self, payback: Payback) -> None:
        transfer = await self._store.write(lambda tx: sales.transfer_to_reverse(tx, payback))
        if transfer is None:
            return  # it is not sent yet: this one's turn comes again
        try:
            await self._outgoing.post(
                OPERATION,
                f"/v1/transfers/{quote(transfer, safe='')}/reversals",
                {"amount": payback.amount_minor, "metadata": {_MARK: payback.id}},
                customer=payback.customer,
                idempotency_key=_key(payback),
                settle=lambda tx, made: sales.note_made(tx, payback.id, made["id"]),
            )
        except StripeRequestError as error:
            refused = str(error)
            await self._store.write(lambda tx: sales.note_refused(tx, payback.id, refused))
        except GatekeeperError as error:
            # Nobody knows whether it was done: the stored request finds out, or the next try.
            logger.warning("payback %s had no answer: %s", payback.id, error)

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The reversal that a request has made, if it has."""
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        made = await self._gateway.listed(request.path, what="reversals of a transfer")
        return next((one for one in made if one.get("metadata") == asked["metadata"]), None)


def _key(payback: Payback) -> str:
    """One for each try that was refused."""
    named = hashlib.sha256(payback.id.encode()).hexdigest()[:32]
    return f"gatekeeper-payback-{named}-{payback.attempts}"


def _note_resumed(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    asked = msgspec.json.decode(request.params)
    sales.note_made(tx, asked["metadata"][_MARK], made["id"])
