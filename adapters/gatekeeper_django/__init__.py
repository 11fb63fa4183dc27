"""Gatekeeper for Django, served by ASGI.

    # asgi.py
    application = gatekeeper_django.install(get_asgi_application(), gate)

    # settings.py
    MIDDLEWARE = [..., "gatekeeper_django.middleware"]     # last, after authentication

`gate.identify` finds Django's request, with its user, as `connection.scope["django.request"]`.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, get_resolver

from gatekeeper import Gatekeeper, GatekeeperError, asgi, current

__all__ = ["install", "middleware"]

REQUEST = "django.request"
"""The key of Django's request in the ASGI scope."""


def install(
    application: Any,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    success_url: str = "/",
    cancel_url: str = "/",
) -> asgi.App:
    """Put Django's ASGI application under the gate, which opens and closes with the server."""
    gate.watch(lambda: _endpoints(get_resolver().url_patterns))
    return asgi.install(
        application, gate, prefix=prefix, success_url=success_url, cancel_url=cancel_url
    )


class middleware:  # noqa: N801 -- named like a function: Django calls it as a factory
    """Shows the request to `gate.identify`, and turns our errors into answers."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request."""
        current().scope[REQUEST] = request
        return await self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Django's hook for an exception of a view."""
        if not isinstance(error, GatekeeperError):
            return None
        status, headers, body = asgi.problem_response(error, upgrade_url=current().gate.upgrade_url)
        return HttpResponse(
            body, status=status, headers={key.decode(): value.decode() for key, value in headers}
        )


def _endpoints(
    patterns: list[URLPattern | URLResolver], prefix: str = "/"
) -> Iterator[tuple[str, Callable[..., Any]]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _endpoints(pattern.url_patterns, path)
            continue
        view_class = getattr(pattern.callback, "view_class", None)
        if view_class is None:
            yield path, pattern.callback
        else:
            methods = inspect.getmembers(view_class, inspect.isfunction)
            yield from ((path, method) for _, method in methods)
