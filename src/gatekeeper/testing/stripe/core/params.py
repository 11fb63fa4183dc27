"""What an endpoint accepts, declared as a value and read strictly.

A parameter that is not declared is refused (`parameter_unknown`), as Stripe does. An empty value
reads as None: Stripe takes it as the wish to unset the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter, unknown_parameter
from gatekeeper.testing.stripe.core.forms import Raw, indexed


class Kind(Protocol):
    """How one parameter is read."""

    def read(self, raw: Raw, path: str) -> Any:
        """The value, or an ApiError that names `path`."""


def _text(raw: Raw, path: str) -> str:
    if not isinstance(raw, str):
        raise invalid("Invalid string: expected a single value", path)
    return raw


@dataclass(frozen=True, slots=True)
class Text:
    """A string of at most `longest` characters."""

    longest: int = 5_000

    def read(self, raw: Raw, path: str) -> str | None:
        value = _text(raw, path)
        if len(value) > self.longest:
            raise invalid(
                f"Invalid string: {value[:24]}...; must be at most {self.longest} characters", path
            )
        return value or None


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds."""

    least: int | None = None
    most: int | None = 99_999_999_999

    def read(self, raw: Raw, path: str) -> int | None:
        value = _text(raw, path)
        if value == "":
            return None
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise invalid(f"Invalid integer: {value[:64]}", path, "parameter_invalid_integer")
        number = int(value)
        if self.least is not None and number < self.least:
            bound = f"This value must be greater than or equal to {self.least}."
            raise invalid(bound, path, "parameter_invalid_integer")
        if self.most is not None and number > self.most:
            bound = f"This value must be less than or equal to {self.most}."
            raise invalid(bound, path, "parameter_invalid_integer")
        return number


@dataclass(frozen=True, slots=True)
class Amount:
    """A decimal amount of minor units with at most 12 places, kept as text."""

    def read(self, raw: Raw, path: str) -> str | None:
        value = _text(raw, path)
        if value == "":
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number < 0 or -int(number.as_tuple().exponent) > 12:
            raise invalid(f"Invalid decimal: {value[:64]}", path)
        return format(number.normalize(), "f")


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    def read(self, raw: Raw, path: str) -> bool | None:
        value = _text(raw, path)
        if value not in ("true", "false", ""):
            raise invalid(f"Invalid boolean: {value[:64]}", path)
        return None if value == "" else value == "true"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, raw: Raw, path: str) -> str | None:
        value = _text(raw, path)
        if value == "":
            return None
        if value not in self.words:
            words = ", ".join(self.words)
            raise invalid(f"Invalid {path}: must be one of {words}", path)
        return value


@dataclass(frozen=True, slots=True)
class Moment:
    """A unix second; with `now`, also that word."""

    now: bool = False

    def read(self, raw: Raw, path: str) -> int | str | None:
        if self.now and raw == "now":
            return "now"
        return Integer(0).read(raw, path)


@dataclass(frozen=True, slots=True)
class Span:
    """A filter on time: a second, or `gt`, `gte`, `lt` and `lte`."""

    def read(self, raw: Raw, path: str) -> dict[str, int]:
        if isinstance(raw, str):
            second = Integer(0).read(raw, path)
            return {} if second is None else {"gte": second, "lte": second}
        bounds = dict.fromkeys(("gt", "gte", "lt", "lte"), Integer(0))
        return Fields(bounds).read(raw, path)


@dataclass(frozen=True, slots=True)
class Currency:
    """A three-letter ISO code, lower-cased."""

    def read(self, raw: Raw, path: str) -> str:
        value = _text(raw, path).lower()
        if not (len(value) == 3 and value.isascii() and value.isalpha()):
            raise invalid(f"Invalid currency: {value[:16]}", path)
        return value


@dataclass(frozen=True, slots=True)
class Metadata:
    """Up to 50 keys of 40 characters with values of 500; an empty value removes its key.

    Source: Stripe's API reference, "Metadata".
    """

    def read(self, raw: Raw, path: str) -> dict[str, str]:
        if isinstance(raw, str):
            if raw == "":
                return {"": ""}  # unsets every key
            raise invalid("Invalid object", path)
        if len(raw) > 50:
            raise invalid("You may specify up to 50 metadata keys.", path)
        found: dict[str, str] = {}
        for key, value in raw.items():
            if not key or len(key) > 40:
                raise invalid(f"Invalid metadata key: {key[:50]}", path)
            text = _text(value, f"{path}[{key}]")
            if len(text) > 500:
                raise invalid("Metadata values can have up to 500 characters", f"{path}[{key}]")
            found[key] = text
        return found


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    of: Kind
    most: int = 100

    def read(self, raw: Raw, path: str) -> list[Any]:
        if raw == "":
            return []
        values = indexed(raw)
        if values is None:
            raise invalid("Invalid array", path)
        if len(values) > self.most:
            raise invalid(f"Array has more than {self.most} elements", path)
        return [self.of.read(value, f"{path}[{index}]") for index, value in enumerate(values)]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping of free keys to values of one kind."""

    of: Kind = field(default_factory=Text)

    def read(self, raw: Raw, path: str) -> dict[str, Any]:
        if isinstance(raw, str):
            raise invalid("Invalid object", path)
        return {key: self.of.read(value, f"{path}[{key}]") for key, value in raw.items()}


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping with known keys."""

    kinds: Mapping[str, Kind]
    required: tuple[str, ...] = ()

    def read(self, raw: Raw, path: str = "") -> dict[str, Any]:
        if isinstance(raw, str):
            if raw == "":
                return {}
            raise invalid("Invalid object", path)
        inside = {key: f"{path}[{key}]" if path else key for key in (*raw, *self.required)}
        for key in raw:
            if key not in self.kinds:
                raise unknown_parameter(inside[key])
        found = {key: self.kinds[key].read(value, inside[key]) for key, value in raw.items()}
        for key in self.required:
            if found.get(key) is None:
                raise missing_parameter(inside[key])
        return found


def merge_metadata(before: dict[str, str] | None, change: dict[str, str] | None) -> dict[str, str]:
    """Stripe's rule: keys are merged, an empty value removes one, an empty map removes all."""
    merged = {} if change == {"": ""} else {**(before or {}), **(change or {})}
    return {key: value for key, value in merged.items() if value != ""}
