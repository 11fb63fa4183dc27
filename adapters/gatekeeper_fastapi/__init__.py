"""Gatekeeper for FastAPI: the middleware, the billing routes, `Depends` forms and the OpenAPI.

app = FastAPI(lifespan=gate.lifespan)
billing = gatekeeper_fastapi.install(app, gate)

@app.post("/masters", dependencies=[billing.requires_plan("pro")])
@gate.consumes("masters", 1)
async def master(mix: Mix) -> Master: ...
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from starlette.requests import HTTPConnection

import gatekeeper_starlette
from gatekeeper import Gatekeeper, MissingExtraError, checks_of
from gatekeeper.asgi import PROBLEM_MEDIA_TYPE, BillingOptions, GatekeeperMiddleware

try:
    import fastapi.routing
    from fastapi import Depends, FastAPI
    from fastapi.params import Depends as Dependency
except ImportError as error:
    raise MissingExtraError("fastapi", extra="fastapi") from error

__all__ = ["Billing", "install"]

Quantity = int | Callable[[HTTPConnection], int | Awaitable[int]]
"""How much: a whole number, or a function of the request."""

_ANSWERS = {
    "401": "Nobody is signed in.",
    "402": "This needs a plan, a feature or credits that the customer does not have.",
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "upgrade_url": {"type": "string"},
    },
}


def install(
    app: FastAPI,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    options: BillingOptions = BillingOptions(),
) -> "Billing":
    """Put the app under the gate, mount the billing routes, and document 401 and 402."""
    app.add_middleware(GatekeeperMiddleware, gate=gate)
    gatekeeper_starlette.mount(app, gate, prefix=prefix, options=options)
    gatekeeper_starlette.watch(app, gate, lambda: _endpoints(app))
    _document(app)
    return Billing(gate)


class Billing:
    """The guards as dependencies of a route or router: they run after the app's own auth."""

    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    def requires_plan(self, plan: str) -> Dependency:
        """As `gate.requires_plan`."""
        return _dependency(self._gate.requires_plan(plan))

    def requires_feature(self, feature: str) -> Dependency:
        """As `gate.requires_feature`."""
        return _dependency(self._gate.requires_feature(feature))

    def consumes(self, name: str, quantity: Quantity = 1) -> Dependency:
        """As `gate.consumes`."""
        return _dependency(self._gate.consumes(name, quantity))

    def consumes_credits(self, cost: Quantity | str) -> Dependency:
        """As `gate.consumes_credits`."""
        return _dependency(self._gate.consumes_credits(cost))


def _dependency(guard: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Dependency:
    async def guarded() -> None:
        """Runs only to be guarded."""

    dependency: Dependency = Depends(guard(guarded))
    return dependency


def _document(app: FastAPI) -> None:
    """Add 401 and 402 to what the app's OpenAPI document says of guarded routes."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        for route in _routes(app):
            operations = schema["paths"].get(getattr(route, "path_format", None), {})
            if operations and _is_guarded(route):
                _add_answers(operations, route.methods)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _routes(app: FastAPI) -> Iterator[Any]:
    """The app's routes as they are served, those of included routers among them.

    FastAPI used to copy them into the app; newer releases resolve them when asked.
    """
    resolve = getattr(fastapi.routing, "iter_route_contexts", iter)
    return iter(resolve(app.routes))


def _endpoints(app: FastAPI) -> Iterator[tuple[str, Callable[..., Any]]]:
    for route in _routes(app):
        yield from gatekeeper_starlette.endpoints([route])
        for call in _dependencies(route):
            yield f"{route.path} (dependency)", call


def _dependencies(route: Any) -> Iterator[Callable[..., Any]]:
    """What a route depends on, however deep."""
    waiting = [getattr(route, "dependant", None)]
    while waiting:
        dependant = waiting.pop()
        for sub in () if dependant is None else dependant.dependencies:
            waiting.append(sub)
            if sub.call is not None:
                yield sub.call


def _is_guarded(route: Any) -> bool:
    return any(checks_of(call) for call in (route.endpoint, *_dependencies(route)))


def _add_answers(operations: dict[str, Any], methods: Iterable[str]) -> None:
    for method in methods:
        operation = operations.get(method.lower())
        if operation is None:
            continue
        for status, description in _ANSWERS.items():
            content = {PROBLEM_MEDIA_TYPE: {"schema": _PROBLEM}}
            operation["responses"].setdefault(
                status, {"description": description, "content": content}
            )
