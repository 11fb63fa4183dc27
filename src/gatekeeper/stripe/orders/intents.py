"""Payment intents of orders: made once, gone on with, brought along when the order changes.

Stripe decides what can still be done to a payment, and by the same projection as the webhook's it
is read what has become of it; what a browser says of it is never asked
(https://docs.stripe.com/payments/paymentintents/lifecycle).
"""

from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from gatekeeper.errors import (
    GatekeeperError,
    InvalidAmountError,
    NotFoundError,
    OrderClosedError,
    PaymentStateError,
    StripeRequestError,
)
from gatekeeper.projection.orders import PAYABLE, OrderStatus
from gatekeeper.services import orders, sellers
from gatekeeper.storage.orders import Order
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.orders import params
from gatekeeper.stripe.orders.lost import LostPayments, attach, keep
from gatekeeper.stripe.orders.refusing import check_bounds, is_of_no_method, not_now
from gatekeeper.stripe.orders.values import OrderIntent, PayOptions, Receipt, intent_of
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.types import check_amount

MAKE: Final = "payment_intents create"
CHANGE: Final = "payment_intents update"
CONFIRM: Final = "payment_intents confirm"
CAPTURE: Final = "payment_intents capture"
CANCEL: Final = "payment_intents cancel"

REASONS: Final = frozenset({"abandoned", "duplicate", "fraudulent", "requested_by_customer"})
"""Why a payment is canceled, as Stripe takes it."""

_SALE: Final = ("amount_minor", "commission_minor", "currency")
"""What of an order a seller's sale is checked by."""

_CANCELABLE: Final = frozenset({*PAYABLE, "requires_capture"})

_UNEXPECTED: Final = "payment_intent_unexpected_state"
"""What Stripe says of what can't be done to a payment as it is
(https://docs.stripe.com/error-codes#payment-intent-unexpected-state)."""

_TRIES: Final = 3
"""How often a payment is brought to an order that is being changed meanwhile."""


