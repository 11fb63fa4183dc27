"""Cursors: where the next page of a query begins, as a text that means nothing to anybody else."""

import base64
import binascii
from typing import Any, Final

import msgspec

from gatekeeper.errors import InvalidInputError
from gatekeeper.ledger import fingerprint

MAX_CURSOR_CHARS: Final = 16_384
"""The longest cursor that is read."""

_DIGEST_CHARS: Final = 16


def digest_of(operation: str, **query: object) -> str:
    """By what a query is told from another: a cursor is good for its own query alone."""
    return fingerprint(operation, **query)[:_DIGEST_CHARS]


def write_cursor(digest: str, place: object) -> str:
    """The cursor of a place in the answer to a query."""
    packed = msgspec.json.encode((digest, place))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(cursor: str, digest: str, kind: Any) -> Any:
    """The place that a cursor stands for, as a value of the type `kind`.

    Raises:
        InvalidInputError: it is no cursor of ours, or it is another query's.
    """
    given, place = _decoded(cursor, kind)
    if given != digest:
        raise InvalidInputError("This cursor belongs to another query: begin without one.")
    return place


def _decoded(cursor: str, kind: Any) -> tuple[str, Any]:
    try:
        if len(cursor) > MAX_CURSOR_CHARS:
            raise ValueError(cursor[:8])
        packed = base64.b64decode(
            cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        )
        found: tuple[str, Any] = msgspec.json.decode(packed, type=tuple[str, kind])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidInputError("This is no cursor: pass one on as it was given.") from error
    return found
