"""Errors as answers: application/problem+json (RFC 9457), one way for every framework.

`title` and `detail` are for the person, in their language; `code`, and with a declined payment
`decline_code`, are for the program.
"""

import math
from typing import Any

import msgspec
from starlette.responses import Response

from gatekeeper.asgi.declines import shown_params
from gatekeeper.asgi.messages import Wording, wording_of
from gatekeeper.asgi.types import Scope
from gatekeeper.errors import (
    CardDeclinedError,
    DeniedError,
    GatekeeperError,
    StripeUnavailableError,
    UnauthenticatedError,
)

MEDIA_TYPE = "application/problem+json"


def problem_body(
    error: GatekeeperError, *, upgrade_url: str | None = None, scope: Scope | None = None
) -> dict[str, Any]:
    """The members of the answer. `type` and `code` are stable; a program decides by them.

    A fault on our side shows its kind only: its message is for the log. Of a declined payment it
    shows what the person may know.

    Args:
        scope: the request's, whose Accept-Language names the language.
    """
    return _body(error, wording_of(error, scope), upgrade_url)


def problem_headers(error: GatekeeperError, *, scope: Scope | None = None) -> dict[str, str]:
    """The headers beside the media type: Retry-After (RFC 9110, 10.2.3), WWW-Authenticate, and the
    language that `problem_body` has for the same `scope`."""
    return _headers(error, wording_of(error, scope))


def problem_response(
    error: GatekeeperError, *, upgrade_url: str | None = None, scope: Scope | None = None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, raw headers and body, ready for an ASGI `send`."""
    words = wording_of(error, scope)
    body = msgspec.json.encode(_body(error, words, upgrade_url), enc_hook=str)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((key.encode(), value.encode()) for key, value in _headers(error, words).items()),
    ]
    return error.status, headers, body


def problem_answer(
    error: GatekeeperError, *, upgrade_url: str | None = None, scope: Scope | None = None
) -> Response:
    """The same as a Starlette response."""
    status, headers, body = problem_response(error, upgrade_url=upgrade_url, scope=scope)
    return Response(body, status, {key.decode(): value.decode() for key, value in headers})


def _body(error: GatekeeperError, words: Wording, upgrade_url: str | None) -> dict[str, Any]:
    shown = error.status < 500 or error.status == 503
    details = error.params if shown else {}
    if isinstance(error, CardDeclinedError):
        shown, details = False, shown_params(error)
    detail = error.detail if shown else error.title
    if (
        words.title is not None
        or detail == error.title
        or isinstance(error, StripeUnavailableError)
    ):
        detail = words.detail or detail
    body: dict[str, Any] = {
        **{key: value for key, value in details.items() if value is not None},
        "type": error.problem_type,
        "title": words.title or error.title,
        "status": error.status,
        "detail": detail,
        "code": error.code,
    }
    if isinstance(error, DeniedError) and upgrade_url is not None:
        body["upgrade_url"] = upgrade_url
    return body


def _headers(error: GatekeeperError, words: Wording) -> dict[str, str]:
    headers = {
        "cache-control": "no-store",
        "content-language": words.language,
        "vary": "accept-language",
        "x-content-type-options": "nosniff",
    }
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_seconds))
    if isinstance(error, UnauthenticatedError):
        headers["www-authenticate"] = 'Session realm="app"'  # RFC 9110, 15.5.2: a 401 has one
    return headers