class OrderIntents:
    """The payments of orders, at Stripe."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        outgoing: OutgoingRequests,
        projections: Projections,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._outgoing = outgoing
        self._projections = projections
        self._identities = StripeIdentities(gateway, outgoing, store)
        lost = LostPayments(gateway, self.refresh)
        outgoing.on_resumed(MAKE, keep, look=lost.look)
        for operation in (CHANGE, CONFIRM, CANCEL):
            # Whoever asked was told that it failed: nobody is charged behind their back.
            outgoing.on_resumed(operation, None, look=lost.as_it_is, looks_first=True)
        outgoing.on_resumed(CAPTURE, None, look=lost.captured)

    # -- making a payment, and going on with it ---------------------------------------------------

    async def begin(self, order_id: str, customer: str, options: PayOptions) -> OrderIntent:
        """See `OrderDesk.pay`."""
        for _ in range(_TRIES):
            order, tried = await self._standing(order_id, customer)
            found, payment_id = None, order.payment_id
            if payment_id is not None:
                found = await self.refresh(payment_id)
                order, tried = await self._standing(order_id, customer)
                if order.payment_id != payment_id:
                    continue  # somebody else has just begun another
            if found is not None and order.status is OrderStatus.PROCESSING:
                return intent_of(order, found)
            if not orders.is_open(order):
                raise orders.closed(order)
            destination = await self.destination(order)
            if found is not None and found["status"] in PAYABLE and params.is_ours(found):
                if not params.can_be_changed(order, found, destination):
                    await self.let_go(order)
                    continue
            else:
                found = await self._make(order, destination, tried)
            if found["status"] in PAYABLE:
                found = await self._bring_along(order, found, options)
            same = await self._owned(order_id, customer)
            if same.canceled_at is not None:
                await self.let_go(same)
                raise orders.closed(same)
            if same.revision == order.revision:
                return intent_of(same, found)
        raise OrderClosedError("The order is being changed; try again.", order=order_id)

    async def confirm(
        self,
        payment_id: str,
        customer: str,
        *,
        payment_method: str | None,
        off_session: bool,
        return_url: str | None,
        idempotency_key: str | None,
    ) -> OrderIntent:
        """See `OrderDesk.confirm`."""
        order = await self._paid_by(payment_id, customer)
        if idempotency_key is not None and order.paid_at is not None:
            return await self.look_at(payment_id, customer)  # the same click, answered once more
        if not orders.is_open(order) or order.payment_id != payment_id:
            raise orders.closed(order)
        if payment_method is not None:
            await self._check_method(payment_method, customer)
        found = await self.refresh(payment_id)
        if found is None or found["status"] not in PAYABLE:
            raise not_now(found, "confirmed")
        if not params.can_be_changed(order, found, await self.destination(order)):
            raise OrderClosedError("The order was changed: begin its payment anew.", order=order.id)
        await self._bring_along(order, found, PayOptions())
        asked: dict[str, Any] = {"off_session": True} if off_session else {}
        given = {"payment_method": payment_method, "return_url": return_url}
        asked |= {name: value for name, value in given.items() if value is not None}
        key = None
        if idempotency_key is not None:
            key = params.key_of("confirm", payment_id, customer, idempotency_key)
        try:
            made = await self._post(CONFIRM, order, payment_id, "confirm", asked, key)
        except GatekeeperError as error:
            now = await self.refresh(payment_id)  # what the refusal means for the order
            if is_of_no_method(error):
                raise NotFoundError("There is no such payment method.") from None
            if error.params.get("stripe_code") == _UNEXPECTED:
                raise not_now(now, "confirmed") from None  # somebody was faster
            raise
        await self.refresh(payment_id)
        return intent_of(order, made)

    async def capture(
        self, order: Order, amount_minor: int | None, *, is_repeat: bool = False
    ) -> Order:
        """See `OrderDesk.capture`."""
        payment_id = order.payment_id
        if payment_id is None:
            raise PaymentStateError("Nothing is held of this order.", status=order.status)
        found = await self.refresh(payment_id)
        if is_repeat and found is not None and found["status"] == "succeeded":
            return await self._owned(order.id, order.customer)
        if found is None or found["status"] != "requires_capture":
            raise not_now(found, "captured")
        held = int(found["amount_capturable"])
        amount = held if amount_minor is None else check_amount(amount_minor, "What is captured")
        if amount > held:
            raise InvalidAmountError(f"At most {held} can be captured.", maximum_minor=held)
        asked: dict[str, Any] = {"amount_to_capture": amount}
        key = params.key_of("capture", payment_id, amount)
        try:
            await self._post(CAPTURE, order, payment_id, "capture", asked, key, keeps_trying=True)
        except StripeRequestError:
            now = await self.refresh(payment_id)
            if now is None or now["status"] != "requires_capture":
                raise not_now(now, "captured") from None
            raise
        await self.refresh(payment_id)
        return await self._owned(order.id, order.customer)

    async def let_go(self, order: Order, reason: str = "abandoned") -> None:
        """Cancel the payment that is being made for an order, or whose money is held, if there is
        one: Stripe decides whether that can be done. The order is as if it had none.

        Raises:
            PaymentStateError: it is being carried out, or has been.
            StripeUnavailableError, StripeRequestError.
        """
        payment_id = order.payment_id
        if payment_id is None:
            return
        found = await self.refresh(payment_id)
        # What a session has left behind nobody can confirm, or cancel, any more.
        is_left = found is not None and found["status"] in PAYABLE and not params.is_ours(found)
        if found is not None and found["status"] != "canceled" and not is_left:
            if found["status"] not in _CANCELABLE:
                raise not_now(found, "canceled")
            asked = {"cancellation_reason": reason}
            try:
                await self._post(CANCEL, order, payment_id, "cancel", asked)
            except StripeRequestError:
                now = await self.refresh(payment_id)
                if now is not None and now["status"] in _CANCELABLE:
                    raise  # it is not for the payment's state
                if now is None or now["status"] != "canceled":
                    raise not_now(now, "canceled") from None
                # Somebody else, or the same click, has just done it.
            await self.refresh(payment_id)

        def leave(tx: Transaction) -> None:
            known = tx.orders.get(order.id, lock=True)
            if known is not None and known.payment_id == payment_id:
                orders.write(tx, known, replace(known, payment_id=None), tx.now())

        await self._store.write(leave)

    # -- reading ----------------------------------------------------------------------------------

    async def refresh(self, payment_id: str) -> Obj | None:
        """A payment intent as Stripe has it now, and what follows from it, as by the webhook."""
        return await self._projections.copies["payment_intent"].refresh(payment_id)

    async def look_at(self, payment_id: str, customer: str) -> OrderIntent:
        """See `OrderDesk.payment`."""
        await self._paid_by(payment_id, customer)
        found = await self.refresh(payment_id)
        if found is None:
            raise NotFoundError("There is no such payment.")
        return intent_of(await self._paid_by(payment_id, customer), found)

    async def receipt(self, order: Order) -> Receipt:
        """See `OrderDesk.receipt`."""
        payment = None
        if order.payment_id is not None and order.captured_minor:
            payment = await self._store.read(lambda tx: tx.orders.payment(str(order.payment_id)))
        charge = None
        if payment is not None and payment.charge_id is not None:
            charge = await self._gateway.fetch("charge", payment.charge_id)
        if charge is None or not charge.get("receipt_url"):
            raise NotFoundError("There is no receipt of this order.")
        return Receipt(
            order=order.id,
            url=charge["receipt_url"],
            number=charge.get("receipt_number"),
            captured_minor=order.captured_minor,
            refunded_minor=order.refunded_minor,
            currency=order.currency,
            paid_at=order.paid_at,
        )

    async def destination(self, order: Order) -> str | None:
        """The connected account of an order's seller, who can be paid.

        Raises:
            NotFoundError, SellerNotReadyError: see `sellers.check_sale`.
        """
        seller = order.seller
        if seller is None:
            return None
        sale = {name: getattr(order, name) for name in _SALE}
        return await self._store.read(lambda tx: sellers.check_sale(tx, seller, **sale))

    # -- the steps --------------------------------------------------------------------------------

    async def _make(self, order: Order, destination: str | None, tried: int) -> Obj:
        """A new payment, or the one that another request for the same has just made.

        Args:
            tried: how many payments the order had when it was read: who finds it as we did makes
                the same one, whoever is first.
        """
        stripe_customer = await self._identities.ensure(order.customer)
        try:
            return await self._create(order, stripe_customer, destination, tried)
        except StripeRequestError as error:
            check_bounds(error)
            refused = (error.params.get("stripe_code"), error.params.get("stripe_param"))
            if refused != ("resource_missing", "customer"):
                raise
        stripe_customer = await self._identities.ensure(order.customer, instead_of=stripe_customer)
        return await self._create(order, stripe_customer, destination, tried)

    async def _create(
        self, order: Order, stripe_customer: str, destination: str | None, tried: int
    ) -> Obj:
        key = params.key_of(order.id, order.revision, tried, stripe_customer, destination)

        def settle(tx: Transaction, made: Obj) -> Obj:
            attach(tx, order.id, made)
            return made

        return await self._outgoing.post(
            MAKE,
            "/v1/payment_intents",
            params.creation(order, stripe_customer, destination, key),
            customer=order.customer,
            idempotency_key=key,
            settle=settle,
            keeps_trying=False,
        )

    async def _bring_along(self, order: Order, found: Obj, options: PayOptions) -> Obj:
        """A payment with the order's present terms."""
        changed = params.changes(order, found, options)
        if not changed:
            return found
        try:
            made = await self._post(CHANGE, order, found["id"], "", changed)
        except StripeRequestError as error:
            check_bounds(error)
            if error.params.get("stripe_code") != _UNEXPECTED:
                raise
            raise not_now(await self.refresh(found["id"]), "changed") from None
        await self.refresh(found["id"])
        return made

    async def _post(
        self,
        operation: str,
        order: Order,
        payment_id: str,
        verb: str,
        asked: dict[str, Any],
        idempotency_key: str | None = None,
        *,
        keeps_trying: bool = False,
    ) -> Obj:
        path = f"/v1/payment_intents/{quote(payment_id, safe='')}"
        return await self._outgoing.post(
            operation,
            f"{path}/{verb}" if verb else path,
            asked,
            customer=order.customer,
            idempotency_key=idempotency_key,
            settle=lambda _, made: made,
            keeps_trying=keeps_trying,
        )

    async def _check_method(self, payment_method: str, customer: str) -> None:
        """Refuse a payment method that is known to be another customer's; Stripe refuses those
        that are attached to another of its own."""
        known = await self._store.read(lambda tx: tx.mirror.get("payment_method", payment_method))
        if known is not None and known.customer not in (None, customer):
            raise NotFoundError("There is no such payment method.")

    async def _owned(self, order_id: str, customer: str) -> Order:
        return await self._store.read(lambda tx: orders.owned(tx, order_id, customer))

    async def _standing(self, order_id: str, customer: str) -> tuple[Order, int]:
        """An order, and how many payments it has had, of one moment."""

        def work(tx: Transaction) -> tuple[Order, int]:
            order = orders.owned(tx, order_id, customer)
            return order, len(tx.orders.payments(order.id))

        return await self._store.read(work)

    async def _paid_by(self, payment_id: str, customer: str) -> Order:
        def work(tx: Transaction) -> Order:
            payment = tx.orders.payment(payment_id)
            order = None if payment is None else tx.orders.get(payment.order_id)
            # Of another's payment the answer is the same as of none, so that nobody learns of it.
            if order is None or order.customer != customer:
                raise NotFoundError("There is no such payment.")
            return order

        return await self._store.read(work)
