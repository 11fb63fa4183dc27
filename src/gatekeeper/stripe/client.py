"""The gateway: what this library asks of Stripe, over its own `stripe` package.

Plain dicts come out: a `StripeObject` is no dict (`.get` fails on it). The API version is pinned,
so that what is fetched has the shape that the projections read, whatever the version of the events
or of the installed package. Every POST carries an idempotency key, which the package's own retries
repeat (https://docs.stripe.com/api/idempotent_requests).
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import anyio
import msgspec
from uuid_utils.compat import uuid4

from gatekeeper.circuit import Circuit, CircuitChange
from gatekeeper.errors import ConfigurationError, StripeRequestError, StripeUnavailableError
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.pacing import Pace
from gatekeeper.stripe.quiet import keep_quiet
from gatekeeper.stripe.refusals import WAITING, refusal_of
from gatekeeper.stripe.telling import Asking, RequestTeller
from gatekeeper.telemetry import OFF, Telemetry

logger: Final = logging.getLogger("gatekeeper.stripe")

API_VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API whose shapes the projections are written for."""

Obj = dict[str, Any]
"""An object of Stripe's API."""

PAGE: Final = 100
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


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one process asks Stripe, and when it stops asking a Stripe that does not answer.

    `per_second` counts reads and writes apart. After `outage_threshold` requests in a row without
    an answer all fail at once, but for one every `outage_retry_seconds`.
    """

    per_second: int = 20
    at_once: int = 20
    outage_threshold: int = 5
    outage_retry_seconds: float = 15.0


class StripeGateway:
    """Asks Stripe. One for each gate; connects at the first use and is closed with the gate.

    Every method raises `StripeUnavailableError` if Stripe does not answer (after the retries) and
    `StripeRequestError` if it refuses. `account` is a connected account on whose behalf to ask
    (https://docs.stripe.com/connect/authentication); None is our own.

    Args:
        api_key: a secret or restricted key.
        api_base: another address than Stripe's, for the simulator.
        timeout_seconds: for one attempt.
        max_network_retries: how often an attempt is repeated, under the same idempotency key.
        limits: how fast to ask, and when to stop asking.
    """

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str | None = None,
        timeout_seconds: float = 10.0,
        max_network_retries: int = 2,
        limits: Limits | None = None,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._teller = RequestTeller(telemetry)
        self.livemode = livemode_of(api_key)
        self._api_key = api_key
        self._api_base = api_base
        self._timeout_seconds = timeout_seconds
        self._max_network_retries = max_network_retries
        self._client: Any = None
        self._http: Any = None
        self._account: Account | None = None
        self._limits = limits or Limits()
        self.circuit = Circuit(
            threshold=self._limits.outage_threshold,
            retry_seconds=self._limits.outage_retry_seconds,
            try_seconds=2 * timeout_seconds,  # for its turn, and for the answer
            monotonic=monotonic,
            on_change=_log_outage,
        )

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

    # -- the four ways to ask ---------------------------------------------------------------------

    async def fetch(
        self, object_type: str, object_id: str, *, account: str | None = None
    ) -> Obj | None:
        """An object as it is now, with all its items or lines; None if Stripe has none of this id.

        What comes with it is in `kinds.KINDS`: a subscription has its latest invoice, say.
        """
        kind = KINDS[object_type]
        found = await self.get(
            f"{kind.path}/{_quoted(object_id)}",
            {"expand": list(kind.expand)} if kind.expand else {},
            what=f"fetching a {object_type}",
            account=account,
        )
        if found is not None:
            await self._complete_lists(found, account)
        return found

    async def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        what: str,
        account: str | None = None,
    ) -> Obj | None:
        """What Stripe has at a path; None if nothing. `what` names it in an error."""
        try:
            return await self._ask("get", path, params, what, stripe_account=account)
        except StripeRequestError as error:
            if error.params["stripe_status"] == 404:
                return None
            raise

    async def pages(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        what: str,
        account: str | None = None,
    ) -> AsyncIterator[Sequence[Obj]]:
        """A listing, page after page, the newest first."""
        query: dict[str, Any] = {"limit": PAGE, **(params or {})}
        while True:
            page = await self._ask("get", path, query, what, stripe_account=account)
            yield page["data"]
            if not page["has_more"] or not page["data"]:
                return
            query["starting_after"] = page["data"][-1]["id"]

    async def listed(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        what: str,
        account: str | None = None,
    ) -> list[Obj]:
        """All of a listing that is known to be short."""
        pages = self.pages(path, params, what=what, account=account)
        return [found async for page in pages for found in page]

    async def post(
        self,
        path: str,
        params: Mapping[str, Any],
        *,
        what: str,
        idempotency_key: str | None = None,
        account: str | None = None,
    ) -> Obj:
        """Change something. Without a key, each call is a request of its own."""
        key = idempotency_key or str(uuid4())
        return await self._ask(
            "post", path, params, what, idempotency_key=key, stripe_account=account
        )

    # -- reading ----------------------------------------------------------------------------------

    async def account(self) -> Account:
        """The account of the key, asked for once.

        Raises:
            ConfigurationError: the key is wrong, or a restricted one that may not read it.
        """
        if self._account is None:
            try:
                found = await self._ask("get", "/v1/account", None, "reading the key's account")
            except StripeRequestError as error:
                if error.params["stripe_status"] not in (401, 403):
                    raise
                raise ConfigurationError(
                    "Stripe does not accept the key for reading its own account. Check "
                    "STRIPE_SECRET_KEY; a restricted key needs read access to the account."
                ) from None
            self._account = Account(found["id"], self.livemode)
        return self._account

    async def prices_by_lookup_key(self, lookup_keys: Sequence[str]) -> dict[str, Obj]:
        """The prices that hold these lookup keys now, by lookup key; inactive ones too."""
        found: dict[str, Obj] = {}
        for start in range(0, len(lookup_keys), _MAX_LOOKUP_KEYS):
            some = list(lookup_keys[start : start + _MAX_LOOKUP_KEYS])
            listed = await self.listed("/v1/prices", {"lookup_keys": some}, what="listing prices")
            found.update({price["lookup_key"]: price for price in listed})
        return found

    async def meters(self) -> list[Obj]:
        """The active meters."""
        return await self.listed("/v1/billing/meters", {"status": "active"}, what="listing meters")

    async def webhook_endpoints(self) -> list[Obj]:
        """The webhook endpoints of the account."""
        return await self.listed("/v1/webhook_endpoints", what="listing webhook endpoints")

    # -- writing ----------------------------------------------------------------------------------

    async def create_portal_session(self, params: Mapping[str, Any]) -> Obj:
        """Make a session of the customer portal, which lives for minutes: each is a new one."""
        return await self.post(
            "/v1/billing_portal/sessions", params, what="billing_portal sessions create"
        )

    async def cancel_subscription(self, subscription_id: str) -> None:
        """End a subscription now, without another invoice; one that has ended stays as it is."""
        path = f"/v1/subscriptions/{_quoted(subscription_id)}"
        try:
            await self._ask("delete", path, None, "subscriptions cancel")
        except StripeRequestError:
            found = await self.fetch("subscription", subscription_id)
            if found is not None and found["status"] not in ("canceled", "incomplete_expired"):
                raise

    async def create_product(self, params: Mapping[str, Any]) -> Obj:
        """Make a product."""
        return await self.post("/v1/products", params, what="products create")

    async def create_price(self, params: Mapping[str, Any]) -> Obj:
        """Make a price."""
        return await self.post("/v1/prices", params, what="prices create")

    async def create_meter(self, params: Mapping[str, Any]) -> Obj:
        """Make a meter."""
        return await self.post("/v1/billing/meters", params, what="billing meters create")

    async def create_webhook_endpoint(self, params: Mapping[str, Any]) -> Obj:
        """Make a webhook endpoint; only this answer carries its signing secret."""
        return await self.post("/v1/webhook_endpoints", params, what="webhook_endpoints create")

    async def update_webhook_endpoint(self, endpoint_id: str, params: Mapping[str, Any]) -> Obj:
        """Change a webhook endpoint."""
        path = f"/v1/webhook_endpoints/{_quoted(endpoint_id)}"
        return await self.post(path, params, what="webhook_endpoints update")

    # -- the package ------------------------------------------------------------------------------

    async def _ask(
        self,
        method: Literal["get", "post", "delete"],
        path: str,
        params: Mapping[str, Any] | None,
        what: str,
        **options: str | None,
    ) -> Obj:
        """One request; the package's errors become ours, without the chain that holds more."""
        with self._teller.asking(method, path) as asking:
            return await self._asked(method, path, params, what, options, asking)

    async def _asked(
        self,
        method: Literal["get", "post", "delete"],
        path: str,
        params: Mapping[str, Any] | None,
        what: str,
        options: Mapping[str, str | None],
        asking: Asking,
    ) -> Obj:
        given: dict[str, Any] = {
            name: value for name, value in options.items() if value is not None
        }
        is_try = not self.circuit.is_closed
        if is_try:
            given["max_network_retries"] = 0  # one attempt says whether Stripe is there
        if not self.circuit.allows():
            raise StripeUnavailableError(
                f"Stripe has not answered for a while ({what}); try later."
            )
        try:
            answer = await self._connected().raw_request_async(
                method, path, **dict(params or {}), **given
            )
        except self._stripe().StripeError as error:
            refusal = refusal_of(error, what)
            asking.answered(error.http_status)
            if error.code == WAITING:
                pass  # Stripe was not asked
            elif error.http_status is None or error.http_status >= 500:
                self.circuit.failed(refusal, is_try=is_try)
            else:
                self.circuit.succeeded()
            raise refusal from None
        except anyio.get_cancelled_exc_class():
            # Whoever waits may have less patience than all attempts take: a handler's time limit,
            # say. Else a Stripe that hangs would never be known to.
            if asking.has_waited_in_vain(self._timeout_seconds / 2):
                gone = StripeUnavailableError(f"Stripe did not answer in time ({what}).")
                self.circuit.failed(gone, is_try=is_try)
            raise
        self.circuit.succeeded()
        asking.answered(answer.code)
        found: Obj = msgspec.json.decode(answer.body)
        return found

    def _connected(self) -> Any:
        if self._client is None:
            from gatekeeper.stripe.transport import HttpxTransport  # here: it imports stripe

            stripe = self._stripe()
            keep_quiet()
            pace = Pace(
                per_second=self._limits.per_second,
                at_once=self._limits.at_once,
                max_wait_seconds=self._timeout_seconds,
            )
            self._http = HttpxTransport(self._timeout_seconds, pace)
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

    async def _complete_lists(self, found: Obj, account: str | None) -> None:
        """Fetch what a list inside the object, or inside one that came with it, leaves out."""
        for holder in (found, *(found.get(name) for name in KINDS[found["object"]].expand)):
            if not isinstance(holder, dict) or holder.get("object") not in KINDS:
                continue
            for field, path in KINDS[holder["object"]].lists:
                inside = holder.get(field)
                if isinstance(inside, dict) and inside.get("has_more"):
                    whole = path.format(id=_quoted(holder["id"]))
                    listed = await self.listed(whole, what=f"listing {field}", account=account)
                    inside.update(data=listed, has_more=False)


def _log_outage(change: CircuitChange) -> None:
    if change.closed:
        logger.warning("Stripe answers again after %.0f s", change.seconds)
    else:
        logger.error("Stripe does not answer: requests to it fail at once until it does")


def _quoted(object_id: str) -> str:
    """An id as part of a path: it never leaves its place there."""
    return quote(object_id, safe="")
