"""The billing routes that a product's pages need, as one Starlette app to mount under a prefix."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urljoin

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.asgi.bodies import Bodies
from gatekeeper.asgi.problem import problem_answer
from gatekeeper.asgi.webhook_route import webhook_route
from gatekeeper.errors import GatekeeperError, InvalidInputError
from gatekeeper.gate import Gatekeeper
from gatekeeper.guards.request import RequestState
from gatekeeper.types import Identity, Unlimited, check_id

B = TypeVar("B", bound=msgspec.Struct)

MAX_JSON_BYTES = 16 * 1024
"""The largest body of a billing request."""

_bodies = Bodies()

Endpoint = Callable[[Request], Awaitable[dict[str, Any]]]


class CheckoutBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a page may ask for: a price of the catalogue, by its lookup key. Nothing else counts."""

    price: str
    quantity: int = 1


class PortalBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The portal takes no arguments."""


def billing_routes(gate: Gatekeeper, *, success_url: str = "/", cancel_url: str = "/") -> Starlette:
    """The app: `POST webhooks`, `GET me`, `POST checkout`, `GET checkout/{id}`, `POST portal`.

    The customer is always the one whom the host's authentication names.

    Args:
        success_url: where Stripe sends people after paying: an absolute URL, or a path of the same
            origin. `{PURCHASE_ID}` in it is replaced by the checkout's id, for the return page.
        cancel_url: where Stripe sends people who go back.
    """
    pages = _Pages(gate, success_url, cancel_url)
    # Without a signing secret nothing can be accepted: better no route than one that fails.
    webhooks = [webhook_route(gate.receiver)] if gate.settings.webhook_secrets else []
    return Starlette(
        routes=[
            *webhooks,
            Route("/me", _answering(gate, pages.me), methods=["GET"]),
            Route("/checkout", _answering(gate, pages.start_checkout), methods=["POST"]),
            Route("/checkout/{purchase}", _answering(gate, pages.checkout), methods=["GET"]),
            Route("/portal", _answering(gate, pages.portal), methods=["POST"]),
        ]
    )


class _Pages:
    """The endpoints of one gate."""

    def __init__(self, gate: Gatekeeper, success_url: str, cancel_url: str) -> None:
        self._gate = gate
        self._success_url = success_url
        self._cancel_url = cancel_url

    async def me(self, request: Request) -> dict[str, Any]:
        """Plans, features, limits and balances of whoever asks."""
        customer = (await self._who(request)).customer
        entitlements = await self._gate.entitlements(customer)
        balances = await self._gate.balances(customer)
        return {
            "customer": customer,
            "plans": sorted(entitlements.plans),
            "features": sorted(entitlements.features),
            "limits": {
                key: None if isinstance(value, Unlimited) else value
                for key, value in sorted(entitlements.limits.items())
            },
            "balances": {
                balance.unit: {
                    "available": balance.available,
                    "overage": balance.overage,
                    "held": balance.held,
                    "debt": balance.debt,
                }
                for balance in balances
            },
        }

    async def start_checkout(self, request: Request) -> dict[str, Any]:
        """Begin to buy; the answer says where to send the person."""
        who = await self._who(request)
        body = await _json(request, CheckoutBody)
        key = request.headers.get("idempotency-key")
        link = await self._gate.checkout(
            who.customer,
            body.price,
            quantity=body.quantity,
            idempotency_key=None if key is None else check_id(key, "idempotency key"),
            success_url=self._absolute(request, self._success_url),
            cancel_url=self._absolute(request, self._cancel_url),
        )
        return {"checkout": link.purchase_id, "url": link.url}

    async def checkout(self, request: Request) -> dict[str, Any]:
        """How far a checkout of the asker's own has come: the truth for the return page."""
        who = await self._who(request)
        purchase_id = check_id(request.path_params["purchase"], "checkout")
        purchase = await self._gate.checkout_status(purchase_id, who.customer)
        return {"checkout": purchase.id, "status": purchase.status}

    async def portal(self, request: Request) -> dict[str, Any]:
        """A link to Stripe's customer portal."""
        who = await self._who(request)
        await _json(request, PortalBody)
        back = self._absolute(request, self._cancel_url)
        return {"url": await self._gate.portal(who.customer, return_url=back)}

    async def _who(self, request: Request) -> Identity:
        return await RequestState(self._gate, request.scope).identity()

    @staticmethod
    def _absolute(request: Request, url: str) -> str:
        origin = URL(scope=request.scope).replace(path="/", query="")
        return urljoin(str(origin), url)


def _answering(gate: Gatekeeper, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Answer with the endpoint's JSON, or with the problem that it raised."""

    async def answer(request: Request) -> Response:
        try:
            content = await endpoint(request)
        except GatekeeperError as error:
            return problem_answer(error, upgrade_url=gate.upgrade_url)
        body = msgspec.json.encode(content)
        return Response(body, media_type="application/json", headers={"cache-control": "no-store"})

    return answer


async def _json(request: Request, type_: type[B]) -> B:
    """The request's JSON body.

    Only `application/json` is taken: a form of another site can't send that without asking first
    (https://fetch.spec.whatwg.org/#cors-safelisted-request-header).

    Raises:
        InvalidInputError, PayloadError, PayloadTooLargeError, BodyTimeoutError, OverloadedError.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise InvalidInputError("Send the body as application/json.")
    async with _bodies.read(request, MAX_JSON_BYTES) as body:
        try:
            return msgspec.json.decode(body, type=type_)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"The body is not valid: {str(error)[:200]}") from None
