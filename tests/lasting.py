"""Connections to PostgreSQL that are handed from test to test.

Nearly every test has an engine of its own, whose connections the server would have to fork a
process for, warm up and prepare every statement on: half of such a test. A conftest that imports
`anyio_backend` from here runs its tests on one event loop after the other that are the same one
inside, and what their engines close is reset, kept and given to the next that connects in the same
way. To the tests all is as usual: what they left running has ended before the next one begins.
The connections end with the conftest's package: elsewhere a test may count those to its database.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.util import LRUCache

_STATEMENTS: Final = 1_000
"""Prepared on each connection at most."""

_RESET_SECONDS: Final = 5.0


class LastingConnection(asyncpg.Connection):  # type: ignore[misc]
    """Whose `close` hands it back, in the state of a new one but for what it has prepared."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kept_by: LastingLoop | None = None
        self.way = ""
        self.statements: LRUCache[str, Any] = LRUCache(_STATEMENTS)
        self._codecs: set[tuple[str, str]] = set()

    async def set_type_codec(self, typename: str, *, schema: str = "public", **how: Any) -> None:
        """Once: SQLAlchemy sets the same ones for each engine, at two round trips."""
        if (schema, typename) not in self._codecs:
            await super().set_type_codec(typename, schema=schema, **how)
            self._codecs.add((schema, typename))

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- asyncpg's
        """With a timeout it is one that SQLAlchemy has done away with."""
        if timeout is None and self.kept_by is not None and not self.is_closed():
            try:
                await self.reset(timeout=_RESET_SECONDS)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await super().close(timeout=1)
            else:
                self.kept_by.idle[self.way].append(self)
            return
        await super().close(timeout=timeout)


class LastingLoop(asyncio.SelectorEventLoop):
    """An event loop that `asyncio.Runner` ends as any other, and that can run again."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: dict[str, list[LastingConnection]] = defaultdict(list)
        self.databases: set[str] = set()
        """Those that outlive a test."""

    async def shutdown_asyncgens(self) -> None:
        await super().shutdown_asyncgens()
        self._asyncgens_shutdown_called = False

    async def shutdown_default_executor(self, *args: Any) -> None:
        await super().shutdown_default_executor(*args)
        self._executor_shutdown_called = False
        self._default_executor = None

    def close(self) -> None:
        """Nothing that a test has put off happens in the next one."""
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        scheduled.clear()

    def end(self) -> None:
        """Close the connections, and the loop."""
        for connections in self.idle.values():
            for connection in connections:
                connection.terminate()
        self.run_until_complete(asyncio.sleep(0))
        super().close()

    async def connection(self, way: str, **options: Any) -> LastingConnection:
        """An idle one, or a new one."""
        while self.idle[way]:
            found = self.idle[way].pop()
            if not found.is_closed():
                return found
        made: LastingConnection = await asyncpg.connect(
            **options, connection_class=LastingConnection
        )
        made.kept_by, made.way = self, way
        return made


_LOOPS: Final[list[LastingLoop]] = []


def keep_connections(database: str) -> list[int]:
    """From now on, those to this database. The process ids of those that are idle now."""
    pids = []
    for loop in _LOOPS:
        loop.databases.add(database)
        pids += [
            connection.get_server_pid()
            for connections in loop.idle.values()
            for connection in connections
        ]
    return pids


@event.listens_for(Engine, "do_connect")
def _connect(dialect: Dialect, _record: Any, _args: Any, options: dict[str, Any]) -> Any:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    if not isinstance(loop, LastingLoop) or options.get("database") not in loop.databases:
        return None
    if dialect.driver != "asyncpg" or "async_creator_fn" in options:
        return None
    way = repr(sorted(options.items(), key=lambda option: option[0]))
    adapted: Any = dialect.connect(**options, async_creator_fn=partial(loop.connection, way))
    if adapted._prepared_statement_cache is not None:
        adapted._prepared_statement_cache = adapted.driver_connection.statements
    return adapted


@pytest.fixture(scope="package")
def lasting_loop() -> Iterator[LastingLoop]:
    loop = LastingLoop()
    _LOOPS.append(loop)
    yield loop
    _LOOPS.remove(loop)
    loop.end()


@pytest.fixture(scope="package")
def anyio_backend(lasting_loop: LastingLoop) -> tuple[str, dict[str, Any]]:
    """For async tests, in place of the usual one."""
    return "asyncio", {"loop_factory": lambda: lasting_loop}
