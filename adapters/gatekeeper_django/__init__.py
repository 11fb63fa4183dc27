"""Gatekeeper for Django, served by ASGI.

    # asgi.py
    application = gatekeeper_django.install(get_asgi_application(), gate)

    # settings.py
    MIDDLEWARE = [..., "gatekeeper_django.middleware"]     # last, after authentication

`gate.identify` finds Django's request, with its user, as `connection.scope["django.request"]`.
Guarded views are asynchronous to Django. Of a synchronous class-based view, guard what `as_view()`
returns; `ATOMIC_REQUESTS` needs the view itself to be `transaction.non_atomic_requests`.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from gatekeeper import Gatekeeper, GatekeeperError, MissingExtraError, RequestState, asgi, current

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from django.urls import URLPattern, URLResolver, get_resolver
except ImportError as error:
    raise MissingExtraError("django", extra="django") from error

__all__ = ["install", "middleware"]

REQUEST = "django.request"
"""The key of Django's request in the ASGI scope."""

_BILLING = "gatekeeper.billing"


def install(
    application: Any,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    options: asgi.BillingOptions = asgi.BillingOptions(),
) -> asgi.App:
    """Put Django's ASGI application under the gate, which opens and closes with the server.

    Webhooks are taken before Django sees them; the other billing routes are served by the
    middleware, so that they know Django's user.
    """
    routes = asgi.billing_routes(gate, options)
    billing = Starlette(routes=[Mount(prefix, routes)])

    async def with_billing(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        scope[_BILLING] = (f"{prefix}/", billing)
        await application(scope, receive, send)

    gate.watch(lambda: _endpoints(get_resolver().url_patterns))
    guarded = asgi.GatekeeperMiddleware(with_billing, gate)
    served = asgi.mount_webhooks(guarded, gate, prefix=prefix)
    return asgi.with_lifespan(application, served, gate)


class middleware:  # noqa: N801 -- named like a function: Django calls it as a factory
    """Shows the request to `gate.identify`, serves billing, and turns our errors into answers."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request."""
        state = _state()
        if state is None:  # Django's own test client, say, which knows of no ASGI application
            return await self._get_response(request)
        state.scope[REQUEST] = request
        state.run_sync = _run_sync
        prefix, billing = state.scope[_BILLING]
        if not request.path.startswith(prefix):
            return await self._get_response(request)
        return _response(*await asgi.answer_inline(billing, state.scope, request.body))

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Django's hook for an exception of a view."""
        state = _state()
        if state is None or not isinstance(error, GatekeeperError):
            return None
        url = state.gate.upgrade_url
        return _response(*asgi.problem_response(error, upgrade_url=url, scope=state.scope))


def _state() -> RequestState | None:
    try:
        return current()
    except GatekeeperError:
        return None


async def _run_sync(call: Callable[[], Any]) -> Any:
    """In the one thread that Django keeps for synchronous code: its database connections live
    there (https://docs.djangoproject.com/en/5.2/topics/async/#asgiref.sync.sync_to_async)."""
    return await sync_to_async(call, thread_sensitive=True)()


def _response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> HttpResponse:
    decoded = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
    return HttpResponse(body, status=status, headers=decoded)


def _endpoints(
    patterns: list[URLPattern | URLResolver], prefix: str = "/"
) -> Iterator[tuple[str, Callable[..., Any]]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _endpoints(pattern.url_patterns, path)
            continue
        yield path, pattern.callback
        view_class = getattr(pattern.callback, "view_class", None)
        if view_class is not None:
            methods = inspect.getmembers(view_class, inspect.isfunction)
            yield from ((path, method) for _, method in methods)
