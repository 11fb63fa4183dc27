"""A request's path, query and body, as an operation declares them: strictly, and within limits."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from starlette.requests import Request

from gatekeeper.asgi.billing.operations import Operation
from gatekeeper.asgi.bodies import Bodies
from gatekeeper.errors import InvalidInputError
from gatekeeper.types import check_id

MAX_JSON_BYTES: Final = 16 * 1024
"""The largest body of a billing request."""

MAX_QUERY_CHARS: Final = 4 * 1024
_MAX_SHOWN_CHARS: Final = 200

_bodies: Final = Bodies()
"""What the bodies of all requests may hold together."""


def path_of(request: Request) -> Mapping[str, str]:
    """The parameters of the path.

    Raises:
        InvalidIdError: one of them can't be an id.
    """
    return {name: check_id(value, name) for name, value in request.path_params.items()}


def query_of(request: Request, operation: Operation) -> Any:
    """The query, as its struct.

    Raises:
        InvalidInputError: a parameter is unknown, comes twice, or is not as it must be.
    """
    if len(request.url.query) > MAX_QUERY_CHARS:
        raise InvalidInputError("The query is too long.")
    given = request.query_params.multi_items()
    values = dict(given)
    if len(values) < len(given):
        raise InvalidInputError("A parameter of the query comes more than once.")
    try:
        return msgspec.convert(values, operation.query, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"The query is not valid: {_shown(error)}") from None


async def body_of(request: Request, operation: Operation, held: AsyncExitStack) -> Any:
    """The JSON body, as its struct; None if the operation takes none. It is counted as held until
    `held` is closed.

    Only `application/json` is taken: a form of another site can't send that without asking first
    (https://fetch.spec.whatwg.org/#cors-safelisted-request-header).

    Raises:
        InvalidInputError, PayloadError, PayloadTooLargeError, BodyTimeoutError, OverloadedError.
    """
    if operation.body is None:
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise InvalidInputError("Send the body as application/json.")
    body = await held.enter_async_context(_bodies.read(request, MAX_JSON_BYTES))
    try:
        return msgspec.json.decode(body, type=operation.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The body is not valid: {_shown(error)}") from None


def _shown(error: Exception) -> str:
    return str(error)[:_MAX_SHOWN_CHARS]
