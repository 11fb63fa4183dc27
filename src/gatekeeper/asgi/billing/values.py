"""What fields of bodies, queries and answers may hold: said once, for checks and document."""

from datetime import UTC, datetime
from typing import Annotated, Final

from msgspec import Meta

from gatekeeper.errors import InvalidInputError
from gatekeeper.types import MAX_AMOUNT, MAX_ID_CHARS

PLAIN: Final = r"^[^\x00-\x1f\x7f]*$(?!\n)"
"""No control characters. In the form that Python and ECMAScript (JSON Schema) share: Python's `$`
alone would let a line feed stand at the end."""

Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=PLAIN)]
"""Why somebody changes something, in their words."""

Instant = Annotated[datetime, Meta(tz=True)]
"""An instant, with its offset from UTC (RFC 3339)."""

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS, pattern=PLAIN)]
"""An id, a lookup key or another name."""

Line = Annotated[str, Meta(max_length=500, pattern=PLAIN)]
"""A line of text that a person wrote."""

Url = Annotated[str, Meta(min_length=1, max_length=5_000, pattern=PLAIN)]
"""A path of the same origin, or an absolute URL."""

Quantity = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
"""How many, or how much of a unit."""

AmountMinor = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
"""Money, in the minor units of its currency."""

Currency = Annotated[str, Meta(pattern="^[a-z]{3}$", min_length=3, max_length=3)]
"""Lower-case ISO 4217."""

_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9_000


def instant(value: datetime, what: str) -> datetime:
    """An instant from outside, in UTC; within the years that every database can count.

    Raises:
        InvalidInputError: it is not, or it has no offset from UTC: then it names no instant.
    """
    if value.tzinfo is None:
        raise InvalidInputError(f"{what} needs its offset from UTC.")
    if not _FIRST_YEAR < value.year < _LAST_YEAR:
        raise InvalidInputError(f"{what} is out of range.")
    return value.astimezone(UTC)
