"""SQLite that does not wait for the disk.

A test's time went half into waiting for it, at each commit; it guards against a loss of power
alone, as PostgreSQL's does, which is off in the tests as well. Processes that tests start and kill
wait as usual.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Pool, event

_MARK: Final = "does not wait for the disk"

_patient: list[object] = []


def commit_without_the_disk() -> None:
    """From now on, on every connection to a SQLite in this process. (At its first use: what is set
    at connecting comes from who made the engine.)"""

    @event.listens_for(Pool, "checkout")
    def hasten(connection: Any, record: Any, _proxy: Any) -> None:
        if isinstance(connection, sqlite3.Connection) and not (_patient or _MARK in record.info):
            connection.execute("PRAGMA synchronous = OFF")
            record.info[_MARK] = True


@contextmanager
def with_the_disk() -> Iterator[None]:
    """In here, new connections are left as they are."""
    _patient.append(None)
    try:
        yield
    finally:
        _patient.pop()
