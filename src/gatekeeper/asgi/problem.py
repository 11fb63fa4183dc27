"""Errors as answers: application/problem+json (RFC 9457), one way for every framework.

`title` and `detail` are for the person, in their language; `code`, and with a declined payment
`decline_code`, are for the program.
"""

import math
from typing import Any

import msgspec
from starlette.responses import Response

from gatekeeper.asgi.declines import shown_params
from gatekeeper.asgi.messages import wording_of
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
    shown = error.status < 500 or error.status == 503
    details = error.params if shown else {}
    if isinstance(error, CardDeclinedError):
        shown, details = False, shown_params(error)
    words = wording_of(error, scope)
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


def problem_headers(error: GatekeeperError, *, scope: Scope | None = None) -> dict[str, str]:
    """The headers beside the media type: Retry-After (RFC 9110, 10.2.3), WWW-Authenticate, and the
    language that `problem_body` has for the same `scope`."""
    headers = {
        "cache-control": "no-store",
        "content-language": wording_of(error, scope).language,
        "vary": "accept-language",
        "x-content-type-options": "nosniff",
    }
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_seconds))
    if isinstance(error, UnauthenticatedError):
        headers["www-authenticate"] = 'Session realm="app"'  # RFC 9110, 15.5.2: a 401 has one
    return headers


def problem_response(
    error: GatekeeperError, *, upgrade_url: str | None = None, scope: Scope | None = None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, raw headers and body, ready for an ASGI `send`."""
    body = msgspec.json.encode(
        problem_body(error, upgrade_url=upgrade_url, scope=scope), enc_hook=str
    )
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *(
            (key.encode(), value.encode())
            for key, value in problem_headers(error, scope=scope).items()
        ),
    ]
    return error.status, headers, body


def problem_answer(
    error: GatekeeperError, *, upgrade_url: str | None = None, scope: Scope | None = None
) -> Response:
    """The same as a Starlette response."""
    status, headers, body = problem_response(error, upgrade_url=upgrade_url, scope=scope)
    return Response(body, status, {key.decode(): value.decode() for key, value in headers})
