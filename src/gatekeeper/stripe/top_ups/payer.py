"""Pays automatic top-ups: each with the customer's saved default card, while nobody is there.

A payment is a payment intent that is made and confirmed by one stored request
(https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method). The purchase and the
state "paying" are written before it is sent, in one transaction under the top-up's lock: so there
is one payment at a time, whoever else is at it. After a crash the same request is sent under the
same key. What it has come to is read from the intent as Stripe has it, as by the webhook.
"""

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import anyio
import msgspec

from gatekeeper import topping_up
from gatekeeper.errors import (
    CardDeclinedError,
    ConflictError,
    GatekeeperError,
    StripeRequestError,
)
from gatekeeper.services import intents, top_ups
from gatekeeper.services.outbox import Signal
from gatekeeper.services.rules import Rules
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import KEY_LIFE, OutgoingRequests
from gatekeeper.stripe.webhooks.handlers.mirror import MirrorProjector
from gatekeeper.topping_up import LEASE, TopUp, TopUpState

logger: Final = logging.getLogger("gatekeeper.stripe")

OPERATION: Final = "top-up payments create"
CANCEL: Final = "top-up payments cancel"

_MADE_FOR: Final = "gatekeeper_purchase"
"""The key of metadata by which a payment is found again whose making was not heard of."""

_CLOCKS: Final = timedelta(minutes=5)
"""How far Stripe's clock may be behind ours."""

_HAS_CARD: Final = frozenset({"active", "trialing", "past_due"})
_SWEEP_SECONDS: Final = 15.0
_BATCH: Final = 20


