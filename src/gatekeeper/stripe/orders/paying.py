"""Paying orders: in the page, on Stripe's page, from the server; and what comes of it."""

from typing import Final

from gatekeeper.errors import (
    ConfigurationError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    PaymentStateError,
)
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.services import orders
from gatekeeper.services.back_office.mandates import (
    Change,
    Mandate,
    act,
    carry_out,
    recording_refusal,
)
from gatekeeper.storage.orders import Order
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.orders.intents import REASONS, OrderIntents
from gatekeeper.stripe.orders.sessions import OrderSessions
from gatekeeper.stripe.orders.values import OrderCheckout, OrderIntent, PayOptions, Receipt
from gatekeeper.types import check_amount

CAPTURE: Final = "order.capture"
"""The kind of the back office's record."""

_AS_USUAL: Final = PayOptions()


class OrderPaying:
    """The part of `OrderDesk` that pays."""

    def __init__(
        self, store: Store, intents: OrderIntents | None, sessions: OrderSessions | None
    ) -> None:
        self._store = store
        self._intents = intents
        self._sessions = sessions

    async def get(self, order_id: str, customer: str) -> Order:
        """A customer's order, as it is known: nobody is asked."""
        return await self._store.read(lambda tx: orders.owned(tx, order_id, customer))

    async def sale(self, order_id: str, seller: str) -> Order:
        """An order of what a seller has sold.

        Raises:
            NotFoundError: they have sold none of this id.
        """
        found = await self.any(order_id)
        if found.seller != seller:
            raise NotFoundError("There is no such order.")
        return found

    async def any(self, order_id: str) -> Order:
        """An order of anybody's: for those who run the app.

        Raises:
            NotFoundError: there is none.
        """
        found = await self._store.read(lambda tx: tx.orders.get(order_id))
        if found is None:
            raise NotFoundError("There is no such order.")
        return found

    async def pay(
        self, order_id: str, customer: str, options: PayOptions = _AS_USUAL
    ) -> OrderIntent:
        """The payment by which the customer pays an order, with its client secret for Stripe's
        Elements: the one that was begun, with the same secret; brought along, or replaced, if the
        order has changed since; or a new one.

        Raises:
            OrderClosedError: it was paid, or canceled.
        """
        intents, sessions = self._with_stripe()
        await sessions.close(await self.get(order_id, customer))
        return await intents.begin(order_id, customer, options)

    async def payment(self, payment_id: str, customer: str) -> OrderIntent:
        """A payment as Stripe has it now; what follows from that is written, as by the webhook."""
        return await self._with_stripe()[0].look_at(payment_id, customer)

    async def confirm(
        self,
        payment_id: str,
        customer: str,
        *,
        payment_method: str | None = None,
        off_session: bool = False,
        return_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> OrderIntent:
        """Try to collect a payment from here: with a saved card, say.

        Args:
            payment_method: of the customer's; None is the one that the payment has.
            off_session: nobody is there to authenticate
                (https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method).
            return_url: where a page that asks the customer to authenticate sends them back to.

        Raises:
            OrderClosedError, PaymentStateError: it was paid or canceled, or is no more this one's.
            StripeRequestError: the card was declined, say: see `decline_code` in its params.
        """
        return await self._with_stripe()[0].confirm(
            payment_id,
            customer,
            payment_method=payment_method,
            off_session=off_session,
            return_url=return_url,
            idempotency_key=idempotency_key,
        )

    async def cancel_payment(
        self, payment_id: str, customer: str, *, reason: str | None = None
    ) -> Order:
        """Cancel the payment of an order, which can be paid by another then."""
        if reason is not None and reason not in REASONS:
            raise InvalidInputError(f"The reason must be one of {', '.join(sorted(REASONS))}.")
        intents, _ = self._with_stripe()
        order = await self._paid_by(payment_id)
        if order.customer != customer:
            raise NotFoundError("There is no such payment.")
        if order.payment_id != payment_id:
            payment = await self._store.read(lambda tx: tx.orders.payment(payment_id))
            if payment is not None and payment.status == "canceled":
                return order  # asked for again
            raise NotFoundError("There is no such payment.")
        await intents.let_go(order, reason or "requested_by_customer")
        return await self.get(order.id, customer)

    async def capture(
        self,
        order_id: str,
        amount_minor: int | None = None,
        *,
        seller: str | None = None,
        is_repeat: bool = False,
    ) -> Order:
        """Take what is held of an order: all of it, or a part; the rest is let go. Once. For the
        host and for sellers: a buyer is never asked.

        Args:
            amount_minor: None takes all of it.
            seller: who asks, if it is a seller: the order must be of their sale.
            is_repeat: the same was asked before, and may have been done: then it is answered once
                more.

        Raises:
            NotFoundError: there is no such order, or it is not this seller's.
            PaymentStateError: nothing is held: it was captured, or has lapsed.
            InvalidAmountError: it is more than is held.
        """
        intents, _ = self._with_stripe()
        order = await (self.any(order_id) if seller is None else self.sale(order_id, seller))
        return await intents.capture(order, amount_minor, is_repeat=is_repeat)

    async def capture_by(
        self, mandate: Mandate, order_id: str, amount_minor: int | None = None
    ) -> Order:
        """As `capture`, by somebody in the back office. That they mean to is recorded before it is
        done, so that nothing is ever captured without a record, and so is a refusal; asked again
        under the same key, it is done once."""
        self._with_stripe()
        known = await self.any(order_id)

        def mean_to(tx: Transaction) -> Change:
            order = tx.orders.get(order_id, lock=True) or known
            if not order.authorized_minor:
                raise PaymentStateError("Nothing is held of this order.", status=order.status)
            amount = order.authorized_minor if amount_minor is None else amount_minor
            check_amount(amount, "What is captured")
            if amount > order.authorized_minor:
                most = order.authorized_minor
                raise InvalidAmountError(f"At most {most} can be captured.", maximum_minor=most)
            return Change(
                before={"authorized_minor": order.authorized_minor, "status": order.status},
                after={"captured_minor": amount, "currency": order.currency},
                subject=f"order/{order.id}",
            )

        to_do = act(
            mandate, CAPTURE, customer=known.customer, order=order_id, amount_minor=amount_minor
        )
        await carry_out(self._store, to_do, mean_to)
        order = await self.get(order_id, known.customer)
        if order.captured_minor:
            return order
        async with recording_refusal(self._store, to_do):
            return await self.capture(order_id, amount_minor)

    async def capture_payment(
        self,
        payment_id: str,
        seller: str,
        amount_minor: int | None = None,
        *,
        is_repeat: bool = False,
    ) -> Order:
        """As `capture`, for the seller of the order whose payment it is."""
        order = await self._paid_by(payment_id)
        if order.payment_id != payment_id or order.seller != seller:
            raise NotFoundError("There is no such payment.")
        return await self.capture(order.id, amount_minor, seller=seller, is_repeat=is_repeat)

    async def receipt(self, order_id: str, customer: str) -> Receipt:
        """The receipt of an order that was paid, asked of Stripe.

        Raises:
            NotFoundError: there is none.
        """
        intents, _ = self._with_stripe()
        return await intents.receipt(await self.get(order_id, customer))

    async def checkout(
        self,
        order_id: str,
        customer: str,
        *,
        success_url: str,
        cancel_url: str,
        options: PayOptions = _AS_USUAL,
    ) -> OrderCheckout:
        """Send the customer to Stripe's own page to pay an order: the page that is open, or a new
        one if the order or the URLs have changed. `{ORDER_ID}` in `success_url` is replaced.

        Raises:
            OrderClosedError, PaymentStateError: it was paid, or is being paid.
            InvalidInputError: a URL is none.
        """
        _, sessions = self._with_stripe()
        return await sessions.begin(order_id, customer, options, success_url, cancel_url)

    async def status(self, order_id: str, customer: str) -> Order:
        """A customer's order; while it is not paid Stripe is asked, and what follows is written,
        exactly as by the webhook: who comes back before it need not wait."""
        order = await self.get(order_id, customer)
        if order.status in (OrderStatus.PENDING, OrderStatus.PROCESSING, OrderStatus.FAILED):
            await self.refresh(order)
            order = await self.get(order_id, customer)
        return order

    async def by_checkout(self, name: str, customer: str) -> Order | None:
        """As `status`, of an order by its id or its checkout session; None if it is none's."""

        def work(tx: Transaction) -> Order | None:
            return tx.orders.by_session(name) or tx.orders.get(name)

        found = await self._store.read(work)
        if found is None or found.customer != customer:
            return None
        return await self.status(found.id, customer)

    async def refresh(self, order: Order) -> None:
        """Find out what Stripe has of an order's payment."""
        intents, sessions = self._with_stripe()
        if order.payment_id is not None:
            await intents.refresh(order.payment_id)
        else:
            await sessions.refresh(order)

    # -- the steps --------------------------------------------------------------------------------

    async def _paid_by(self, payment_id: str) -> Order:
        def work(tx: Transaction) -> Order:
            payment = tx.orders.payment(payment_id)
            order = None if payment is None else tx.orders.get(payment.order_id)
            if order is None:
                raise NotFoundError("There is no such payment.")
            return order

        return await self._store.read(work)

    def _with_stripe(self) -> tuple[OrderIntents, OrderSessions]:
        if self._intents is None or self._sessions is None:
            raise ConfigurationError("This needs Stripe: set STRIPE_SECRET_KEY.")
        return self._intents, self._sessions
