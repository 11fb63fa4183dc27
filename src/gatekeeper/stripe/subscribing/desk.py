"""The desk: what a customer may do about subscriptions, in the host's own page.

Prices come from the catalogue, subscriptions are the customer's own, and every answer shows the
state after it: Stripe is asked again once the change is made. Never on the path of a gated request.
"""

from datetime import datetime

from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.stripe.subscribing.changing import Changing
from gatekeeper.stripe.subscribing.discounts import Discounts
from gatekeeper.stripe.subscribing.ending import Ending
from gatekeeper.stripe.subscribing.intents import Intents
from gatekeeper.stripe.subscribing.means import Means
from gatekeeper.stripe.subscribing.previews import Previews
from gatekeeper.stripe.subscribing.schedules import Schedules
from gatekeeper.stripe.subscribing.starting import Starting
from gatekeeper.stripe.subscribing.values import Changed, Preview, PromotionCode, Started, When


class Subscribing:
    """Begins subscriptions, changes them and ends them.

    Every method raises `NotFoundError` for a subscription that is not the customer's own,
    `StripeUnavailableError` if Stripe does not answer and `StripeRequestError` if it refuses. The
    same `idempotency_key` does a thing once.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._discounts = Discounts(means.gateway, means.policy.coupons)
        self._starting = Starting(means, self._discounts)
        self._previews = Previews(means)
        self._intents = Intents(means)
        self._schedules = Schedules(means)
        self._changing = Changing(means, self._schedules)
        self._ending = Ending(means, self._schedules)

    # -- beginning --------------------------------------------------------------------------------

    async def subscribe(
        self,
        customer: str,
        price: str,
        *,
        quantity: int = 1,
        coupon: str | None = None,
        promotion_code: str | None = None,
        idempotency_key: str | None = None,
    ) -> Started:
        """Begin a subscription that is paid in the page, or go on with the one of this price that
        waits for its payment.

        Args:
            price: a lookup key of the catalogue, of a plan.
            coupon: the id of a coupon that the settings name.
            promotion_code: what the person typed.

        Raises:
            UnknownNameError, InvalidInputError, InvalidAmountError.
            DiscountError: this code can't be used, or not for this.
            IdempotencyConflictError: the key was used for something else.
            ConfigurationError: Stripe has another price than the catalogue.
            CustomerNotFoundError.
        """
        asked = await self._starting.asked(price, quantity, coupon, promotion_code)
        return await self._starting.start(customer, asked, idempotency_key)

    async def preview_start(
        self,
        customer: str,
        price: str,
        *,
        quantity: int = 1,
        coupon: str | None = None,
        promotion_code: str | None = None,
    ) -> Preview:
        """What `subscribe` would cost; it raises as that does."""
        asked = await self._starting.asked(price, quantity, coupon, promotion_code)
        return await self._previews.of_start(customer, asked)

    async def promotion_code(self, code: str) -> PromotionCode:
        """What a promotion code takes off.

        Raises:
            DiscountError: there is none like it that is active.
        """
        return await self._discounts.look_up(code)

    # -- changing ---------------------------------------------------------------------------------

    async def preview(
        self,
        customer: str,
        subscription_id: str,
        *,
        price: str | None = None,
        quantity: int | None = None,
        when: When | None = None,
    ) -> Preview:
        """What `change` would cost, and when it would take effect; it raises as that does."""
        intent = await self._intents.judged(
            customer, subscription_id, price=price, quantity=quantity, when=when, as_of=None
        )
        return await self._previews.of_change(customer, intent)

    async def change(
        self,
        customer: str,
        subscription_id: str,
        *,
        price: str | None = None,
        quantity: int | None = None,
        when: When | None = None,
        as_of: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Changed:
        """Change the plan, its period or the quantity.

        More is had at once, and the rest of the period is billed; less with the next period, or by
        the settings at once. What waits for the next period is taken back by the next change, or by
        a change to what there is.

        Args:
            price: a lookup key of the catalogue; None keeps the price.
            quantity: None keeps it.
            when: "period_end" lets more wait too.
            as_of: the instant `at` of a preview, if what it showed is to be billed.

        Raises:
            UnknownNameError, InvalidInputError, InvalidAmountError.
            ConflictError: it is not running, about to end or paused; it is billed in another
                currency; a schedule of the host's directs it; or the preview is out of date.
            ConfigurationError: Stripe has another price than the catalogue.
        """
        intent = await self._intents.judged(
            customer, subscription_id, price=price, quantity=quantity, when=when, as_of=as_of
        )
        return await self._changing.change(customer, intent, idempotency_key)

    # -- ending and pausing -----------------------------------------------------------------------

    async def cancel(
        self,
        customer: str,
        subscription_id: str,
        *,
        when: When = "period_end",
        idempotency_key: str | None = None,
    ) -> Changed:
        """End it, with its period or now. Nothing is refunded.

        Raises:
            ConflictError: now, although what was used is billed at the end of its period.
        """
        return await self._ending.cancel(customer, subscription_id, when, idempotency_key)

    async def pause(
        self, customer: str, subscription_id: str, *, idempotency_key: str | None = None
    ) -> Changed:
        """Bill nothing and give nothing until it is resumed.

        Raises:
            ConflictError: it is not active; or `GATEKEEPER_PAUSE_COLLECTION_ACCESS` is `keep`.
        """
        return await self._ending.pause(customer, subscription_id, idempotency_key)

    async def resume(
        self, customer: str, subscription_id: str, *, idempotency_key: str | None = None
    ) -> Changed:
        """Take back a cancellation that waits for the end of the period, or a pause.

        Raises:
            ConflictError: it has ended, or is to end when the host has set it.
        """
        return await self._ending.resume(customer, subscription_id, idempotency_key)

    async def look(self, customer: str, subscription_id: str) -> SubscriptionView:
        """A subscription as Stripe has it now."""
        await self._means.check_owner(customer, subscription_id)
        return await self._means.seen(customer, subscription_id)
