"""Subscriptions that begin in the host's own page, with Elements instead of Checkout.

The subscription is made `incomplete` and its first payment is confirmed in the page
(https://docs.stripe.com/billing/subscriptions/build-subscriptions?ui=elements). Nothing is given
until Stripe says that it was paid. A trial, or a first invoice of nothing, leaves a payment method
to be confirmed instead; a trial that ends without one ends the subscription.
"""

import hashlib
from typing import Any, Final

import msgspec

from gatekeeper.catalog import PriceEntry
from gatekeeper.entitlements import TERMINAL
from gatekeeper.errors import (
    DiscountError,
    GatekeeperError,
    InvalidInputError,
    StripeRequestError,
)
from gatekeeper.services import purchases
from gatekeeper.services.purchases import ELEMENTS
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus
from gatekeeper.stripe.checkout_params import check_quantity
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.open_checkouts import may_try, trial_days_of
from gatekeeper.stripe.subscribing.begun import begun, begun_at_once, purchase_id, under
from gatekeeper.stripe.subscribing.discounts import Discount, Discounts, is_alike, refused
from gatekeeper.stripe.subscribing.means import Means, secret_of
from gatekeeper.stripe.subscribing.values import Started
from gatekeeper.types import check_id

OPERATION: Final = "subscriptions create"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: a price of the catalogue, how many, and what is taken off."""

    entry: PriceEntry
    quantity: int
    discount: Discount
    price_id: str
    metered: tuple[str, ...]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of the subscription."""
        return [
            {"price": self.price_id, "quantity": self.quantity},
            *({"price": one} for one in self.metered),
        ]


