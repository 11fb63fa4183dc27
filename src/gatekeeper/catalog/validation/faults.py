"""Collecting faults: small checks that note what is wrong, and where, instead of raising."""

import re
import reprlib
from collections.abc import Collection, Iterator
from typing import Final, TypeVar

from gatekeeper.errors import InvalidIdError
from gatekeeper.types import MAX_AMOUNT, UNLIMITED, check_id

T = TypeVar("T")

MAX_KEY_CHARS: Final = 100
_KEY: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_KEY_CHARS - 1}}}")
# No colon: the series of grants (terms.py) are made of keys joined by colons.
_KEY_RULE: Final = (
    f"a key has 1 to {MAX_KEY_CHARS} of A-Z a-z 0-9 _ . - and begins with a letter or digit"
)

_SHOWN_BITS: Final = 128


def shown(value: object) -> str:
    """A value for a message: strings and numbers, shortened; of anything else only its type."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"a number of {value.bit_length()} bits"  # Python refuses to print huge ones
    if isinstance(value, str | int | float | None):
        return reprlib.repr(value)
    return type(value).__name__


class Faults:
    """The faults found so far, each with its place. Every check returns whether all is well."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def add(self, place: str, text: str) -> bool:
        """Note a fault; always False, so that a check can return it."""
        self._lines.append(f"{place}: {text}")
        return False

    def key(self, place: str, value: object) -> bool:
        """A name that code, URLs, logs and databases can carry."""
        if not isinstance(value, str):
            return self.add(place, f"must be a string, not {type(value).__name__}")
        if not _KEY.fullmatch(value):
            return self.add(place, f"{shown(value)} is no valid key; {_KEY_RULE}")
        return True

    def text(self, place: str, value: object, *, at_most: int) -> bool:
        """A string that somebody else chose the form of: not empty, no control characters."""
        try:
            text = check_id(value, "given")
        except InvalidIdError as error:
            return self.add(place, f"{shown(value)} can't be used: {error.detail}")
        if len(text) > at_most:
            return self.add(place, f"has {len(text)} characters; at most {at_most} are accepted")
        return True

    def whole(
        self,
        place: str,
        value: object,
        *,
        minimum: int = 1,
        maximum: int = MAX_AMOUNT,
        unlimited: bool = False,
    ) -> bool:
        """A whole number from `minimum` to `maximum`, or UNLIMITED where that is allowed."""
        if value is UNLIMITED:
            return unlimited or self.add(place, "can't be UNLIMITED")
        if not isinstance(value, int) or isinstance(value, bool):
            return self.add(place, f"must be a whole number, not {type(value).__name__}")
        if not minimum <= value <= maximum:
            return self.add(place, f"must be from {minimum} to {maximum}, not {shown(value)}")
        return True

    def flag(self, place: str, value: object) -> bool:
        """True or False, nothing that merely counts as such."""
        if not isinstance(value, bool):
            return self.add(place, f"must be True or False, not {shown(value)}")
        return True

    def choice(self, place: str, value: object, allowed: Collection[str]) -> bool:
        """One of a few strings."""
        if not isinstance(value, str) or value not in allowed:
            listed = ", ".join(allowed)
            return self.add(place, f"must be one of {listed}; not {shown(value)}")
        return True

    def instance(self, place: str, value: object, kind: type[T]) -> bool:
        """An object of the right class."""
        if not isinstance(value, kind):
            return self.add(place, f"must be a {kind.__name__}, not {shown(value)}")
        return True

    def items(
        self, place: str, value: object, kind: type[T], called: str | None = None
    ) -> Iterator[tuple[str, T]]:
        """The items of a list that are of the right class, each with its place."""
        if not isinstance(value, tuple | list):
            self.add(place, f"must be a list of {called or kind.__name__}, not {shown(value)}")
            return
        for index, item in enumerate(value):
            where = f"{place}[{index}]"
            if isinstance(item, kind):
                yield where, item
            else:
                self.add(where, f"must be a {kind.__name__}, not {shown(item)}")
