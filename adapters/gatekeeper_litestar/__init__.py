"""Gatekeeper for Litestar: one plugin.

app = Litestar([...], plugins=[GatekeeperPlugin(gate)])
"""

from collections.abc import Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from gatekeeper import Gatekeeper, GatekeeperError, MissingExtraError
from gatekeeper.asgi import (
    PROBLEM_MEDIA_TYPE,
    BillingOptions,
    GatekeeperMiddleware,
    billing_routes,
    problem_body,
    problem_headers,
)

try:
    from litestar import Litestar, Request, Response, asgi
    from litestar.config.app import AppConfig
    from litestar.plugins import InitPlugin
except ImportError as error:
    raise MissingExtraError("litestar", extra="litestar") from error

__all__ = ["GatekeeperPlugin"]

_PATHS = ("webhooks", "me", "checkout", "checkout/{purchase:str}", "portal")


class GatekeeperPlugin(InitPlugin):
    """Puts a Litestar app under a gate, which opens and closes with it."""

    def __init__(
        self,
        gate: Gatekeeper,
        *,
        prefix: str = "/billing",
        options: BillingOptions = BillingOptions(),
    ) -> None:
        self._gate = gate
        routes = billing_routes(gate, options)
        self._billing = Starlette(routes=[Mount(prefix, routes)])
        # Each path by itself: Litestar mounts by the beginning of a path, "/billing-faq" included.
        self._paths = [f"{prefix}/{path}" for path in _PATHS]

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Called by Litestar while the app is made."""
        gate = self._gate

        def middleware(app: Any) -> Any:
            return GatekeeperMiddleware(app, gate)

        def answer(request: Request[Any, Any, Any], error: GatekeeperError) -> Response[Any]:
            scope: Any = request.scope
            return Response(
                problem_body(error, upgrade_url=gate.upgrade_url, scope=scope),
                status_code=error.status,
                media_type=PROBLEM_MEDIA_TYPE,
                headers=problem_headers(error, scope=scope),
            )

        @asgi(self._paths, copy_scope=True)
        async def billing(scope: Any, receive: Any, send: Any) -> None:
            await self._billing(scope, receive, send)

        def watch(app: Litestar) -> None:
            gate.watch(lambda: _endpoints(app))

        app_config.middleware.insert(0, middleware)
        app_config.exception_handlers = {
            GatekeeperError: answer,
            **(app_config.exception_handlers or {}),
        }
        app_config.route_handlers.append(billing)
        app_config.on_startup.insert(0, watch)
        app_config.lifespan.insert(0, gate.lifespan)
        return app_config


def _endpoints(app: Litestar) -> Iterator[tuple[str, Callable[..., Any]]]:
    for route in app.routes:
        handlers = getattr(route, "route_handlers", None) or [getattr(route, "route_handler", None)]
        for handler in handlers:
            if handler is not None:
                yield route.path, handler.fn
