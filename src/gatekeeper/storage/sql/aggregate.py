"""What the aggregates have in common."""

from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, CursorResult, Executable, RowMapping, Table, select
from sqlalchemy.sql.selectable import Select

from gatekeeper.storage.sql.dialects import SqlDialect

S = TypeVar("S", bound=msgspec.Struct)


class Aggregate:
    """Some tables, over one open connection."""

    def __init__(
        self, connection: Connection, dialect: SqlDialect, noted: set[str] | None = None
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._noted = noted

    def _note(self, customer: str) -> None:
        """Remember, in a host's transaction, that a row of this customer is locked from now on."""
        if self._noted is not None:
            self._noted.add(customer)

    def _changed(self, statement: Executable, parameters: dict[str, Any]) -> int:
        """Execute one writing statement; how many rows it wrote."""
        result = self._connection.execute(statement, parameters)
        assert isinstance(result, CursorResult)
        return result.rowcount


def columns_of(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct's fields, for a table whose columns have the same names."""
    return msgspec.structs.asdict(struct)


def select_of(table: Table, struct: type[msgspec.Struct]) -> Select[Any]:
    """SELECT of the columns that a struct has fields for."""
    return select(*(table.c[name] for name in struct.__struct_fields__))


def struct_of(row: RowMapping | None, struct: type[S]) -> S | None:
    """A row of `select_of` as its struct."""
    return None if row is None else struct(**row)
