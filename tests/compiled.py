"""Statements compiled once for all the engines of a run.

SQLAlchemy keeps what it has compiled by the engine's dialect object, and nearly every test has an
engine of its own, so that every test would compile every statement again. Between dialects of one
class and one server nothing is compiled otherwise.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

Key = tuple[Any, ...]


class _Compiled(MutableMapping[Key, Any]):
    """What was compiled for dialects of one kind. The first word of SQLAlchemy's keys is the
    dialect object, which is left out."""

    def __init__(self) -> None:
        self._found: dict[Key, Any] = {}

    def __getitem__(self, key: Key) -> Any:
        return self._found[key[1:]]

    def __setitem__(self, key: Key, value: Any) -> None:
        self._found[key[1:]] = value

    def __delitem__(self, key: Key) -> None:
        del self._found[key[1:]]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


_KINDS: Final[dict[Key, _Compiled]] = {}


def share_compiled_statements() -> None:
    """From now on, on every connection of every engine in this process."""

    @event.listens_for(Engine, "engine_connect")
    def share(connection: Connection) -> None:
        dialect = connection.dialect
        kind = (type(dialect), dialect.server_version_info, dialect.paramstyle)
        found = _KINDS.setdefault(kind, _Compiled())
        connection.execution_options(compiled_cache=found)
