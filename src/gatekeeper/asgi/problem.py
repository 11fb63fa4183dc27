"""Errors as answers: application/problem+json (RFC 9457), one way for every framework."""

import math
from typing import Any

import msgspec
from starlette.responses import Response

from gatekeeper.asgi.declines import shown_params
from gatekeeper.errors import CardDeclinedError, DeniedError, GatekeeperError, UnauthenticatedError

MEDIA_TYPE = "application/problem+json"


def problem_body(error: GatekeeperError, *, upgrade_url: str | None = None) -> dict[str, Any]:
    """The members of the answer. `type` and `code` are stable; a program decides by them.

    A fault on our side shows its kind only: its message is for the log. Of a declined payment it
    shows what the person may know.
    """
    shown = error.status < 500 or error.status == 503
    details = error.params if shown else {}
    if isinstance(error, CardDeclinedError):
        shown, details = False, shown_params(error)
    body: dict[str, Any] = {
        **{key: value for key, value in details.items() if value is not None},
        "type": error.problem_type,
        "title": error.title,
        "status": error.status,
        "detail": error.detail if shown else error.title,
        "code": error.code,
    }
    if isinstance(error, DeniedError) and upgrade_url is not None:
        body["upgrade_url"] = upgrade_url
    return body


def problem_headers(error: GatekeeperError) -> dict[str, str]:
    """The headers beside the media type: Retry-After (RFC 9110, 10.2.3), WWW-Authenticate."""
    headers = {"cache-control": "no-store"}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_seconds))
    if isinstance(error, UnauthenticatedError):
        headers["www-authenticate"] = 'Session realm="app"'  # RFC 9110, 15.5.2: a 401 has one
    return headers


def problem_response(
    error: GatekeeperError, *, upgrade_url: str | None = None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, raw headers and body, ready for an ASGI `send`."""
    body = msgspec.json.encode(problem_body(error, upgrade_url=upgrade_url), enc_hook=str)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((key.encode(), value.encode()) for key, value in problem_headers(error).items()),
    ]
    return error.status, headers, body


def problem_answer(error: GatekeeperError, *, upgrade_url: str | None = None) -> Response:
    """The same as a Starlette response."""
    status, headers, body = problem_response(error, upgrade_url=upgrade_url)
    return Response(body, status, {key.decode(): value.decode() for key, value in headers})
