"""What all tables share: the metadata, the naming convention, small helpers."""

from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    literal_column,
    text,
)

TABLE_PREFIX: Final = "gatekeeper_"
"""Every table of ours begins with this, and nothing of the host's should."""

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def table(
    name: str,
    *parts: Any,
    key: tuple[str, ...],
    comment: str | None = None,
    append_only: bool = False,
    fill_percent: int | None = None,
) -> Table:
    """A table of ours with its primary key.

    `fill_percent` leaves room in PostgreSQL's pages for new versions of rows that are written over
    and over (https://www.postgresql.org/docs/current/storage-hot.html). `append_only` rows are
    small and come in the order of their key: SQLite then keeps them in the index of the key itself
    (https://www.sqlite.org/withoutrowid.html), at half the writes.
    """
    return Table(
        TABLE_PREFIX + name,
        metadata,
        *parts,
        PrimaryKeyConstraint(*key),
        comment=comment,
        sqlite_with_rowid=not append_only,
        postgresql_with={} if fill_percent is None else {"fillfactor": fill_percent},
    )


def required(name: str, of_type: Any = Text) -> Column[Any]:
    """A column that is never NULL."""
    return Column(name, of_type, nullable=False)


def since_2(name: str, of_type: Any, default: str, comment: str | None = None) -> Column[Any]:
    """A column that is never NULL and that earlier releases don't write."""
    return Column(name, of_type, nullable=False, server_default=text(default), comment=comment)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over the rows that match. Statements repeat the condition with literals: with a
    parameter in its place, a prepared plan can't know that the index covers it."""
    condition = text(where)
    return Index(name, *columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


OPEN: Final[ColumnElement[Any]] = literal_column("'open'")
"""The status of open holds and invoices, as the partial indexes spell it."""

PENDING: Final[ColumnElement[Any]] = literal_column("'pending'")
"""The status of pending events, as the partial indexes spell it."""
