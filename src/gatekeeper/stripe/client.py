"""The gateway: what this library asks of Stripe.

Every POST carries an idempotency key, which the retries of the connection repeat
(https://docs.stripe.com/api/idempotent_requests).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import msgspec
from uuid_utils.compat import uuid4

from gatekeeper.errors import ConfigurationError, StripeRequestError
from gatekeeper.stripe.connection import API_VERSION, Connection, Limits, Obj, livemode_of
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.telemetry import OFF, Telemetry

__all__ = ["API_VERSION", "PAGE", "Account", "Limits", "Obj", "StripeGateway", "livemode_of"]

PAGE: Final = 100
"""The most that Stripe lists at once."""

_MAX_LOOKUP_KEYS: Final = 10
"""The most lookup keys that one listing of prices takes."""


class Account(msgspec.Struct, frozen=True):
    """The Stripe account that a key belongs to, and the key's mode."""

    id: str
    livemode: bool


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
        self._connection = Connection(
            api_key,
            api_base=api_base,
            timeout_seconds=timeout_seconds,
            max_network_retries=max_network_retries,
            limits=limits or Limits(),
            telemetry=telemetry,
        )
        self.livemode = self._connection.livemode
        self.circuit = self._connection.circuit
        self._account: Account | None = None

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
        await self._connection.aclose()

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
            return await self._connection.ask("get", path, params, what, stripe_account=account)
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
            page = await self._connection.ask("get", path, query, what, stripe_account=account)
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
        return await self._connection.ask(
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
                found = await self._connection.ask(
                    "get", "/v1/account", None, "reading the key's account"
                )
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

    # -- writing ----------------------------------------------------------------------------------

    async def create_portal_session(self, params: Mapping[str, Any]) -> Obj:
        """Make a session of the customer portal, which lives for minutes: each is a new one."""
        return await self.post(
            "/v1/billing_portal/sessions", params, what="billing_portal sessions create"
        )

    async def create_account_link(self, params: Mapping[str, Any]) -> Obj:
        """Make a link to the onboarding of an account, which lives for minutes: each is new."""
        return await self.post("/v1/account_links", params, what="account_links create")

    async def create_login_link(self, account_id: str) -> Obj:
        """Make a link to an account's own dashboard, good once: each is new."""
        path = f"/v1/accounts/{_quoted(account_id)}/login_links"
        return await self.post(path, {}, what="login_links create")

    async def preview_invoice(self, params: Mapping[str, Any]) -> Obj:
        """What an invoice would be; it is none, and changes nothing."""
        return await self.post("/v1/invoices/create_preview", params, what="previewing an invoice")

    async def cancel_subscription(self, subscription_id: str) -> None:
        """End a subscription now, without another invoice; one that has ended stays as it is."""
        path = f"/v1/subscriptions/{_quoted(subscription_id)}"
        try:
            await self._connection.ask("delete", path, None, "subscriptions cancel")
        except StripeRequestError:
            found = await self.fetch("subscription", subscription_id)
            if found is not None and found["status"] not in ("canceled", "incomplete_expired"):
                raise

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


def _quoted(object_id: str) -> str:
    """An id as part of a path: it never leaves its place there."""
    return quote(object_id, safe="")
