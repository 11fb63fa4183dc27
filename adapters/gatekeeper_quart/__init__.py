"""Gatekeeper for Quart: the middleware, the billing routes, and errors as answers.

app = Quart(__name__)
gatekeeper_quart.install(app, gate)
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from quart import Quart, Response

from gatekeeper import Gatekeeper, GatekeeperError
from gatekeeper.asgi import GatekeeperMiddleware, mount_billing, problem_response

__all__ = ["install"]


def install(
    app: Quart,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    success_url: str = "/",
    cancel_url: str = "/",
) -> None:
    """Put the app under the gate, which opens and closes with it."""
    inner = GatekeeperMiddleware(app.asgi_app, gate)  # type: ignore[arg-type]  # Quart types ASGI by hypercorn's
    app.asgi_app = mount_billing(  # type: ignore[method-assign,assignment]  # Quart's documented way
        inner, gate, prefix=prefix, success_url=success_url, cancel_url=cancel_url
    )
    gate.watch(lambda: _endpoints(app))

    @app.while_serving
    async def lifespan() -> AsyncIterator[None]:
        async with gate:
            yield

    @app.errorhandler(GatekeeperError)
    async def answer(error: GatekeeperError) -> Response:
        status, headers, body = problem_response(error, upgrade_url=gate.upgrade_url)
        return Response(body, status, {key.decode(): value.decode() for key, value in headers})


def _endpoints(app: Quart) -> Iterator[tuple[str, Callable[..., Any]]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        if view is not None:
            yield rule.rule, view
