"""Following a transaction of the host's to its end.

SQLAlchemy tells of a Connection's COMMIT before it is sent, and of nothing after it. So what is to
happen after a commit waits for the first sign that it is over: the Session says so, the connection
is joined again, begins another transaction, or goes back to its pool. A COMMIT that failed looks
like one that succeeded; what runs after a commit must do no harm then (it tells caches to look
again).

A rollback to a savepoint takes back what was done since. Savepoints are numbered by SQLAlchemy; one
of a lower number that is rolled back now was open around every higher one that came since.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final
from weakref import WeakSet, ref

from sqlalchemy import Connection, Pool, event
from sqlalchemy.orm import Session

from gatekeeper.storage.joined import HostTransaction
from gatekeeper.storage.sql.transaction import run_callbacks

_KEY: Final = "gatekeeper_host_watch"

# Not by `event.contains`, which knows pools by their addresses: an engine that is disposed hands
# its listeners on to its next pool, and the address of the last may be another engine's by then.
_pools: Final[WeakSet[Pool]] = WeakSet()


class HostWatch:
    """Follows one Connection of the host's through the transactions that are joined."""

    def __init__(self, connection: Connection) -> None:
        self.host: HostTransaction | None = None
        self.last_released = 0
        self._connection = ref(connection)
        self._callbacks: list[tuple[int, Callable[[], None]]] = []
        self._committing = False
        event.listen(connection, "begin", self._on_begin)
        event.listen(connection, "commit", self._on_commit)
        event.listen(connection, "rollback", self._on_rollback)
        event.listen(connection, "release_savepoint", self._on_release_savepoint)
        event.listen(connection, "rollback_savepoint", self._on_rollback_savepoint)

    def is_for(self, connection: Connection) -> bool:
        """Whether this is the watch of this very Connection."""
        return self._connection() is connection

    def add(self, savepoint: int, callbacks: Iterable[Callable[[], None]]) -> None:
        """Run `callbacks` after the commit, unless what was done since `savepoint` is undone."""
        self._callbacks.extend((savepoint, callback) for callback in callbacks)

    def settle(self) -> None:
        """If a COMMIT was sent, it is over: run what waited for it."""
        if self._committing:
            self._end(self._callbacks)

    def abandon(self) -> None:
        """The connection goes on to something else: what was not committed is gone."""
        self.settle()
        self._end([])

    def _end(self, callbacks: list[tuple[int, Callable[[], None]]]) -> None:
        if self.host is not None:
            self.host.ended = True
        self.host = None
        self._callbacks = []
        self._committing = False
        run_callbacks(callback for _, callback in callbacks)

    def _on_begin(self, _connection: Connection) -> None:
        self.abandon()

    def _on_commit(self, _connection: Connection) -> None:
        self._committing = True
        if self.host is not None:
            self.host.ended = True  # nobody waits for it any more, whatever becomes of the COMMIT

    def _on_rollback(self, _connection: Connection) -> None:
        self._end([])

    def _on_release_savepoint(self, _connection: Connection, name: str, _context: Any) -> None:
        self.last_released = _number(name)

    def _on_rollback_savepoint(self, _connection: Connection, name: str, _context: Any) -> None:
        number = _number(name)
        self._callbacks = [waiting for waiting in self._callbacks if waiting[0] < number]
        if self.host is not None:
            self.host.forget_since(number)


def watch_of(connection: Connection, session: Session | None = None) -> HostWatch:
    """The watch of a Connection, and of the Session that it belongs to."""
    known = connection.info.get(_KEY)
    if known is None or not known.is_for(connection):
        known = connection.info[_KEY] = HostWatch(connection)
        pool = connection.engine.pool
        if pool not in _pools:
            event.listen(pool, "checkin", _on_checkin)
            _pools.add(pool)
    if session is not None:
        if _KEY not in session.info:
            event.listen(session, "after_commit", _on_session_commit)
        session.info[_KEY] = known
    watch: HostWatch = known
    return watch


def _on_checkin(_dbapi_connection: Any, record: Any) -> None:
    watch: HostWatch | None = record.info.pop(_KEY, None)
    if watch is not None:
        watch.abandon()


def _on_session_commit(session: Session) -> None:
    """Also called for a savepoint, and for a Session inside a transaction of its Connection: no
    COMMIT was sent then, and nothing is settled."""
    session.info[_KEY].settle()


def _number(name: str) -> int:
    """The number of a savepoint that SQLAlchemy has named: `sa_savepoint_3`."""
    return int(name.rpartition("_")[2])
