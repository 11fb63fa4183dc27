"""Rows by their keys, of which there are several, each of more than one column.

PostgreSQL finds the rows of `(a, b) IN (...)` by an index. SQLite reads the whole table where that
list is of parameters; there the keys come as a JSON array, whose elements are looked up one by one
(https://www.sqlite.org/json1.html#jeach).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, Text, Update, and_, bindparam, func, tuple_
from sqlalchemy.sql.dml import ReturningUpdate

S = TypeVar("S", Select[Any], Update, ReturningUpdate[Any])
K = TypeVar("K")

_KEYS: Final = "keys"


class Among(Generic[S]):
    """A statement about those rows whose `columns`, all of text, are one of some keys."""

    def __init__(self, statement: S, *columns: ColumnElement[str]) -> None:
        self._listed: S = statement.where(tuple_(*columns).in_(bindparam(_KEYS, expanding=True)))
        given = func.json_each(bindparam(_KEYS, type_=Text)).table_valued("value", name="given")
        self._joined: S = statement.where(
            and_(
                *(
                    column == func.json_extract(given.c.value, f"$[{place}]")
                    for place, column in enumerate(columns)
                )
            )
        )

    def asked(
        self, dialect_name: str, keys: Collection[tuple[str, ...]], **others: object
    ) -> tuple[S, Mapping[str, object]]:
        """The statement and its parameters."""
        wanted = sorted(set(keys))  # a row that was joined twice would count twice
        if dialect_name == "sqlite":
            return self._joined, {_KEYS: msgspec.json.encode(wanted).decode(), **others}
        return self._listed, {_KEYS: padded(wanted), **others}


def padded(keys: Sequence[K]) -> Sequence[K]:
    """Keys for an IN list, repeated up to a power of two: a list of each length would be a
    statement of its own to prepare."""
    wanted = 1 << (len(keys) - 1).bit_length()
    return [*keys, *(list(keys[-1:]) * (wanted - len(keys)))]
