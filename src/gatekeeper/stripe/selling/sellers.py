"""Connected accounts: made once for each seller, and brought through Stripe's onboarding.

An account is described by what it may and who answers for it, not by a type. Ours are what Stripe
calls Express (https://docs.stripe.com/connect/migrate-to-controller-properties): Stripe collects
what it must know of the seller and gives them a small dashboard; the platform pays Stripe's fees
and answers for negative balances, as it does for destination charges anyway.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from gatekeeper.errors import InvalidInputError, SellerNotReadyError, StripeRequestError
from gatekeeper.projection.mirrored import project_copies
from gatekeeper.services import sellers
from gatekeeper.services.mirror import save_objects
from gatekeeper.services.sellers import SellerState
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.sellers import Seller
from gatekeeper.stripe.checkout_params import check_url
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.webhooks.handlers.mirror import MirrorProjector
from gatekeeper.types import check_id, check_limit

_OPERATION: Final = "accounts create"

_CLOCKS: Final = timedelta(minutes=5)
"""How far Stripe's clock may be behind ours."""

_MADE_FOR: Final = "gatekeeper_request"
"""The key of metadata by which an account is found again whose making was not heard of."""

_EXPRESS: Final = {
    "controller": {
        "fees": {"payer": "application"},
        "losses": {"payments": "application"},
        "requirement_collection": "stripe",
        "stripe_dashboard": {"type": "express"},
    },
    "capabilities": {
        "card_payments": {"requested": True},
        "transfers": {"requested": True},
    },
}


class SellerBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller has in one currency.

    Attributes:
        available_minor: what can be paid out; negative, if they owe.
        pending_minor: what will be available soon.
    """

    currency: str
    available_minor: int
    pending_minor: int


class SellerPayout(msgspec.Struct, frozen=True, kw_only=True):
    """Money that goes to a seller's bank.

    Attributes:
        status: Stripe's word: pending, in_transit, paid, failed or canceled.
    """

    id: str
    status: str
    amount_minor: int
    currency: str
    arrives_at: datetime
    created_at: datetime


def _payout(found: Obj) -> SellerPayout:
    return SellerPayout(
        id=found["id"],
        status=found["status"],
        amount_minor=found["amount"],
        currency=found["currency"],
        arrives_at=datetime.fromtimestamp(found["arrival_date"], UTC),
        created_at=datetime.fromtimestamp(found["created"], UTC),
    )


class SellerDesk:
    """The sellers of one gate. Never on the path of a gated request: it asks Stripe."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        outgoing: OutgoingRequests,
        accounts: MirrorProjector,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._outgoing = outgoing
        self._accounts = accounts
        outgoing.on_resumed(_OPERATION, _keep, look=self._look)

    async def ensure(self, customer: str, country: str) -> SellerState:
        """Make a customer a seller, with a connected account: once, however often it is asked, and
        by how many at once. Nothing of the customer is told to Stripe but the country; Stripe asks
        them the rest.

        Args:
            country: where the seller is, in two capital letters.

        Raises:
            InvalidIdError, CustomerNotFoundError, InvalidInputError, ConflictError: see
                `sellers.open_seller`.
            StripeUnavailableError: it is done in the background, or by the next call.
            StripeRequestError: Stripe takes no sellers from there, say. They are none then.
        """
        seller = await self._store.write(lambda tx: sellers.open_seller(tx, customer, country))
        if seller.account_id is None:
            await self._make(seller)
        return await self.state(customer)

    async def onboarding_link(self, customer: str, *, refresh_url: str, return_url: str) -> str:
        """The address of Stripe's pages where a seller says who they are: good once and for some
        minutes, so it is made when the seller follows a link of the host's
        (https://docs.stripe.com/api/account_links). The return says nothing: `state` does.

        Args:
            refresh_url: of the host's, for a link that is used or over: it asks for another.
            return_url: of the host's, for when they are through, or have had enough.

        Raises:
            NotFoundError, SellerNotReadyError: see `sellers.account_of`.
            InvalidInputError: a URL is none.
            StripeUnavailableError, StripeRequestError.
        """
        for url in (refresh_url, return_url):
            check_url(url)
        account = await self._store.read(lambda tx: sellers.account_of(tx, customer))
        link = await self._gateway.create_account_link(
            {
                "account": account,
                "refresh_url": refresh_url,
                "return_url": return_url,
                "type": "account_onboarding",
            }
        )
        return str(link["url"])

    async def login_link(self, customer: str) -> str:
        """The address of the seller's own dashboard at Stripe, good once
        (https://docs.stripe.com/api/accounts/login_link). Never send it by e-mail.

        Raises:
            NotFoundError: the customer is no seller.
            SellerNotReadyError: there is none before the onboarding.
            StripeUnavailableError, StripeRequestError.
        """
        state = await self.state(customer)
        if state.account_id is None or not state.details_submitted:
            raise SellerNotReadyError("The seller has not been through the onboarding.")
        return str((await self._gateway.create_login_link(state.account_id))["url"])

    async def state(self, customer: str, *, refresh: bool = False) -> SellerState:
        """A seller and how far they have come, by the copy of their account.

        Args:
            refresh: ask Stripe first: for the page to which the onboarding returns, which may be
                faster than the webhook.

        Raises:
            NotFoundError: the customer is no seller.
            StripeUnavailableError, StripeRequestError: it was asked, and did not answer.
        """
        found = await self._store.read(lambda tx: _state(tx, customer))
        if found.account_id is not None and (refresh or found.seen_at is None):
            await self._accounts.refresh(found.account_id, account=found.account_id)
            found = await self._store.read(lambda tx: _state(tx, customer))
        return found

    async def listed(self, *, limit: int = 100, after: str | None = None) -> Sequence[SellerState]:
        """All sellers as they are known, by the customers' ids, from behind the customer `after`.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)

        def read(tx: Transaction) -> Sequence[SellerState]:
            return [sellers.state_of(tx, one) for one in tx.sellers.listed(limit, after)]

        return await self._store.read(read)

    async def known(self, customer: str) -> Seller:
        """The seller that a customer is; nobody is asked.

        Raises:
            InvalidIdError.
            NotFoundError: they are none.
        """
        return await self._store.read(lambda tx: sellers.seller_of(tx, customer))

    async def balance(self, customer: str) -> Sequence[SellerBalance]:
        """What a seller has at Stripe now, by currency (https://docs.stripe.com/connect/account-balances).

        Raises:
            NotFoundError, SellerNotReadyError: see `sellers.account_of`.
            StripeUnavailableError, StripeRequestError.
        """
        account = await self._store.read(lambda tx: sellers.account_of(tx, customer))
        found = await self._gateway.get("/v1/balance", what="reading a balance", account=account)
        sums: dict[str, dict[str, int]] = {}
        for part in ("available", "pending"):
            for one in (found or {}).get(part) or ():
                row = sums.setdefault(one["currency"], {"available": 0, "pending": 0})
                row[part] += one["amount"]
        return [
            SellerBalance(
                currency=currency,
                available_minor=row["available"],
                pending_minor=row["pending"],
            )
            for currency, row in sorted(sums.items())
        ]

    async def payouts(
        self, customer: str, *, limit: int = 100, after: str | None = None
    ) -> Sequence[SellerPayout]:
        """What Stripe has paid out to a seller, the newest first, from behind the payout `after`.

        Raises:
            InvalidInputError: `limit` is not from 1 to 100, or there is no such payout.
            NotFoundError, SellerNotReadyError: see `sellers.account_of`.
            StripeUnavailableError, StripeRequestError.
        """
        check_limit(limit)
        account = await self._store.read(lambda tx: sellers.account_of(tx, customer))
        query: dict[str, Any] = {"limit": min(limit, 100)}
        if after is not None:
            query["starting_after"] = check_id(after, "payout")
        try:
            found = await self._gateway.get(
                "/v1/payouts", query, what="listing payouts", account=account
            )
        except StripeRequestError as error:
            if error.params.get("stripe_param") != "starting_after":
                raise
            raise InvalidInputError("There is no such payout to go on from.") from None
        return [_payout(one) for one in (found or {}).get("data") or ()]

    async def _make(self, seller: Seller) -> None:
        customer, key = seller.customer, _key(seller)
        noted = {"gatekeeper_customer": customer, _MADE_FOR: key}
        try:
            await self._outgoing.post(
                _OPERATION,
                "/v1/accounts",
                {**_EXPRESS, "country": seller.country, "metadata": noted},
                customer=customer,
                idempotency_key=key,
                settle=lambda tx, made: _save(tx, customer, made),
            )
        except StripeRequestError:  # nothing was made: another country may be asked for
            await self._store.write(lambda tx: tx.sellers.withdraw(customer))
            raise

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The account that a request has made, if it has."""
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        query = {"created": {"gte": int((request.created_at - _CLOCKS).timestamp())}}
        async for page in self._gateway.pages("/v1/accounts", query, what="listing accounts"):
            for found in page:
                if (found.get("metadata") or {}).get(_MADE_FOR) == asked["metadata"][_MADE_FOR]:
                    return found
        return None


def _state(tx: Transaction, customer: str) -> SellerState:
    return sellers.state_of(tx, sellers.seller_of(tx, customer))


def _save(tx: Transaction, customer: str, made: Obj) -> None:
    """The account is the seller's. What is known of it already is newer than this answer."""
    tx.sellers.set_account(customer, made["id"])
    if tx.mirror.get("account", made["id"]) is None:
        save_objects(tx, project_copies(made, "account"), tx.now())


def _keep(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    """The answer came after a crash."""
    if request.customer is not None:
        _save(tx, request.customer, made)


def _key(seller: Seller) -> str:
    """The idempotency key of making the account: the same for everybody who tries. A seller who was
    refused is another row, made at another instant, and so another key."""
    parts = (seller.customer, seller.country, seller.created_at.isoformat())
    return f"gatekeeper-seller-{hashlib.sha256(repr(parts).encode()).hexdigest()}"
