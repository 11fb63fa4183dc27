"""An error in the language of the person who has met it. The one place at which errors become
words."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.datastructures import Headers

from gatekeeper.asgi.declines import reason_of
from gatekeeper.asgi.messages import dutch, english, french
from gatekeeper.asgi.messages.negotiation import negotiated
from gatekeeper.asgi.types import Scope
from gatekeeper.errors import CardDeclinedError, GatekeeperError

DEFAULT: Final = "en"

LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": english.TEXTS,
    "fr": french.TEXTS,
    "nl": dutch.TEXTS,
}

_FAULT: Final = "internal_error"


class Wording(NamedTuple):
    """What an error says.

    Attributes:
        language: a key of `LANGUAGES`.
        title: the same for every error of a kind; None is what the error calls itself.
        detail: None is what the error says itself.
    """

    language: str
    title: str | None
    detail: str | None


def wording_of(error: GatekeeperError, scope: Scope | None) -> Wording:
    """The words for whoever has sent the request of `scope`, by its Accept-Language. Without one,
    and for an error of the host's own, they are the error's."""
    if scope is None:
        return Wording(DEFAULT, None, None)
    language = negotiated(_accepted(scope), LANGUAGES, DEFAULT)
    reason = reason_of(error)[1] if isinstance(error, CardDeclinedError) else None
    texts = LANGUAGES[language]
    text = _text(texts, error, reason)
    if text is None:
        return Wording(DEFAULT, None, None)
    if language != DEFAULT:
        return Wording(language, _text(texts, error, None), text)
    return Wording(DEFAULT, None, text)


def _accepted(scope: Scope) -> str:
    return ", ".join(Headers(scope=scope).getlist("accept-language"))


def _text(texts: Mapping[str, str], error: GatekeeperError, reason: str | None) -> str | None:
    """What a language says of an error; None if it does not know the error."""
    if error.status >= 500 and error.status != 503:
        return texts[_FAULT]
    return texts.get(f"{error.code}.{reason}") or texts.get(error.code)
