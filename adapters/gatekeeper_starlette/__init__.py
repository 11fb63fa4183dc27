"""Gatekeeper for Starlette: the middleware and the billing routes, in one call.

app = Starlette(routes=[...], lifespan=gate.lifespan)
gatekeeper_starlette.install(app, gate)
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from gatekeeper import Gatekeeper
from gatekeeper.asgi import GatekeeperMiddleware, billing_routes

__all__ = ["endpoints", "install"]


def install(
    app: Starlette,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    success_url: str = "/",
    cancel_url: str = "/",
) -> None:
    """Put the app under the gate, and mount the billing routes at `prefix`.

    The app needs `lifespan=gate.lifespan`, or `async with gate:` in a lifespan of its own.
    """
    app.add_middleware(GatekeeperMiddleware, gate=gate)
    app.mount(prefix, billing_routes(gate, success_url=success_url, cancel_url=cancel_url))
    gate.watch(lambda: endpoints(app.routes))


def endpoints(
    routes: Sequence[BaseRoute], prefix: str = ""
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every route with its endpoint, mounted ones too; of a class, its methods."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        endpoint = getattr(route, "endpoint", None)
        if isinstance(endpoint, type):
            yield from ((path, method) for method in vars(endpoint).values() if callable(method))
        elif endpoint is not None:
            yield path, endpoint
        yield from endpoints(getattr(route, "routes", None) or (), path)
