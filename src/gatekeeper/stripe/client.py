"""The gateway: the few things that this library asks of Stripe, over its own `stripe` package.

Plain dicts come out: a `StripeObject` is no dict (`.get` fails on it). The API version is pinned,
so that what is fetched has the shape that the projections read, whatever the version of the events
or of the installed package. Every POST carries an idempotency key, which the package's own retries
repeat (https://docs.stripe.com/api/idempotent_requests).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from uuid_utils.compat import uuid4

from gatekeeper.errors import ConfigurationError, StripeRequestError
from gatekeeper.stripe.refusals import refusal_of

API_VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API whose shapes the projections are written for."""

Obj = dict[str, Any]
"""An object of Stripe's API."""

_PAGE: Final = 100
"""The most that Stripe lists at once."""

_MAX_LOOKUP_KEYS: Final = 10
"""The most lookup keys that one listing of prices takes."""


def livemode_of(api_key: str) -> bool:
    """Whether a secret or restricted key works on live data.

    Raises:
        ConfigurationError: it is neither kind of key (a publishable one, say).
    """
    if api_key.startswith(("sk_live_", "rk_live_")):
        return True
    if api_key.startswith(("sk_test_", "rk_test_")):
        return False
    raise ConfigurationError(
        "The Stripe key must begin with sk_test_, sk_live_, rk_test_ or rk_live_: a secret or "
        "restricted key of one account."
    )


class Account(msgspec.Struct, frozen=True):
    """The Stripe account that a key belongs to, and the key's mode."""

    id: str
    livemode: bool


