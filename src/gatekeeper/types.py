"""Small values that every room shares: ids, identities, clocks, and the word 'unlimited'."""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from gatekeeper.errors import InvalidAmountError, InvalidIdError, InvalidInputError

MAX_ID_CHARS: Final = 255
"""The longest customer, actor, hold or idempotency id that is accepted."""

MAX_AMOUNT: Final = 2**53 - 1
"""The largest amount of a unit or of money: the largest whole number that JSON carries safely
(RFC 8259 section 6), far inside a database's BIGINT."""

MAX_AT_ONCE: Final = 1_000
"""How many of something are listed at once at most, unless a list says otherwise."""

_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Every = Literal["hour", "day", "week", "month", "year"]
"""How often something recurs."""

Clock = Callable[[], datetime]
"""Returns the present moment as an aware UTC datetime."""


class Unlimited(enum.Enum):
    """The type of `UNLIMITED`."""

    UNLIMITED = "unlimited"

    def __repr__(self) -> str:
        return "UNLIMITED"


UNLIMITED: Final = Unlimited.UNLIMITED
"""No bound at all, for a unit or a limit. Not a very large number: it never runs out."""

Amount = int | Unlimited


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking: the `customer` who pays, by the host's own id, and the `actor` for them."""

    customer: str
    actor: str | None = None

    def __post_init__(self) -> None:
        check_id(self.customer, "customer")
        if self.actor is not None:
            check_id(self.actor, "actor")


def check_id(value: object, what: str) -> str:
    """Return `value` if it can serve as an id.

    An id is a non-empty string of at most 255 characters without control characters, line breaks
    or lone surrogates, and without blanks at its ends: such ids survive logs, headers, URLs and
    every database.

    Raises:
        InvalidIdError: naming `what` was wrong; the message never repeats the value.
    """
    if not isinstance(value, str):
        raise InvalidIdError(f"The {what} id must be a string, not {type(value).__name__}.")
    if not value:
        raise InvalidIdError(f"The {what} id is empty.")
    if len(value) > MAX_ID_CHARS:
        raise InvalidIdError(
            f"The {what} id has {len(value)} characters; at most {MAX_ID_CHARS} are accepted."
        )
    if _CONTROL_CHARACTER.search(value):
        raise InvalidIdError(f"The {what} id holds a control character.")
    if value != value.strip():
        raise InvalidIdError(f"The {what} id begins or ends with a blank.")
    return value


def check_amount(value: object, what: str, *, minimum: int = 1) -> int:
    """Return `value` if it is a whole number from `minimum` to `MAX_AMOUNT`.

    Raises:
        InvalidAmountError: for bools, floats, strings and numbers outside the range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidAmountError(f"{what} must be a whole number, not {type(value).__name__}.")
    if not minimum <= value <= MAX_AMOUNT:
        raise InvalidAmountError(f"{what} must be from {minimum} to {MAX_AMOUNT}.")
    return value


def check_limit(value: object, at_most: int = MAX_AT_ONCE) -> int:
    """Return `value` if a list can be as long: a database would take others for no limit at all.

    Raises:
        InvalidInputError: it is no whole number from 1 to `at_most`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= at_most:
        raise InvalidInputError(f"The limit must be a whole number from 1 to {at_most}.")
    return value


def utc_now() -> datetime:
    """The system clock as an aware UTC datetime."""
    return datetime.now(UTC)
