"""Column types whose Python side is the same on every database."""

import functools
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

from gatekeeper.catalog.terms import Terms, decode_terms, encode_terms
from gatekeeper.errors import InvalidInputError
from gatekeeper.types import Amount, Unlimited

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: `timestamptz` on PostgreSQL, whole microseconds since 1970 on SQLite.

    SQLite has no type for instants. Integers are exact, sort right and are small; its text form
    would lose microseconds or the zone, depending on who wrote it.
    """

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of the column itself."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database.

        Raises:
            ValueError: for a naive datetime, which names no instant.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime is no instant: {value!r}")
        if dialect.name == "sqlite":
            return micros(value)
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database; always in UTC, whatever zone the session shows times in."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + timedelta(microseconds=value)
        instant: datetime = value
        return instant if instant.tzinfo is UTC else instant.astimezone(UTC)


class FreeText(TypeDecorator[str]):
    """Text from outside. PostgreSQL stores no NUL and neither database stores a lone surrogate, so
    both are refused everywhere, by name, instead of failing deep in a driver."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To the database.

        Raises:
            InvalidInputError: the text can't be stored.
        """
        return free_text(value)


class Word(TypeDecorator[StrEnum]):
    """A word of an enumeration, as plain text: a later release may add words without a change of
    the schema."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """From the database."""
        return None if value is None else self.words(value)


class TermsText(TypeDecorator[Terms]):
    """Terms, in their own versioned JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Terms | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else encode_terms(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Terms | None:
        """From the database; equal texts give the same immutable value."""
        return None if value is None else _decode_terms(value)


class OverrideValue(TypeDecorator[bool | Amount]):
    """The value of an override as JSON: true, false, a whole number or "unlimited"."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: bool | Amount | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> bool | Amount | None:
        """From the database."""
        return None if value is None else _OVERRIDE_VALUES.decode(value)


_OVERRIDE_VALUES: Final = msgspec.json.Decoder[bool | int | Unlimited](bool | int | Unlimited)


@functools.lru_cache(maxsize=1024)
def _decode_terms(stored: str) -> Terms:
    """There are as many different terms as plans have been sold in, and a row for every month of
    every customer: each text is parsed once."""
    return decode_terms(stored)


def micros(instant: datetime | None) -> int | None:
    """An instant as SQLite keeps it: whole microseconds since 1970."""
    return None if instant is None else (instant - _EPOCH) // _MICROSECOND


def free_text(text: str | None) -> str | None:
    """A text from outside, as it can be stored.

    Raises:
        InvalidInputError: it can't be.
    """
    if text is not None and not is_storable(text):
        raise InvalidInputError("A text holds a NUL or a lone surrogate and can't be stored.")
    return text


def is_storable(text: str) -> bool:
    """Whether both databases can store a text."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str, *, max_chars: int) -> str:
    """A text for a column that people read (an error's message), cut and made storable."""
    cut = text[:max_chars].replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return cut.encode(errors="replace").decode()