class StripeGateway:
    """Asks Stripe. One for each gate; connects at the first use and is closed with the gate.

    Every method raises `StripeUnavailableError` if Stripe does not answer (after the retries) and
    `StripeRequestError` if it refuses.

    Args:
        api_key: a secret or restricted key.
        api_base: another address than Stripe's, for the simulator.
        timeout_seconds: for one attempt.
        max_network_retries: how often an attempt is repeated, under the same idempotency key.
    """

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str | None = None,
        timeout_seconds: float = 10.0,
        max_network_retries: int = 2,
    ) -> None:
        self.livemode = livemode_of(api_key)
        self._api_key = api_key
        self._api_base = api_base
        self._timeout_seconds = timeout_seconds
        self._max_network_retries = max_network_retries
        self._client: Any = None
        self._http: Any = None
        self._account: Account | None = None
        self._fetchers: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
            "customer": lambda v1, id_: v1.customers.retrieve_async(id_),
            "subscription": lambda v1, id_: v1.subscriptions.retrieve_async(
                id_, {"expand": ["latest_invoice"]}
            ),
            "invoice": lambda v1, id_: v1.invoices.retrieve_async(id_),
            "checkout.session": lambda v1, id_: v1.checkout.sessions.retrieve_async(
                id_, {"expand": ["line_items"]}
            ),
            "price": lambda v1, id_: v1.prices.retrieve_async(id_),
            "product": lambda v1, id_: v1.products.retrieve_async(id_),
        }

    def __repr__(self) -> str:
        return f"StripeGateway(livemode={self.livemode})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. The gateway may be used again, also on another event loop."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.close_async()

    # -- reading ----------------------------------------------------------------------------------

    async def fetch(self, object_type: str, object_id: str) -> Obj | None:
        """An object as it is now, with all its items or lines; None if Stripe has none of this id.

        A subscription comes with its latest invoice, a checkout session with its line items.
        """
        fetcher = self._fetchers[object_type]
        try:
            async with self._asking(f"fetching a {object_type}") as v1:
                found: Obj = (await fetcher(v1, object_id)).to_dict()
                await self._complete_lists(v1, found)
        except StripeRequestError as error:
            if error.params["stripe_status"] == 404:
                return None
            raise
        return found

    async def account(self) -> Account:
        """The account of the key, asked for once.

        Raises:
            ConfigurationError: the key is wrong, or a restricted one that may not read it.
        """
        if self._account is None:
            stripe = self._stripe()
            async with self._asking("reading the account of the key") as v1:
                try:
                    found = await v1.accounts.retrieve_current_async()
                except (stripe.AuthenticationError, stripe.PermissionError):
                    raise ConfigurationError(
                        "Stripe does not accept the key for reading its own account. Check "
                        "STRIPE_SECRET_KEY; a restricted key needs read access to the account."
                    ) from None
            self._account = Account(found.to_dict()["id"], self.livemode)
        return self._account

    async def prices_by_lookup_key(self, lookup_keys: Sequence[str]) -> dict[str, Obj]:
        """The prices that hold these lookup keys now, by lookup key; inactive ones too."""
        found: dict[str, Obj] = {}
        for start in range(0, len(lookup_keys), _MAX_LOOKUP_KEYS):
            some = list(lookup_keys[start : start + _MAX_LOOKUP_KEYS])
            async with self._asking("listing prices") as v1:
                page = await v1.prices.list_async({"lookup_keys": some, "limit": _PAGE})
            found.update({price["lookup_key"]: price for price in page.to_dict()["data"]})
        return found

    async def meters(self) -> list[Obj]:
        """The active meters."""
        async with self._asking("listing meters") as v1:
            return await _all(
                await v1.billing.meters.list_async({"status": "active", "limit": _PAGE})
            )

    async def webhook_endpoints(self) -> list[Obj]:
        """The webhook endpoints of the account."""
        async with self._asking("listing webhook endpoints") as v1:
            return await _all(await v1.webhook_endpoints.list_async({"limit": _PAGE}))

    # -- writing ----------------------------------------------------------------------------------

    async def create_customer(self, params: Mapping[str, Any], idempotency_key: str) -> Obj:
        """Make a customer."""
        return await self._post("customers.create_async", params, idempotency_key)

    async def create_checkout_session(self, params: Mapping[str, Any], idempotency_key: str) -> Obj:
        """Make a checkout session."""
        return await self._post("checkout.sessions.create_async", params, idempotency_key)

    async def create_portal_session(self, params: Mapping[str, Any]) -> Obj:
        """Make a session of the customer portal, which lives for minutes: each is a new one."""
        return await self._post("billing_portal.sessions.create_async", params)

    async def create_product(self, params: Mapping[str, Any]) -> Obj:
        """Make a product."""
        return await self._post("products.create_async", params)

    async def create_price(self, params: Mapping[str, Any]) -> Obj:
        """Make a price."""
        return await self._post("prices.create_async", params)

    async def create_meter(self, params: Mapping[str, Any]) -> Obj:
        """Make a meter."""
        return await self._post("billing.meters.create_async", params)

    async def create_webhook_endpoint(self, params: Mapping[str, Any]) -> Obj:
        """Make a webhook endpoint; only this answer carries its signing secret."""
        return await self._post("webhook_endpoints.create_async", params)

    async def update_webhook_endpoint(self, endpoint_id: str, params: Mapping[str, Any]) -> Obj:
        """Change a webhook endpoint."""
        return await self._post("webhook_endpoints.update_async", params, None, endpoint_id)

    async def _post(
        self,
        operation: str,
        params: Mapping[str, Any],
        idempotency_key: str | None = None,
        *ids: str,
    ) -> Obj:
        """Carry out an operation of the API, named by its path in the package."""
        options = {"idempotency_key": idempotency_key or str(uuid4())}
        async with self._asking(f"{operation.removesuffix('_async').replace('.', ' ')}") as v1:
            call: Any = v1
            for name in operation.split("."):
                call = getattr(call, name)
            answer: Obj = (await call(*ids, dict(params), options)).to_dict()
        return answer

    # -- the package ------------------------------------------------------------------------------

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[Any]:
        """The v1 services; the package's errors become ours, without the chain that holds more."""
        try:
            yield self._connected().v1
        except self._stripe().StripeError as error:
            raise refusal_of(error, what) from None

    def _connected(self) -> Any:
        if self._client is None:
            from gatekeeper.stripe.transport import HttpxTransport  # here: it imports stripe

            stripe = self._stripe()
            self._http = HttpxTransport(self._timeout_seconds)
            addresses = {} if self._api_base is None else {"api": self._api_base}
            self._client = stripe.StripeClient(
                self._api_key,
                stripe_version=API_VERSION,
                base_addresses=addresses,
                max_network_retries=self._max_network_retries,
                http_client=self._http,
            )
        return self._client

    @staticmethod
    def _stripe() -> Any:
        import stripe  # here: it takes up to half a second, and not every process asks Stripe

        return stripe

    async def _complete_lists(self, v1: Any, found: Obj) -> None:
        """Append what a list inside the object leaves out: Stripe embeds the first page of it."""
        if found["object"] == "subscription":
            items, invoice = found["items"], found.get("latest_invoice")
            if items.get("has_more"):
                query = {"subscription": found["id"], "limit": _PAGE}
                page = await v1.subscription_items.list_async(query)
                items.update(data=await _all(page), has_more=False)
        else:
            invoice = found if found["object"] == "invoice" else None
        if isinstance(invoice, dict) and invoice["lines"].get("has_more"):
            page = await v1.invoices.line_items.list_async(invoice["id"], {"limit": _PAGE})
            invoice["lines"].update(data=await _all(page), has_more=False)


async def _all(page: Any) -> list[Obj]:
    """Everything that a listing lists, this page and the next ones."""
    return [found.to_dict() async for found in page.auto_paging_iter()]
