"""What the parts of the desk share: the way to Stripe, and to what a customer may touch."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from gatekeeper.errors import ConflictError, NotFoundError, StripeRequestError
from gatekeeper.services.history import Because
from gatekeeper.services.rules import Downgrades, Rules
from gatekeeper.services.upcoming import SubscriptionView, subscription_of
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.sold_prices import SoldPrices
from gatekeeper.stripe.subscribing.values import Secret
from gatekeeper.stripe.webhooks.handlers import Projections
from gatekeeper.types import check_id

T = TypeVar("T")

_ASKED: Final = Because("request")

_SECRETS: Final = ("latest_invoice.confirmation_secret", "pending_setup_intent", "discounts")
"""The secret of a first invoice is there since 2025-03-31 (basil):
https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices"""

_TO_CONFIRM: Final = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action"}
)


class SubscribingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the host allows.

    Attributes:
        downgrades: when less takes effect.
        coupons: the ids of the coupons that may be named; all others are refused.
        checkout_promotion_codes: whether people can type a code on the checkout page.
    """

    downgrades: Downgrades = "period_end"
    coupons: frozenset[str] = frozenset()
    checkout_promotion_codes: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """The parts of a gate that the desk works with."""

    gateway: StripeGateway
    store: Store
    rules: Rules
    outgoing: OutgoingRequests
    identities: StripeIdentities
    prices: SoldPrices
    projections: Projections
    policy: SubscribingPolicy

    async def owned(self, customer: str, subscription_id: str) -> Obj:
        """A customer's own subscription as Stripe has it now.

        Raises:
            NotFoundError: this customer has none of this id; somebody else's is none.
        """
        await self.check_owner(customer, subscription_id)
        found = await self.gateway.fetch("subscription", subscription_id)
        if found is None:
            raise NotFoundError("There is no such subscription.")
        return found

    async def check_owner(self, customer: str, subscription_id: str) -> None:
        """As `owned`, without asking Stripe."""
        check_id(customer, "customer")
        check_id(subscription_id, "subscription")
        known = await self.store.read(lambda tx: tx.subscriptions.get(subscription_id))
        if known is None or known.customer != customer:
            raise NotFoundError("There is no such subscription.")

    async def update(
        self,
        operation: str,
        subscription_id: str,
        params: Mapping[str, Any],
        *,
        customer: str,
        idempotency_key: str | None,
        path: str = "",
    ) -> None:
        """Change a subscription: `path` is below its own."""
        await self.outgoing.post(
            operation,
            f"/v1/subscriptions/{subscription_id}{path}",
            params,
            customer=customer,
            idempotency_key=key_of(operation, customer, subscription_id, idempotency_key),
            settle=_nothing,
            keeps_trying=False,  # its customer has been told that it failed
        )

    async def seen(self, customer: str, subscription_id: str) -> SubscriptionView:
        """The subscription after it was looked at once more, so that the answer to a change shows
        what it has changed; the webhook that tells of it may come later.

        Raises:
            ConflictError: it is not the customer's at Stripe any more.
        """
        await self.projections.subscriptions.refresh(subscription_id, because=_ASKED)
        view = await self.store.read(
            lambda tx: subscription_of(tx, self.rules, customer, subscription_id)
        )
        if view is None:
            raise ConflictError("The subscription does not belong to this customer at Stripe.")
        return view

    async def with_secrets(self, subscription_id: str) -> Obj:
        """A subscription with what of it is left to be confirmed."""
        path = f"/v1/subscriptions/{subscription_id}"
        found = await self.gateway.get(
            path, {"expand": list(_SECRETS)}, what="fetching a subscription"
        )
        if found is None:
            raise NotFoundError("There is no such subscription.")
        return found

    async def with_customer(self, customer: str, ask: Callable[[str], Awaitable[T]]) -> T:
        """Ask Stripe something about the customer, whom it may have deleted since."""
        stripe_customer = await self.identities.ensure(customer)
        try:
            return await ask(stripe_customer)
        except StripeRequestError as error:
            refused = (error.params.get("stripe_code"), error.params.get("stripe_param"))
            if refused != ("resource_missing", "customer"):
                raise
        return await ask(await self.identities.ensure(customer, instead_of=stripe_customer))

    def is_done_once(self, operation: str) -> None:
        """Declare an operation that is not carried out behind anybody's back: who asked for it was
        told that it failed, and may have asked for something else since."""
        self.outgoing.on_resumed(operation, None, look=_asked_again, is_for_now=True)


def key_of(operation: str, *parts: str | None) -> str | None:
    """Stripe's idempotency key of what was asked for under a key of the caller's, the last of the
    parts; None without one."""
    if parts[-1] is None:
        return None
    check_id(parts[-1], "idempotency key")
    digest = hashlib.sha256(repr((operation, parts)).encode()).hexdigest()
    return f"gatekeeper-{digest}"


def secret_of(found: Obj) -> Secret | None:
    """What is left to be confirmed of a subscription that was fetched `with_secrets`: its open
    invoice, or else a payment method for later
    (https://docs.stripe.com/billing/subscriptions/trials#create-free-trials-without-payment)."""
    invoice = found.get("latest_invoice")
    if isinstance(invoice, dict) and invoice.get("status") == "open":
        secret = (invoice.get("confirmation_secret") or {}).get("client_secret")
        if secret is not None:
            return Secret(client_secret=secret, confirms="payment")
    setup = found.get("pending_setup_intent")
    if isinstance(setup, dict) and setup.get("status") in _TO_CONFIRM:
        return Secret(client_secret=setup["client_secret"], confirms="setup")
    return None


def moment(second: int) -> datetime:
    """An instant of Stripe's."""
    return datetime.fromtimestamp(second, UTC)


async def _asked_again(request: OutgoingRequest) -> Obj | None:
    """What was asked for again was judged by what Stripe has now: it was not done, or does no harm
    when it is done twice."""
    return None


def _nothing(tx: Transaction, answer: Obj) -> None:
    """What follows from a change is written by the look that comes after it."""
