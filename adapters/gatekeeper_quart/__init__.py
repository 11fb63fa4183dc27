"""Gatekeeper for Quart: the middleware, the billing routes, and errors as answers.

app = Quart(__name__)
gatekeeper_quart.install(app, gate)
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from gatekeeper import Gatekeeper, GatekeeperError, MissingExtraError
from gatekeeper.asgi import (
    BillingOptions,
    GatekeeperMiddleware,
    answer_inline,
    billing_routes,
    mount_webhooks,
    problem_response,
)

try:
    from quart import Quart, Response, has_request_context, request, websocket
except ImportError as error:
    raise MissingExtraError("quart", extra="quart") from error

__all__ = ["install"]


def install(
    app: Quart,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    options: BillingOptions = BillingOptions(),
) -> None:
    """Put the app under the gate, which opens and closes with it.

    Webhooks are taken before Quart sees them; the other billing routes are routes of the app, so
    that `gate.identify` finds Quart's session there too.
    """
    routes = billing_routes(gate, options)
    billing = Starlette(routes=[Mount(prefix, routes)])
    inner = GatekeeperMiddleware(app.asgi_app, gate)  # type: ignore[arg-type]  # Quart types ASGI by hypercorn's
    app.asgi_app = mount_webhooks(  # type: ignore[method-assign,assignment]  # Quart's documented way
        inner, gate, prefix=prefix
    )
    gate.watch(lambda: _endpoints(app))

    @app.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        async with gate:
            yield

    @app.route(f"{prefix}/<path:_>", methods=["GET", "POST"], endpoint="gatekeeper_billing")
    async def serve_billing(_: str) -> Response:
        scope: Any = request.scope
        body: Any = await request.get_data()
        return _response(*await answer_inline(billing, scope, body))

    @app.errorhandler(GatekeeperError)
    async def answer(error: GatekeeperError) -> Response:
        scope: Any = (request if has_request_context() else websocket).scope
        return _response(*problem_response(error, upgrade_url=gate.upgrade_url, scope=scope))


def _response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:
    decoded = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
    return Response(body, status, decoded)


def _endpoints(app: Quart) -> Iterator[tuple[str, Callable[..., Any]]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        if view is not None:
            yield rule.rule, view
