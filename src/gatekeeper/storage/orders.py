"""Orders: what customers want to pay once, and their payments. Part of the storage port."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

import msgspec

from gatekeeper.projection.orders import OrderStatus

OrderPlace = tuple[datetime, str]
"""Where an order stands in a list: when it was made, and its id."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer is to pay once, as the host's own function has priced it.

    Attributes:
        id: ours.
        customer: who pays.
        actor: who has made it for them.
        reference: the host's own id of it, unique among the customer's.
        items: JSON: what the customer has asked for, as it was priced.
        metadata: JSON: words of the host's, for Stripe; nothing is read from them.
        capture: "automatic", or "manual": the money is held until it is captured.
        seller: the host's customer whose sale it is, if it is a seller's.
        commission_minor: what of it the seller does not get.
        transfers: "destination" or "separate": how the seller gets the rest.
        revision: from 1 on: how often it was priced.
        payment_id: the payment that is being made for it, or was.
        authorized_minor: what is held, to be captured.
        failure: why the last attempt failed, by Stripe's code.
    """

    id: str
    customer: str
    status: OrderStatus
    amount_minor: int
    currency: str
    created_at: datetime
    updated_at: datetime
    actor: str | None = None
    reference: str | None = None
    description: str | None = None
    items: str = "null"
    metadata: str = "{}"
    capture: str = "automatic"
    seller: str | None = None
    commission_minor: int = 0
    transfers: str = "destination"
    revision: int = 1
    payment_id: str | None = None
    checkout_session_id: str | None = None
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    failure: str | None = None
    paid_at: datetime | None = None
    canceled_at: datetime | None = None
    cancel_reason: str | None = None

    @property
    def place(self) -> OrderPlace:
        """Where it stands in a list."""
        return self.created_at, self.id


class OrderPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that was begun for an order, as Stripe has it.

    Attributes:
        id: of the payment intent.
        charge_id: of the charge that took the money, or the last that tried.
        failure: see `gatekeeper.projection.orders.PaymentFacts`.
        fault: why it can't pay the order: it is another customer's, say.
    """

    id: str
    order_id: str
    customer: str
    status: str
    amount_minor: int
    currency: str
    created_at: datetime
    capturable_minor: int = 0
    received_minor: int = 0
    returned_minor: int = 0
    charge_id: str | None = None
    failure: str | None = None
    fault: str | None = None


class Orders(ABC):
    """What customers pay once."""

    @abstractmethod
    def insert(self, order: Order) -> bool:
        """Add an order; False if there is one of its id, or of its customer's reference."""

    @abstractmethod
    def get(self, order_id: str, *, lock: bool = False) -> Order | None:
        """An order by our id, locked until the end of the transaction if asked for."""

    @abstractmethod
    def by_reference(self, customer: str, reference: str) -> Order | None:
        """A customer's order by the host's own id of it."""

    @abstractmethod
    def by_session(self, session_id: str) -> Order | None:
        """The order that is, or was last, paid in a checkout session."""

    @abstractmethod
    def save(self, order: Order) -> None:
        """Write an order's fields."""

    @abstractmethod
    def of_customer(
        self, customer: str, limit: int, before: OrderPlace | None = None
    ) -> Sequence[Order]:
        """A customer's orders, the newest first; only what comes after `before` in that order."""

    @abstractmethod
    def of_seller(
        self, seller: str, limit: int, before: OrderPlace | None = None
    ) -> Sequence[Order]:
        """The orders of a seller's sales, in the same way."""

    @abstractmethod
    def unsettled_after(self, order_id: str, since: datetime, limit: int) -> Sequence[Order]:
        """Everybody's orders that are pending, processing or failed, of which a payment or checkout
        session was begun, and that were made since, by id, beginning after one."""

    @abstractmethod
    def payment(self, payment_id: str) -> OrderPayment | None:
        """A payment by its intent's id. Who means to write it locks the order first."""

    @abstractmethod
    def payments(self, order_id: str) -> Sequence[OrderPayment]:
        """The payments of an order, the oldest first."""

    @abstractmethod
    def put_payment(self, payment: OrderPayment) -> None:
        """Write a payment, in the place of what was known of it."""
