"""Sends what is owed to sellers: each transfer once, whatever happens on the way.

A transfer is a stored request. What Stripe has refused (the seller may not be paid yet, or the
balance is too low) was not done: it is tried again under a key of its own, with waits that grow.
What has had no answer is made good under its own key, or looked for by its group
(https://docs.stripe.com/connect/separate-charges-and-transfers).
"""

import hashlib
import logging
from datetime import timedelta
from typing import Any, Final

import anyio
import msgspec

from gatekeeper.errors import GatekeeperError, StripeRequestError
from gatekeeper.services import transfers
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.transfers import Transfer
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests

logger: Final = logging.getLogger("gatekeeper.stripe")

OPERATION: Final = "transfers create"
_LEASE: Final = timedelta(minutes=5)
_SWEEP_SECONDS: Final = 15.0
_BATCH: Final = 20


class TransferSender:
    """Sends them, and those again that have failed."""

    def __init__(self, gateway: StripeGateway, store: Store, outgoing: OutgoingRequests) -> None:
        self._gateway = gateway
        self._store = store
        self._outgoing = outgoing
        outgoing.on_resumed(OPERATION, _note_resumed, look=self._look)

    async def run(self) -> None:
        """Send for ever. An outage of the database or of Stripe is waited out."""
        while True:
            try:
                while await self.send_due() == _BATCH:
                    pass
            except Exception:
                logger.exception("sending transfers was interrupted; it goes on")
            await anyio.sleep(_SWEEP_SECONDS)

    async def send_due(self) -> int:
        """Send what is due; returns how many were tried.

        Raises:
            StoreUnavailableError.
        """
        due = await self._store.write(
            lambda tx: tx.transfers.claim(tx.now(), tx.now() + _LEASE, _BATCH)
        )
        for one in due:
            await self._send(one)
        return len(due)

    async def _send(self, transfer: Transfer) -> None:
        try:
            await self._outgoing.post(
                OPERATION,
                "/v1/transfers",
                _params(transfer),
                customer=transfer.customer,
                idempotency_key=_key(transfer),
                settle=lambda tx, sent: transfers.note_sent(tx, transfer.id, sent),
            )
        except StripeRequestError as error:
            refused = str(error)
            await self._store.write(lambda tx: transfers.note_refused(tx, transfer.id, refused))
        except GatekeeperError as error:
            # Nobody knows whether it was done, also where its key was used for other words: the
            # stored request finds out, or the next try, under the same key for as long as it lives.
            logger.warning("transfer %s had no answer: %s", transfer.id, error)

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The transfer that a request has made, if it has."""
        asked = msgspec.json.decode(request.params)
        group = {"transfer_group": asked["transfer_group"]}
        made = await self._gateway.listed("/v1/transfers", group, what="transfers of a group")
        return next((one for one in made if one.get("metadata") == asked["metadata"]), None)


def _key(transfer: Transfer) -> str:
    """One for each try that was refused; ids may be longer than Stripe's keys."""
    named = hashlib.sha256(transfer.id.encode()).hexdigest()[:32]
    return f"gatekeeper-transfer-{named}-{transfer.attempts}"


def _params(transfer: Transfer) -> dict[str, Any]:
    source = {} if transfer.of_balance else {"source_transaction": transfer.charge_id}
    return {
        "amount": transfer.amount_minor,
        "currency": transfer.currency,
        "destination": transfer.destination,
        "metadata": {"gatekeeper_transfer": transfer.id},
        **source,
        "transfer_group": f"gatekeeper-{transfer.id}",
    }


def _note_resumed(tx: Transaction, request: OutgoingRequest, sent: Obj) -> None:
    asked = msgspec.json.decode(request.params)
    transfers.note_sent(tx, asked["metadata"]["gatekeeper_transfer"], sent)