class TopUpPayer:
    """Begins what is due, and follows it to its end."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        rules: Rules,
        outgoing: OutgoingRequests,
        copies: MirrorProjector,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._rules = rules
        self._outgoing = outgoing
        self._copies = copies
        outgoing.on_resumed(OPERATION, _note_resumed, look=self._look, looks_first=True)

    async def on_due(self, signal: Signal) -> None:
        """Begin what a signal tells of, unless it is under way. What had no answer is left to
        `pay_due`."""
        if "intent" in signal.body:
            await self._copies.refresh(str(signal.body["intent"]))
            return
        unit = str(signal.body["unit"])
        claimed = await self._store.write(
            lambda tx: top_ups.take_up(tx, self._rules, signal.customer, unit)
        )
        if claimed is not None:
            await self._try(claimed)

    async def run(self) -> None:
        """Pay for ever. An outage of the database or of Stripe is waited out."""
        while True:
            try:
                while await self.pay_due() == _BATCH:
                    pass
            except Exception:
                logger.exception("paying top-ups was interrupted; it goes on")
            await anyio.sleep(_SWEEP_SECONDS)

    async def pay_due(self) -> int:
        """Look at what is to be looked at: top-ups that are due, payments whose end was not heard
        of, and, once an hour, balances whose signal may have been missed. Returns how many.

        Raises:
            StoreUnavailableError.
        """
        claimed = await self._store.write(
            lambda tx: tx.top_ups.claim(tx.now(), tx.now() + LEASE, _BATCH)
        )
        for one in claimed:
            await self._try(one)
        return len(claimed)

    async def _try(self, claimed: TopUp) -> None:
        try:
            await self._go_on(claimed)
        except GatekeeperError as error:
            # Nobody knows whether it was done: the next look, or the stored request, finds out.
            logger.warning(
                "the top-up of %s for %s has to wait: %s", claimed.unit, claimed.customer, error
            )
        except Exception:  # a fault of ours in one must not hold up the others
            logger.exception("a top-up could not be looked at; it is tried again")

    async def _go_on(self, claimed: TopUp) -> None:
        if claimed.state is TopUpState.PAYING:
            await self._follow_up(claimed)
            return
        await self._store.write(lambda tx: top_ups.watch_again(tx, self._rules, claimed))
        card = None
        if await self._may_pay(claimed):
            card = await self._default_card(claimed.customer)
        is_other = card is not None and card[1] != claimed.card_mark
        if topping_up.was_asked(claimed) and (is_other or claimed.reason is None):
            await self._take_back_question(claimed)
        begun = await self._store.write(lambda tx: top_ups.begin(tx, self._rules, claimed, card))
        if begun is not None and begun.state is TopUpState.PAYING:
            await self._pay(begun)

    async def _may_pay(self, claimed: TopUp) -> bool:
        """Whether Stripe is to be asked for the card: not for what is only looked at."""
        if not claimed.is_on:
            return False
        if topping_up.is_broken(claimed):
            return True  # it may be another by now
        seen = await self._store.read(lambda tx: top_ups.look(tx, self._rules, claimed))
        return topping_up.is_below(claimed, seen.available)

    async def _take_back_question(self, claimed: TopUp) -> None:
        """Cancel the payment that waits for the customer, who has chosen another card or has paid
        otherwise instead: not both are to be paid. Has it been paid just now, it is what counts."""
        purchase_id = claimed.purchase_id
        if purchase_id is None:
            return
        purchase = await self._store.read(lambda tx: tx.purchases.get(purchase_id))
        intent_id = None if purchase is None else purchase.payment_intent_id
        if intent_id is None:
            return
        try:
            await self._outgoing.post(
                CANCEL,
                f"/v1/payment_intents/{quote(intent_id, safe='')}/cancel",
                {"cancellation_reason": "abandoned"},
                customer=claimed.customer,
                idempotency_key=f"gatekeeper-top-up-cancel-{purchase_id}",
                settle=lambda tx, intent: None,
            )
        except StripeRequestError as error:
            logger.info("payment %s was not canceled: %s", intent_id, error)
        await self._copies.refresh(intent_id)

    async def _pay(self, paying: TopUp) -> None:
        purchase_id = str(paying.purchase_id)
        stripe_customer = await self._store.read(lambda tx: _stripe_customer(tx, paying.customer))
        if stripe_customer is None or paying.card is None:
            return  # erased meanwhile

        def note(tx: Transaction, intent: Obj) -> str:
            intents.note_intent(tx, purchase_id, intent["id"])
            return str(intent["id"])

        try:
            intent_id = await self._outgoing.post(
                OPERATION,
                "/v1/payment_intents",
                _params(paying, stripe_customer),
                customer=paying.customer,
                idempotency_key=f"gatekeeper-top-up-{purchase_id}",
                settle=note,
            )
        except StripeRequestError as error:
            if error.params.get("stripe_status") in (401, 403):
                raise  # of the key, and of nothing that was asked by it
            await self._refused(purchase_id, error)
            return
        await self._copies.refresh(intent_id)

    async def _refused(self, purchase_id: str, error: StripeRequestError) -> None:
        """Note a refusal: of the means of payment, or of the request."""
        asked = error.params
        code = asked.get("decline_code") or asked.get("stripe_code") or "refused"
        intent_id = asked.get("payment_intent")
        await self._store.write(
            lambda tx: intents.note_refused(
                tx,
                purchase_id,
                str(code),
                intent_id=None if intent_id is None else str(intent_id),
                final=not isinstance(error, CardDeclinedError),
            )
        )

    async def _follow_up(self, paying: TopUp) -> None:
        """Look what has become of a payment whose end was not heard of. One that was never made
        within the life of its key is made no more: it would be decided on anew."""
        purchase_id = str(paying.purchase_id)
        purchase = await self._store.read(lambda tx: tx.purchases.get(purchase_id))
        intent_id = None if purchase is None else purchase.payment_intent_id
        is_old = await self._store.read(
            lambda tx: paying.begun_at is None or tx.now() >= paying.begun_at + KEY_LIFE
        )
        if intent_id is None and is_old:
            found = await self._made_for(paying.customer, purchase_id, paying.begun_at)
            if found is None:
                await self._store.write(lambda tx: intents.note_never_made(tx, purchase_id))
                return
            made = intent_id = str(found["id"])
            await self._store.write(lambda tx: intents.note_intent(tx, purchase_id, made))
        if intent_id is None:
            await self._pay(paying)
        else:
            await self._copies.refresh(intent_id)

    # -- what Stripe has --------------------------------------------------------------------------

    async def _default_card(self, customer: str) -> tuple[str, str] | None:
        """The saved payment method that is the default, and its mark: of the customer, else of a
        subscription of theirs (https://docs.stripe.com/api/customers/object#customer_object-invoice_settings-default_payment_method)."""
        stripe_customer = await self._store.read(lambda tx: _stripe_customer(tx, customer))
        if stripe_customer is None:
            return None
        found = await self._gateway.fetch("customer", stripe_customer)
        settings = (found or {}).get("invoice_settings") or {}
        method_id = settings.get("default_payment_method")
        if method_id is None and found is not None and not found.get("deleted"):
            held = await self._gateway.listed(
                "/v1/subscriptions", {"customer": stripe_customer}, what="listing subscriptions"
            )
            named = (
                one.get("default_payment_method") for one in held if one["status"] in _HAS_CARD
            )
            method_id = next((one for one in named if one is not None), None)
        if isinstance(method_id, dict):
            method_id = method_id["id"]
        method = (
            None if method_id is None else await self._gateway.fetch("payment_method", method_id)
        )
        return None if method is None else (str(method["id"]), _mark(method))

    async def _made_for(
        self, customer: str, purchase_id: str, begun_at: datetime | None
    ) -> Obj | None:
        stripe_customer = await self._store.read(lambda tx: _stripe_customer(tx, customer))
        if stripe_customer is None:
            return None
        return await self._find(stripe_customer, purchase_id, begun_at)

    async def _find(
        self, stripe_customer: str, purchase_id: str, since: datetime | None
    ) -> Obj | None:
        """The payment intent that was made for a purchase, among those made since it was begun."""
        query: dict[str, Any] = {"customer": stripe_customer}
        if since is not None:
            query["created"] = {"gte": int((since - _CLOCKS).timestamp())}
        pages = self._gateway.pages("/v1/payment_intents", query, what="listing payments")
        async for page in pages:
            for found in page:
                if (found.get("metadata") or {}).get(_MADE_FOR) == purchase_id:
                    return found
        return None

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The payment that a request has made, if it has.

        Raises:
            ConflictError: it has not, and is not wanted any more.
        """
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        purchase_id = asked["metadata"][_MADE_FOR]
        found = await self._find(asked["customer"], purchase_id, request.created_at)
        purchase = await self._store.read(lambda tx: tx.purchases.get(purchase_id))
        if found is None and (purchase is None or purchase.status is not PurchaseStatus.PENDING):
            raise ConflictError("This payment was given up.")
        return found


def _params(paying: TopUp, stripe_customer: str) -> dict[str, Any]:
    """What is asked for. The amount is the catalogue's, as it was decided on; nobody can be sent
    anywhere, so that no way of paying that redirects will do."""
    return {
        "amount": paying.paying_minor,
        "automatic_payment_methods": {"allow_redirects": "never", "enabled": True},
        "confirm": True,
        "currency": paying.currency,
        "customer": stripe_customer,
        "metadata": {_MADE_FOR: paying.purchase_id},
        "off_session": True,
        "payment_method": paying.card,
    }


def _mark(method: Obj) -> str:
    """What tells a payment method apart from the one that replaces it, also under the same id: a
    card that was renewed has another expiry, and often another number."""
    card = method.get("card") or {}
    parts = [method["id"], *(card.get(name) for name in ("last4", "exp_month", "exp_year"))]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _stripe_customer(tx: Transaction, customer: str) -> str | None:
    known = tx.customers.get(customer)
    return None if known is None or known.deleted_at is not None else known.stripe_id


def _note_resumed(tx: Transaction, request: OutgoingRequest, intent: Obj) -> None:
    """The answer came after a crash, or an outage: what it says is looked at by itself."""
    asked = msgspec.json.decode(request.params)
    intents.note_intent(tx, asked["metadata"][_MADE_FOR], intent["id"])
    if request.customer is not None:
        top_ups.wake(tx, request.customer, {"intent": intent["id"]})
