"""An error of an operation as problem+json, in the language of the person.

`title` and `detail` are for the person; `code`, and with a declined payment `decline_code`, for the
program. This is the one place at which errors become words.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatekeeper.asgi.billing.messages import dutch, english, french
from gatekeeper.asgi.billing.messages.negotiation import negotiated
from gatekeeper.asgi.declines import reason_of
from gatekeeper.asgi.problem import MEDIA_TYPE, problem_body, problem_headers
from gatekeeper.errors import (
    CardDeclinedError,
    GatekeeperError,
    StripeUnavailableError,
)

DEFAULT: Final = "en"

LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": english.TEXTS,
    "fr": french.TEXTS,
    "nl": dutch.TEXTS,
}

_FAULT: Final = "internal_error"


def localised_problem(
    error: GatekeeperError, request: Request, *, upgrade_url: str | None = None
) -> Response:
    """The answer, with the language that it is in."""
    accepted = ", ".join(request.headers.getlist("accept-language"))
    language = negotiated(accepted, LANGUAGES, DEFAULT)
    body = problem_body(error, upgrade_url=upgrade_url)
    reason = reason_of(error)[1] if isinstance(error, CardDeclinedError) else None
    texts = LANGUAGES[language]
    text = _text(texts, error, reason)
    if text is None:  # an error of the host's own
        language = DEFAULT
    elif language != DEFAULT:
        body["title"] = _text(texts, error, None)
        body["detail"] = text
    elif isinstance(error, StripeUnavailableError) or body["detail"] == body["title"]:
        body["detail"] = text
    headers = {
        **problem_headers(error),
        "content-language": language,
        "vary": "accept-language",
        "x-content-type-options": "nosniff",
    }
    encoded = msgspec.json.encode(body, enc_hook=str)
    return Response(encoded, error.status, headers, MEDIA_TYPE)


def _text(texts: Mapping[str, str], error: GatekeeperError, reason: str | None) -> str | None:
    """What a language says of an error; None if it does not know the error."""
    if error.status >= 500 and error.status != 503:
        return texts[_FAULT]
    return texts.get(f"{error.code}.{reason}") or texts.get(error.code)
