"""Checkout and the customer portal: where customers are sent to pay, and where they come back."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from uuid_utils.compat import uuid7

from gatekeeper.catalog import PriceEntry
from gatekeeper.errors import (
    ConflictError,
    DiscountError,
    GatekeeperError,
    NotFoundError,
    StripeRequestError,
)
from gatekeeper.services import purchases
from gatekeeper.services.history import Because
from gatekeeper.services.outbox.caches import Invalidate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus
from gatekeeper.stripe.checkout_params import (
    SessionRequest,
    check_quantity,
    check_url,
    with_purchase,
)
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.open_checkouts import find_open, may_try, trial_days_of
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.sold_prices import SoldPrices
from gatekeeper.stripe.subscribing.discounts import Discount, Discounts, is_alike, refused
from gatekeeper.stripe.subscribing.means import SubscribingPolicy
from gatekeeper.stripe.webhooks.handlers import Projections
from gatekeeper.types import check_id

T = TypeVar("T")

_OPERATION: Final = "checkout sessions create"
_ASKED: Final = Because("checkout")


@dataclass(frozen=True, slots=True)
class CheckoutLink:
    """Where to send the customer. The purchase's id is how the host asks what came of it."""

    purchase_id: str
    session_id: str
    url: str


class Checkout:
    """Starts checkouts and follows them. Never on the path of a gated request: it asks Stripe."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        rules: Rules,
        invalidate: Invalidate,
        outgoing: OutgoingRequests | None = None,
        policy: SubscribingPolicy = SubscribingPolicy(),  # noqa: B008 - immutable
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._rules = rules
        self._outgoing = outgoing or OutgoingRequests(gateway, store)
        self._outgoing.on_resumed(_OPERATION, _attach, look=self._look)
        self._identities = StripeIdentities(gateway, self._outgoing, store)
        self._prices = SoldPrices(gateway, store, rules)
        projections = Projections(gateway, store, rules, invalidate)
        self._sessions, self._subscriptions = projections.checkouts, projections.subscriptions
        self._discounts = Discounts(gateway, policy.coupons)
        self._takes_codes = policy.checkout_promotion_codes

    async def start(
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
        """Start a checkout for a price of the catalogue, by its lookup key.

        The same `idempotency_key` of the same customer gives the same session while it is open,
        and another one once it has expired. So does, without a key, the same subscription with the
        same URLs. `{PURCHASE_ID}` in `success_url` is replaced here, and `{CHECKOUT_SESSION_ID}`
        by Stripe. `coupon` is one that the settings name, `promotion_code` what a person typed.

        Raises:
            UnknownNameError: the catalogue has no such price.
            InvalidInputError: a URL is none, or the quantity is out of range.
            DiscountError: this code can't be used, or not for this.
            ConfigurationError: Stripe has no such price, or another one than the catalogue
                declares; `gatekeeper stripe setup` mends it.
            IdempotencyConflictError: the key was used for something else.
            ConflictError: the key's checkout has been paid.
            CustomerNotFoundError, StripeUnavailableError, StripeRequestError.
        """
        entry = self._rules.catalog.price(price)
        check_quantity(entry, quantity)
        for url in (success_url, cancel_url):
            check_url(url)
        price_id = await self._prices.price_id(entry)
        metered = await self._prices.metered_ids(entry)
        discount = await self._discounts.asked(coupon, promotion_code)
        if entry.price.every is not None:
            urls = (success_url, cancel_url)
            same = await self._same(customer, entry, quantity, urls, discount)
            if same is not None and idempotency_key is None:
                return same
        wanted, trial_days = await self._opened(customer, entry, quantity, idempotency_key)
        running = await self._running(wanted)
        if running is not None:
            return running

        asked = SessionRequest(
            wanted,
            price_id,
            metered,
            trial_days,
            success_url,
            cancel_url,
            discount,
            self._takes_codes,
        )
        try:
            session = await self._with_customer(customer, partial(self._create, asked))
        except GatekeeperError as error:  # nobody has its link: it is in the way of no trial
            await self._store.write(lambda tx: purchases.abandon(tx, wanted.id))
            if isinstance(error, StripeRequestError) and discount and refused(error):
                raise DiscountError from error
            raise
        return CheckoutLink(wanted.id, session["id"], session["url"])

    async def status(self, purchase_id: str, customer: str) -> Purchase:
        """How far a purchase of this customer's has come; it is named by its id, or by that of
        its checkout session.

        While it is pending, Stripe is asked and what is paid is given, exactly as by the webhook:
        the customer who comes back before it need not wait.

        Raises:
            NotFoundError: this customer has no such purchase.
            StripeUnavailableError, StripeRequestError.
        """
        check_id(purchase_id, "purchase")
        purchase = await self._owned(purchase_id, customer)
        if purchase.status is PurchaseStatus.PENDING and purchase.checkout_session_id is not None:
            await self._sessions.refresh(purchase.checkout_session_id)
            purchase = await self._owned(purchase_id, customer)
        elif purchase.status is PurchaseStatus.PENDING and purchase.subscription_id is not None:
            await self._subscriptions.refresh(purchase.subscription_id, because=_ASKED)
            purchase = await self._owned(purchase_id, customer)
        return purchase

    async def portal(self, customer: str, return_url: str) -> str:
        """The address of Stripe's customer portal for this customer; good for some minutes.

        Raises:
            InvalidInputError: the URL is none.
            CustomerNotFoundError, StripeUnavailableError, StripeRequestError.
        """
        check_url(return_url)

        async def create(stripe_customer: str) -> Obj:
            return await self._gateway.create_portal_session(
                {"customer": stripe_customer, "return_url": return_url}
            )

        return str((await self._with_customer(customer, create))["url"])

    # -- the steps of a start ---------------------------------------------------------------------

    async def _opened(
        self, customer: str, entry: PriceEntry, quantity: int, idempotency_key: str | None
    ) -> tuple[Purchase, int | None]:
        """The purchase's row, written before anybody is sent anywhere, and the days of its trial,
        decided under the lock of the customer's row."""
        purchase_id = f"pur_{uuid7().hex}"
        if idempotency_key is not None:
            check_id(idempotency_key, "idempotency key")
            scoped = repr((customer, idempotency_key)).encode()
            purchase_id = f"pur_{hashlib.sha256(scoped).hexdigest()[:32]}"
        await self._identities.ensure(customer)

        def work(tx: Transaction) -> tuple[Purchase, int | None]:
            tx.customers.get(customer, lock=True)  # the same request, twice at once: one by one
            opened = purchases.open_purchase(
                tx,
                Purchase(
                    id=purchase_id,
                    customer=customer,
                    price_lookup_key=entry.price.lookup_key,
                    quantity=quantity,
                    mode="payment" if entry.price.every is None else "subscription",
                    status=PurchaseStatus.PENDING,
                    created_at=tx.now(),
                ),
            )
            trial_days = trial_days_of(entry)
            if trial_days is not None and not may_try(tx, self._rules, opened):
                trial_days = None
            return opened, trial_days

        return await self._store.write(work)

    async def _create(self, asked: SessionRequest, stripe_customer: str) -> Obj:
        """Make the session, and write down whose purchase it is of."""
        purchase = asked.purchase

        def attach(tx: Transaction, session: Obj) -> Obj:
            replaces = purchase.checkout_session_id
            purchases.attach_session(tx, purchase.id, session["id"], replaces)
            return session

        return await self._outgoing.post(
            _OPERATION,
            "/v1/checkout/sessions",
            asked.params(stripe_customer),
            customer=purchase.customer,
            idempotency_key=asked.idempotency_key(stripe_customer),
            settle=attach,
            keeps_trying=False,  # its customer has been told that it failed
        )

    async def _same(
        self,
        customer: str,
        entry: PriceEntry,
        quantity: int,
        urls: tuple[str, str],
        discount: Discount,
    ) -> CheckoutLink | None:
        """The link to the customer's open checkout of this subscription, if there is one."""
        check_id(customer, "customer")
        open_ones = await find_open(self._gateway, self._store, self._sessions, customer)
        for purchase, session in open_ones:
            asked = (entry.price.lookup_key, quantity, with_purchase(urls[0], purchase.id), urls[1])
            if is_alike(session, discount) and asked == (
                purchase.price_lookup_key,
                purchase.quantity,
                session.get("success_url"),
                session.get("cancel_url"),
            ):
                return CheckoutLink(purchase.id, session["id"], session["url"])
        return None

    async def _running(self, purchase: Purchase) -> CheckoutLink | None:
        """The link to the session that the purchase has already, if it is still open."""
        session_id = purchase.checkout_session_id
        if session_id is None:
            return None
        session = await self._gateway.fetch("checkout.session", session_id)
        if session is not None and session["status"] == "open":
            return CheckoutLink(purchase.id, session_id, session["url"])
        if session is not None and session["status"] == "complete":
            raise ConflictError(
                "The checkout of this idempotency key has been completed.", purchase=purchase.id
            )
        return None

    async def _with_customer(self, customer: str, ask: Callable[[str], Awaitable[T]]) -> T:
        """Ask Stripe something about the customer, whom it may have deleted since."""
        stripe_customer = await self._identities.ensure(customer)
        try:
            return await ask(stripe_customer)
        except StripeRequestError as error:
            refused = (error.params.get("stripe_code"), error.params.get("stripe_param"))
            if refused != ("resource_missing", "customer"):
                raise
        return await ask(await self._identities.ensure(customer, instead_of=stripe_customer))

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The session that a request has made, if it is open still. One that is over, unpaid, is as
        good as none; nobody had the link to pay it."""
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        sessions = self._gateway.pages(
            "/v1/checkout/sessions",
            {"customer": asked["customer"], "status": "open"},
            what="listing checkout sessions",
        )
        async for page in sessions:
            for found in page:
                if found.get("client_reference_id") == asked["client_reference_id"]:
                    return found
        return None

    async def _owned(self, purchase_id: str, customer: str) -> Purchase:
        purchase = await self._store.read(
            lambda tx: tx.purchases.get(purchase_id) or tx.purchases.by_session(purchase_id)
        )
        if purchase is None or purchase.customer != customer:
            raise NotFoundError("There is no such purchase.")
        return purchase


def _attach(tx: Transaction, request: OutgoingRequest, session: Obj) -> None:
    """The process died before it heard of the session: the purchase gets it all the same, so that
    the same request finds it."""
    purchase = tx.purchases.get(str(session.get("client_reference_id")), lock=True)
    if purchase is not None and purchase.customer == request.customer:
        purchases.attach_session(tx, purchase.id, session["id"], None)
