"""Buying: checkout and the customer portal."""

from collections.abc import Sequence

from gatekeeper.gate.wired import Wired
from gatekeeper.storage.records import Purchase
from gatekeeper.stripe.checkout import CheckoutLink
from gatekeeper.stripe.subscribing import PaymentMethods, Subscribing
from gatekeeper.types import check_limit


class BuyingMethods(Wired):
    """What starts at the host and goes on at Stripe."""

    @property
    def subscribing(self) -> Subscribing:
        """Subscriptions in the host's own page: begun, changed, ended.

        Raises:
            ConfigurationError: there is no key of Stripe's.
        """
        return self._parts.with_stripe.subscribing

    @property
    def payment_methods(self) -> PaymentMethods:
        """The payment methods that customers have saved.

        Raises:
            ConfigurationError: there is no key of Stripe's.
        """
        return self._parts.with_stripe.payment_methods

    async def checkout(
        self,
        customer: str,
        price: str,
        *,
        success_url: str,
        cancel_url: str,
        quantity: int = 1,
        coupon: str | None = None,
        promotion_code: str | None = None,
        idempotency_key: str | None = None,
    ) -> CheckoutLink:
        """Start a checkout at Stripe for a price of the catalogue, by its lookup key."""
        return await self._parts.with_stripe.checkout.start(
            customer,
            price,
            success_url=success_url,
            cancel_url=cancel_url,
            quantity=quantity,
            coupon=coupon,
            promotion_code=promotion_code,
            idempotency_key=idempotency_key,
        )

    async def checkout_status(self, purchase_id: str, customer: str) -> Purchase:
        """How far a checkout of this customer's has come, asking Stripe while it is pending; it is
        named by its id, or by that of its session (`{CHECKOUT_SESSION_ID}` in a success URL)."""
        return await self._parts.with_stripe.checkout.status(purchase_id, customer)

    async def duplicate_purchases(
        self, customer: str | None = None, *, limit: int = 100
    ) -> Sequence[Purchase]:
        """Subscriptions that were paid beside another of the same plan, in checkouts that were open
        at once, of one customer or of all, the newest first; `duplicate_of` is the other one.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        return await self._parts.store.read(lambda tx: tx.purchases.duplicates(limit, customer))

    async def portal(self, customer: str, *, return_url: str) -> str:
        """The address of Stripe's customer portal for this customer."""
        return await self._parts.with_stripe.checkout.portal(customer, return_url=return_url)
