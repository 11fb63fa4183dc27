"""Reading Stripe's JSON with care: every value is checked, every complaint names its path.

What is absent and what is null are the same. Fields that nobody asks for are never looked at, so
that a newer API version may add what it likes. Complaints name places and types, never values:
those may be personal.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Self, TypeVar

from gatekeeper.errors import InvalidIdError, ProjectionError
from gatekeeper.types import MAX_AMOUNT, check_id

MAX_LABEL_CHARS: Final = 500
"""How much of a free text, like a person's name, is kept."""

T = TypeVar("T")

_LAST_SECOND: Final = int(datetime.max.replace(tzinfo=UTC).timestamp())


class Node:
    """One object of Stripe's JSON, and the path that led to it."""

    __slots__ = ("_fields", "path")

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise ProjectionError(path, f"is {_kind(value)}, not an object")
        self._fields = value
        self.path = path

    @classmethod
    def root(cls, value: object, object_type: str) -> Self:
        """The whole object, which must be of Stripe's type `object_type`."""
        node = cls(value, object_type)
        if node.word("object") != object_type:
            raise ProjectionError(f"{node.path}.object", f"is not {object_type!r}")
        return node

    # -- identifiers and other words --------------------------------------------------------------

    def word(self, key: str) -> str:
        """An id, a status or another name."""
        return self._required(key, self.maybe_word(key))

    def maybe_word(self, key: str) -> str | None:
        """An id, a status or another name, if there is one."""
        value = self._fields.get(key)
        if value is None:
            return None
        try:
            return check_id(value, key)
        except InvalidIdError:
            if not isinstance(value, str):
                raise ProjectionError(self._at(key), f"is {_kind(value)}, not a name") from None
            raise ProjectionError(
                self._at(key), "is empty, too long, or holds what no name can hold"
            ) from None

    def reference(self, key: str) -> str:
        """The id of another object, whether it is expanded or not."""
        return self._required(key, self.maybe_reference(key))

    def maybe_reference(self, key: str) -> str | None:
        """The id of another object, if there is one, whether it is expanded or not."""
        value = self._fields.get(key)
        if isinstance(value, Mapping):
            return Node(value, self._at(key)).word("id")
        return self.maybe_word(key)

    def maybe_label(self, key: str) -> str | None:
        """A text that people wrote, with what no database can hold taken out."""
        value = self._fields.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise ProjectionError(self._at(key), f"is {_kind(value)}, not a text")
        return "".join(c if c.isprintable() else " " for c in value[:MAX_LABEL_CHARS])

    # -- numbers, flags, instants -----------------------------------------------------------------

    def whole(self, key: str, *, minimum: int = -MAX_AMOUNT) -> int:
        """A whole number."""
        return self._required(key, self.maybe_whole(key, minimum=minimum))

    def maybe_whole(self, key: str, *, minimum: int = -MAX_AMOUNT) -> int | None:
        """A whole number, if there is one."""
        value = self._fields.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise ProjectionError(self._at(key), f"is {_kind(value)}, not a whole number")
        if not minimum <= value <= MAX_AMOUNT:
            raise ProjectionError(self._at(key), "is out of range")
        return value

    def flag(self, key: str) -> bool:
        """Whether something is so; absent is no."""
        return self.maybe_flag(key) or False

    def maybe_flag(self, key: str) -> bool | None:
        """Whether something is so, if it is said."""
        value = self._fields.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise ProjectionError(self._at(key), f"is {_kind(value)}, not true or false")

    def moment(self, key: str) -> datetime:
        """An instant, given in seconds since 1970."""
        return self._required(key, self.maybe_moment(key))

    def maybe_moment(self, key: str) -> datetime | None:
        """An instant, if there is one."""
        seconds = self.maybe_whole(key, minimum=0)
        if seconds is None:
            return None
        if seconds > _LAST_SECOND:
            raise ProjectionError(self._at(key), "is out of range")
        return datetime.fromtimestamp(seconds, UTC)

    # -- further objects --------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._fields.get(key) is not None

    def node(self, key: str) -> "Node":
        """An object inside this one."""
        return self._required(key, self.maybe_node(key))

    def maybe_node(self, key: str) -> "Node | None":
        """An object inside this one, if there is one."""
        value = self._fields.get(key)
        return None if value is None else Node(value, self._at(key))

    def expanded(self, key: str) -> "Node | None":
        """An object that may be given by its id alone: None then."""
        return None if isinstance(self._fields.get(key), str) else self.maybe_node(key)

    def nodes(self, key: str) -> list["Node"]:
        """The objects of a list, whether it is a bare one or Stripe's list object; absent is
        empty."""
        value, path = self._fields.get(key), self._at(key)
        if isinstance(value, Mapping):
            value, path = value.get("data"), f"{path}.data"
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise ProjectionError(path, f"is {_kind(value)}, not a list")
        return [Node(entry, f"{path}[{index}]") for index, entry in enumerate(value)]

    def words(self, key: str) -> list[str]:
        """The names of a list; absent is empty."""
        value = self._fields.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise ProjectionError(self._at(key), f"is {_kind(value)}, not a list")
        held = Node(dict(zip(map(str, range(len(value))), value, strict=True)), self._at(key))
        return [held.word(str(index)) for index in range(len(value))]

    def objects(self, key: str) -> list["Node"]:
        """The objects of a field that holds one or a list of them; none where it is an id."""
        value = self._fields.get(key)
        if isinstance(value, Mapping) and value.get("object") != "list":
            return [Node(value, self._at(key))]
        return [] if isinstance(value, str) else self.nodes(key)

    def has_more(self, key: str) -> bool:
        """Whether a list object holds only the first of its entries."""
        value = self._fields.get(key)
        return isinstance(value, Mapping) and Node(value, self._at(key)).flag("has_more")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}"

    def _required(self, key: str, value: T | None) -> T:
        if value is None:
            raise ProjectionError(self._at(key), "is missing")
        return value


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"
