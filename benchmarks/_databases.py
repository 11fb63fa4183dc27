"""The two databases under a gate, seen from outside of it: plain SQL by another client.

Nothing here uses the library but the migration that makes its tables: what the benchmark loads and
checks must not go through the code that it measures.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from gatekeeper.storage.migrations import upgrade
from tests.services.postgres import PostgresServer, database_name

_FIELD: Final = "|"


class Database(ABC):
    """A database with our tables."""

    title: str

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def run(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction."""

    @abstractmethod
    def query(self, statement: str) -> list[tuple[str, ...]]:
        """The rows of a SELECT, as text."""

    @abstractmethod
    def columns(self, table: str) -> list[str]:
        """The names of a table's columns."""

    @abstractmethod
    def tables_with(self, column: str) -> list[str]:
        """Our tables that have this column."""

    @abstractmethod
    def numbers(self, count: int) -> str:
        """A table expression with the column `n`, from 1 to `count`."""

    @abstractmethod
    def settle(self) -> None:
        """Write back and gather statistics, as a database of some age has done."""

    def number(self, statement: str) -> int:
        """The one number that a SELECT gives."""
        return int(self.query(statement)[0][0])


class PostgresDatabase(Database):
    """A database of a PostgreSQL server, by way of psql."""

    title = "PostgreSQL"

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        url = server.create_database()
        self.name = database_name(url)
        upgrade(url)
        super().__init__(url)

    def run(self, statements: Sequence[str]) -> None:
        self._server.sql(";\n".join(["BEGIN", *statements, "COMMIT"]), database=self.name)

    def query(self, statement: str) -> list[tuple[str, ...]]:
        lines = self._server.sql(statement, database=self.name).splitlines()
        return [tuple(line.split(_FIELD)) for line in lines]

    def columns(self, table: str) -> list[str]:
        found = self.query(
            "SELECT column_name FROM information_schema.columns "
            f"WHERE table_schema = current_schema() AND table_name = '{table}'"
        )
        return [name for (name,) in found]

    def tables_with(self, column: str) -> list[str]:
        found = self.query(
            "SELECT table_name FROM information_schema.columns "
            f"WHERE table_schema = current_schema() AND column_name = '{column}'"
        )
        return [name for (name,) in found]

    def numbers(self, count: int) -> str:
        return f"generate_series(1, {count}) AS numbers(n)"

    def settle(self) -> None:
        for statement in ("VACUUM ANALYZE", "CHECKPOINT"):
            self._server.sql(statement, database=self.name)


class SqliteDatabase(Database):
    """A SQLite file, by a connection for each statement."""

    title = "SQLite"

    def __init__(self, path: Path) -> None:
        self._path = path
        url = f"sqlite:///{path}"
        upgrade(url)
        super().__init__(url)

    def run(self, statements: Sequence[str]) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def query(self, statement: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self._path)) as connection:
            return [tuple(map(str, row)) for row in connection.execute(statement)]

    def columns(self, table: str) -> list[str]:
        return [name for (name,) in self.query(f"SELECT name FROM pragma_table_info('{table}')")]

    def tables_with(self, column: str) -> list[str]:
        found = self.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return [name for (name,) in found if column in self.columns(name)]

    def numbers(self, count: int) -> str:
        return (
            f"(WITH RECURSIVE counting(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counting "
            f"WHERE n < {count}) SELECT n FROM counting) AS numbers"
        )

    def settle(self) -> None:
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")
        self.run(["ANALYZE"])
