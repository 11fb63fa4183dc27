"""A database as a migration left it: its tables, columns, keys, constraints and indexes."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

T = TypeVar("T")


def on(url: str, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction on the database, with SQLAlchemy as any host would."""
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(url)
        try:
            with engine.begin() as connection:
                return work(connection)
        finally:
            engine.dispose()
    return asyncio.run(_on_postgres(url, work))


async def _on_postgres(url: str, work: Callable[[Connection], T]) -> T:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        return await connection.run_sync(work)


_POSTGRES_CATALOG = (
    "SELECT c.table_name, c.column_name, c.data_type, c.is_nullable, c.column_default, "
    "col_description(format('%I', c.table_name)::regclass, c.ordinal_position) "
    "FROM information_schema.columns c WHERE c.table_name LIKE 'gatekeeper%'",
    "SELECT tablename, indexdef FROM pg_indexes WHERE tablename LIKE 'gatekeeper%'",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE conrelid::regclass::text LIKE 'gatekeeper%'",
    "SELECT relname, obj_description(oid) FROM pg_class WHERE relname LIKE 'gatekeeper%'",
)
_SQLITE_CATALOG = (
    "SELECT name, sql FROM sqlite_master WHERE tbl_name LIKE 'gatekeeper%' AND type = 'index'",
    'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk '
    "FROM sqlite_master m JOIN pragma_table_info(m.name) c "
    "WHERE m.type = 'table' AND m.name LIKE 'gatekeeper%'",
    "SELECT name, wr FROM pragma_table_list WHERE name LIKE 'gatekeeper%'",
)


def catalog(connection: Connection) -> set[tuple[Any, ...]]:
    """All that the database knows of our tables, Alembic's own table aside."""
    kind = connection.dialect.name
    statements = _POSTGRES_CATALOG if kind == "postgresql" else _SQLITE_CATALOG
    rows = {tuple(row) for one in statements for row in connection.execute(text(one))}
    return {row for row in rows if not any("alembic" in str(value) for value in row)}
