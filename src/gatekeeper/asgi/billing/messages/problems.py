"""An error of an operation as problem+json, in the language of the person.

`title` and `detail` are for the person; `code`, and with a declined payment `decline_code`, for the
program. This is the one place at which errors become words.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatekeeper.asgi.billing.messages import dutch, english, french
from gatekeeper.asgi.billing.messages.declines import shown_decline
from gatekeeper.asgi.billing.messages.negotiation import negotiated
from gatekeeper.asgi.problem import MEDIA_TYPE, problem_body, problem_headers
from gatekeeper.errors import (
    AuthenticationRequiredError,
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
    reason = None
    if isinstance(error, CardDeclinedError):
        body, reason = _payment(error, body)
    texts = LANGUAGES[language]
    text = _text(texts, error, reason)
    if text is None:  # an error of the host's own
        language = DEFAULT
    elif language != DEFAULT:
        body["title"] = _text(texts, error, None)
        body["detail"] = text
    elif _has_words_of_stripe(error) or body["detail"] == body["title"]:
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


def _has_words_of_stripe(error: GatekeeperError) -> bool:
    """Whether the error's own words are about requests, not for the person."""
    return isinstance(error, CardDeclinedError | StripeUnavailableError)


def _payment(error: CardDeclinedError, body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """What a program needs to go on after a declined payment, and our word for why it was."""
    members = ("type", "title", "status", "detail", "code", "payment_intent", "client_secret")
    kept = {name: body[name] for name in members if name in body}
    if isinstance(error, AuthenticationRequiredError):
        return {**kept, "next": "confirm"}, None
    code, reason = shown_decline(error.params)
    return {**kept, "decline_code": code}, reason