class Starting:
    """Begins subscriptions."""

    def __init__(self, means: Means, discounts: Discounts) -> None:
        self._means = means
        self._discounts = discounts
        means.outgoing.on_resumed(OPERATION, _attach, look=self._look)

    async def asked(
        self, price: str, quantity: int, coupon: str | None, promotion_code: str | None
    ) -> Asked:
        """What is asked for, checked.

        Raises:
            UnknownNameError, InvalidInputError, InvalidAmountError, DiscountError.
            ConfigurationError: Stripe has another price than the catalogue; see `SoldPrices`.
        """
        entry = self._means.rules.catalog.price(price)
        if entry.plan is None:
            raise InvalidInputError(f"{price!r} is not the price of a plan.")
        check_quantity(entry, quantity)
        return Asked(
            entry=entry,
            quantity=quantity,
            discount=await self._discounts.asked(coupon, promotion_code),
            price_id=await self._means.prices.price_id(entry),
            metered=tuple(await self._means.prices.metered_ids(entry)),
        )

    async def start(self, customer: str, asked: Asked, idempotency_key: str | None) -> Started:
        """Begin it, or go on with the one that was begun and waits for its payment; under a key
        that was used before, with that one, whatever it has become."""
        check_id(customer, "customer")
        own = purchase_id(customer, idempotency_key)
        known = await self._means.store.read(lambda tx: tx.purchases.get(own))
        if known is None or known.subscription_id is None:
            waiting = await self._waiting(customer, asked)
            if waiting is not None:
                return await self._told(await self._under(own, waiting, idempotency_key))
        stripe_id = await self._means.identities.ensure(customer)
        purchase, trial_days, again = await self._opened(customer, asked, own)
        if again and purchase.subscription_id is None:
            purchase = await self._heard_late(purchase, stripe_id)
        if purchase.subscription_id is not None:
            found = await self._means.with_secrets(purchase.subscription_id)
            if found["status"] not in TERMINAL:
                return await self._told(purchase, found)

        async def create(stripe_customer: str) -> Purchase:
            return await self._create(purchase, asked, trial_days, stripe_customer)

        try:
            purchase = await self._means.with_customer(customer, create)
        except GatekeeperError as error:  # nobody has its secret: it is in the way of no trial
            await self._means.store.write(lambda tx: purchases.abandon(tx, purchase.id))
            if isinstance(error, StripeRequestError) and refused(error):
                raise DiscountError from error
            raise
        return await self._told(await self._under(own, purchase, idempotency_key))

    # -- its steps --------------------------------------------------------------------------------

    async def _opened(
        self, customer: str, asked: Asked, own: str
    ) -> tuple[Purchase, int | None, bool]:
        """The purchase's row, the days of its trial, decided under the lock of the customer's row,
        and whether the row was there: of the same request, now or earlier."""
        means, lookup_key = self._means, asked.entry.price.lookup_key

        def work(tx: Transaction) -> tuple[Purchase, int | None, bool]:
            tx.customers.get(customer, lock=True)  # the same request, twice at once: one by one
            wanted = Purchase(
                id=own,
                customer=customer,
                price_lookup_key=lookup_key,
                quantity=asked.quantity,
                mode=ELEMENTS,
                status=PurchaseStatus.PENDING,
                created_at=tx.now(),
            )
            again = tx.purchases.get(own) is not None
            beside = None if again else begun_at_once(tx, wanted)
            opened = beside or purchases.open_purchase(tx, wanted)
            trial_days = trial_days_of(asked.entry)
            if trial_days is not None and not may_try(tx, means.rules, opened):
                trial_days = None
            return opened, trial_days, again or beside is not None

        return await means.store.write(work)

    async def _heard_late(self, purchase: Purchase, stripe_customer: str) -> Purchase:
        """The purchase with the subscription that was made for it, if an answer was lost: it is not
        asked for again, since what was to be asked for then (a trial) may not be so now."""
        made = await self._made(stripe_customer, purchase.id)
        if made is None:
            return purchase

        def work(tx: Transaction) -> Purchase:
            return purchases.attach_subscription(tx, purchase.id, made["id"], None) or purchase

        return await self._means.store.write(work)

    async def _create(
        self, purchase: Purchase, asked: Asked, trial_days: int | None, stripe_customer: str
    ) -> Purchase:
        params: dict[str, Any] = {
            "customer": stripe_customer,
            "items": asked.items,
            "payment_behavior": "default_incomplete",
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "metadata": {"gatekeeper_purchase": purchase.id},
        }
        if asked.discount is not None:
            params["discounts"] = [asked.discount]
        if trial_days is not None:
            params["trial_period_days"] = trial_days
            params["trial_settings"] = {"end_behavior": {"missing_payment_method": "cancel"}}
        replaces = purchase.subscription_id
        parts = (asked.discount, trial_days, stripe_customer, replaces)
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

        def attach(tx: Transaction, made: Obj) -> Purchase:
            attached = purchases.attach_subscription(tx, purchase.id, made["id"], replaces)
            return purchase if attached is None else attached

        return await self._means.outgoing.post(
            OPERATION,
            "/v1/subscriptions",
            params,
            customer=purchase.customer,
            idempotency_key=f"gatekeeper-{purchase.id}-{digest}",
            settle=attach,
            keeps_trying=False,  # its customer has been told that it failed
        )

    async def _under(self, own: str, purchase: Purchase, key: str | None) -> Purchase:
        if key is None or own == purchase.id:
            return purchase
        return await self._means.store.write(lambda tx: under(tx, own, purchase))

    async def _waiting(self, customer: str, asked: Asked) -> Purchase | None:
        """The one of the same price that was begun and is still to be confirmed. One that waits
        with another quantity or discount is given up: two can't be paid by mistake."""
        for purchase in await self._means.store.read(
            lambda tx: begun(tx, customer, asked.entry.price.lookup_key)
        ):
            assert purchase.subscription_id is not None
            found = await self._means.with_secrets(purchase.subscription_id)
            if found["status"] in TERMINAL or secret_of(found) is None:
                continue
            same = purchase.quantity == asked.quantity and is_alike(found, asked.discount)
            if same:
                return purchase
            if found["status"] == "incomplete":
                await self._means.gateway.cancel_subscription(found["id"])
                await self._means.seen(customer, found["id"])
        return None

    async def _told(self, purchase: Purchase, found: Obj | None = None) -> Started:
        assert purchase.subscription_id is not None
        view = await self._means.seen(purchase.customer, purchase.subscription_id)
        found = found or await self._means.with_secrets(purchase.subscription_id)
        invoice = found.get("latest_invoice") or {}
        return Started(
            purchase_id=purchase.id,
            subscription=view,
            secret=secret_of(found),
            amount_due_minor=invoice.get("amount_remaining") or 0,
            currency=found["currency"],
        )

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The subscription that a request has made."""
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        return await self._made(asked["customer"], asked["metadata"]["gatekeeper_purchase"])

    async def _made(self, stripe_customer: str, named: str) -> Obj | None:
        """The running subscription that was made for a purchase of ours. (A customer's are few.)"""
        made = await self._means.gateway.listed(
            "/v1/subscriptions",
            {"customer": stripe_customer, "status": "all"},
            what="listing subscriptions",
        )
        ours = (
            one
            for one in made
            if (one.get("metadata") or {}).get("gatekeeper_purchase") == named
            and one["status"] not in TERMINAL
        )
        return next(ours, None)


def _attach(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    """The process died before it heard of the subscription: the purchase gets it all the same, so
    that the same request finds it."""
    asked: dict[str, Any] = msgspec.json.decode(request.params)
    purchase = tx.purchases.get(asked["metadata"]["gatekeeper_purchase"], lock=True)
    if purchase is not None and purchase.customer == request.customer:
        purchases.attach_subscription(tx, purchase.id, made["id"], None)
