"""The desk of orders: what hosts, and the routes, ask for."""

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

from uuid_utils.compat import uuid7

from gatekeeper.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    RegistrationError,
)
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.services import orders
from gatekeeper.services.once import write_once
from gatekeeper.services.orders import OrderRequest, Pricing, Quote
from gatekeeper.services.orders.book import priced
from gatekeeper.storage.orders import Order, OrderPayment, OrderPlace
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.orders.intents import REASONS, OrderIntents
from gatekeeper.stripe.orders.paying import OrderPaying
from gatekeeper.stripe.orders.sessions import OrderSessions
from gatekeeper.types import Identity, check_id, check_limit, utc_now

P = TypeVar("P", bound=Pricing)


class OrderDesk(OrderPaying):
    """The orders of one gate: `gate.orders`.

    Every method that takes a `customer` raises NotFoundError for an order or payment of somebody
    else's. What asks Stripe raises ConfigurationError without a key, StripeUnavailableError and
    StripeRequestError.
    """

    def __init__(
        self, store: Store, intents: OrderIntents | None, sessions: OrderSessions | None
    ) -> None:
        super().__init__(store, intents, sessions)
        self._pricing: Pricing | None = None

    def priced(self, price: P) -> P:
        """Register the host's function that prices orders: `@gate.orders.priced`.

        Raises:
            RegistrationError: there is one already, or it is no coroutine function.
        """
        if self._pricing is not None:
            raise RegistrationError("Orders are priced by one function; there is one already.")
        is_async: bool = inspect.iscoroutinefunction(price)
        if not is_async:
            raise RegistrationError("What prices orders must be a coroutine function.")
        self._pricing = price
        return price

    # -- orders -----------------------------------------------------------------------------------

    async def create(
        self,
        who: Identity | str,
        items: Any,
        *,
        reference: str | None = None,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Order:
        """Make an order of what a client wants, as the host's function prices it.

        Args:
            items: what is wanted: JSON.
            reference: the host's own id of the order; the function may name another.
            idempotency_key: the same key of the same customer makes the same order.
            session: the host's open transaction, which it is then a part of.

        Raises:
            InvalidInputError, InvalidAmountError, AmountNotChargeableError: what is wanted, or its
                price, can't be ordered; or what the host's function raises.
            IdempotencyConflictError: the key is another order's.
            ConflictError: the reference is another order's.
            ConfigurationError: no function prices orders.
        """
        identity = who if isinstance(who, Identity) else Identity(who)
        wanted = orders.checked_items(items)
        if reference is not None:
            check_id(reference, "reference")
        known = await self._made_by(identity.customer, idempotency_key)
        if known is not None and (known.revision > 1 or known.items == wanted):
            return known
        asked = OrderRequest(identity=identity, items=items, reference=reference)
        quote = await self._price(asked)
        order = _order(identity, quote, wanted, reference, idempotency_key)
        return await write_once(self._store, order.customer, orders.placing(order), session)

    async def place(
        self,
        who: Identity | str,
        quote: Quote,
        *,
        items: Any = None,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Order:
        """Make an order that the host has priced itself; the same again, by its key or its
        reference, is the same order. Raises as `create`."""
        order = self._placed(who, quote, items, idempotency_key)
        return await write_once(self._store, order.customer, orders.placing(order), session)

    def place_in(
        self,
        session: object,
        who: Identity | str,
        quote: Quote,
        *,
        items: Any = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """As `place`, in a synchronous host's own transaction and on its own thread."""
        order = self._placed(who, quote, items, idempotency_key)
        return self._store.join_sync(session).run(orders.placing(order))

    async def of_customer(
        self, customer: str, *, limit: int = 100, after: Order | OrderPlace | None = None
    ) -> Sequence[Order]:
        """A customer's orders, the newest first, from behind `after`.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        work = orders.listed(customer, check_limit(limit), _place(after))
        return await self._store.read(work)

    async def of_seller(
        self, seller: str, *, limit: int = 100, after: Order | OrderPlace | None = None
    ) -> Sequence[Order]:
        """The orders of what a seller has sold, in the same way."""
        work = orders.listed(seller, check_limit(limit), _place(after), sales=True)
        return await self._store.read(work)

    async def payments(self, order_id: str, customer: str) -> Sequence[OrderPayment]:
        """The payments that were begun for an order, the oldest first."""

        def work(tx: Transaction) -> Sequence[OrderPayment]:
            return tx.orders.payments(orders.owned(tx, order_id, customer).id)

        return await self._store.read(work)

    async def change(
        self,
        order_id: str,
        who: Identity | str,
        items: Any,
        *,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Order:
        """Price an order anew, for other items, before it is paid. The payment that was begun is
        brought along when the customer goes on with it.

        Args:
            idempotency_key: the same key changes the order once, though it was changed again since.
            session: the host's open transaction, which the change is then a part of.

        Raises:
            IdempotencyConflictError: the key is another change's.
            OrderClosedError: it is being paid, or was.
            NotFoundError, and as `create`.
        """
        identity = who if isinstance(who, Identity) else Identity(who)
        wanted = orders.checked_items(items)
        known = await self.get(order_id, identity.customer)
        asked = OrderRequest(
            identity=identity, items=items, reference=known.reference, order=order_id
        )
        quote = await self._price(asked)
        if quote.reference not in (None, known.reference):
            raise ConflictError("An order keeps its reference.", order=order_id)
        work = orders.changing(order_id, identity.customer, quote, wanted, idempotency_key)
        return await write_once(self._store, identity.customer, work, session)

    async def cancel(self, order_id: str, customer: str, *, reason: str | None = None) -> Order:
        """Give an order up before it is paid; what is held of it is let go. One that is canceled
        stays so.

        Args:
            reason: Stripe's word: "abandoned", "duplicate", "fraudulent" or
                "requested_by_customer".

        Raises:
            OrderClosedError, PaymentStateError: it was paid, or is about to be.
            InvalidInputError: there is no such reason.
        """
        if reason is not None and reason not in REASONS:
            raise InvalidInputError(f"The reason must be one of {', '.join(sorted(REASONS))}.")
        order = await self.get(order_id, customer)
        if order.canceled_at is None and self._intents is not None and self._sessions is not None:
            if not orders.is_open(order) and not order.authorized_minor:
                raise orders.closed(order)
            await self._sessions.close(order)
            await self._intents.let_go(order, reason or "requested_by_customer")
        return await self._store.write(orders.canceling(order_id, customer, reason))

    # -- the steps --------------------------------------------------------------------------------

    async def _price(self, asked: OrderRequest) -> Quote:
        if self._pricing is None:
            raise ConfigurationError("Orders need a price: decorate a function with orders.priced.")
        return orders.check_quote(await self._pricing(asked))

    async def _made_by(self, customer: str, idempotency_key: str | None) -> Order | None:
        """The order that was made under a key before: it is not priced again."""
        if idempotency_key is None:
            return None
        order_id = _id_of(customer, idempotency_key)
        return await self._store.read(lambda tx: tx.orders.get(order_id))

    def _placed(
        self, who: Identity | str, quote: Quote, items: Any, idempotency_key: str | None
    ) -> Order:
        identity = who if isinstance(who, Identity) else Identity(who)
        wanted = orders.checked_items(items)
        return _order(identity, orders.check_quote(quote), wanted, None, idempotency_key)


def _order(
    identity: Identity,
    quote: Quote,
    items: str,
    reference: str | None,
    idempotency_key: str | None,
) -> Order:
    """A new order; its time is that of the transaction that writes it."""
    order_id = f"ord_{uuid7().hex}"
    if idempotency_key is not None:
        order_id = _id_of(identity.customer, idempotency_key)
    made = Order(
        id=order_id,
        customer=identity.customer,
        actor=identity.actor,
        status=OrderStatus.PENDING,
        amount_minor=quote.amount_minor,
        currency=quote.currency,
        reference=quote.reference or reference,
        created_at=utc_now(),
        updated_at=utc_now(),
    )
    return priced(made, quote, items)


def _place(after: Order | OrderPlace | None) -> OrderPlace | None:
    return after.place if isinstance(after, Order) else after


def _id_of(customer: str, idempotency_key: str) -> str:
    check_id(idempotency_key, "idempotency key")
    scoped = repr((customer, idempotency_key)).encode()
    return f"ord_{hashlib.sha256(scoped).hexdigest()[:32]}"
