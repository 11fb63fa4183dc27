"""Gatekeeper for Starlette: the middleware and the billing routes, in one call.

app = Starlette(routes=[...], lifespan=gate.lifespan)
gatekeeper_starlette.install(app, gate)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions, GatekeeperMiddleware, billing_routes

__all__ = ["endpoints", "install", "mount", "watch"]


def install(
    app: Starlette,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    options: BillingOptions = BillingOptions(),
) -> None:
    """Put the app under the gate, and mount the billing routes at `prefix`.

    The app needs `lifespan=gate.lifespan`, or `async with gate:` in a lifespan of its own.
    """
    app.add_middleware(GatekeeperMiddleware, gate=gate)
    mount(app, gate, prefix=prefix, options=options)
    watch(app, gate, lambda: endpoints(app.routes))


def mount(app: Starlette, gate: Gatekeeper, *, prefix: str, options: BillingOptions) -> None:
    """Mount the billing routes before all others: a page for whatever else there is, mounted at
    "/", must not swallow Stripe's webhooks."""
    routes = billing_routes(gate, options)
    app.router.routes.insert(0, Mount(prefix, app=routes))


def watch(
    app: Starlette, gate: Gatekeeper, find: Callable[[], Iterable[tuple[str, Callable[..., Any]]]]
) -> None:
    """Check the guards of the app's routes at start-up, and of those that are added later."""
    gate.watch(find)
    app.router.routes = _WatchedRoutes(app.router.routes, gate)


class _WatchedRoutes(list[BaseRoute]):
    """The routes of an app. While the gate is open, one that bypasses its guard is not added."""

    def __init__(self, routes: Iterable[BaseRoute], gate: Gatekeeper) -> None:
        super().__init__(routes)
        self._gate = gate

    def append(self, route: BaseRoute) -> None:
        self.insert(len(self), route)

    def insert(self, index: SupportsIndex, route: BaseRoute) -> None:
        super().insert(index, route)
        if not self._gate.is_open:
            return
        try:
            self._gate.check_guards()
        except Exception:
            self.remove(route)
            raise


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
