"""Migrating a database, from empty to the head."""

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from gatekeeper.errors import ConfigurationError, StoreUnavailableError
from gatekeeper.storage.migrations import (
    SCHEMA_VERSION,
    VERSION_TABLE,
    SchemaStatus,
    Upgrade,
    current,
    head,
    schema_status,
    upgrade,
    upgrade_connection,
)
from gatekeeper.storage.migrations.alone import alone_with_alembic
from gatekeeper.storage.migrations.upgrading import _config
from gatekeeper.storage.sql.tables import metadata
from tests.services.postgres import PostgresServer, database_name
from tests.storage.migrations.databases import catalog, on


def test_from_empty_to_the_head(empty_url: str) -> None:
    assert current(empty_url) is None
    assert upgrade(empty_url) == Upgrade(before=None, after=head())
    assert current(empty_url) == head()
    assert on(empty_url, schema_status) == SchemaStatus(SCHEMA_VERSION, 2)


def test_running_it_again_changes_nothing(empty_url: str) -> None:
    upgrade(empty_url)
    before = on(empty_url, database_id)
    assert upgrade(empty_url) == Upgrade(before=head(), after=head())
    assert on(empty_url, database_id) == before


def database_id(connection: Connection) -> object:
    return connection.execute(text("SELECT database_id FROM gatekeeper_schema")).scalar_one()


def test_two_databases_can_be_told_apart(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}" for name in ("one.db", "two.db")]
    for url in urls:
        upgrade(url)
    assert on(urls[0], database_id) != on(urls[1], database_id)


def test_alembic_finds_no_difference_to_the_metadata(empty_url: str) -> None:
    upgrade(empty_url)

    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(
            connection, opts={**options, "version_table": VERSION_TABLE}
        )
        return list(compare_metadata(context, metadata))

    assert on(empty_url, differences) == []


def test_the_migrations_make_what_the_metadata_says_to_the_letter(
    empty_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What Alembic does not compare as well: keys, CHECKs, conditions of indexes, comments."""
    upgrade(empty_url)
    migrated = on(empty_url, catalog)
    assert migrated
    if empty_url.startswith("sqlite"):
        created = on(f"sqlite:///{tmp_path / 'created.db'}", create_and_look)
    else:
        server = request.getfixturevalue("postgres_server")
        other = server.create_database()
        created = on(other, create_and_look)
        server.drop_database(other)
    assert migrated == created


def create_and_look(connection: Connection) -> set[tuple[object, ...]]:
    metadata.create_all(connection)
    return catalog(connection)


def test_the_check_constraints_are_in_the_database(empty_url: str) -> None:
    upgrade(empty_url)

    def names(connection: Connection) -> set[str | None]:
        found = inspect(connection).get_check_constraints("gatekeeper_accounts")
        return {one["name"] for one in found}

    assert on(empty_url, names) == {
        "ck_gatekeeper_accounts_available",
        "ck_gatekeeper_accounts_held",
        "ck_gatekeeper_accounts_debt",
    }


def test_a_dry_run_returns_the_sql_and_changes_nothing(empty_url: str) -> None:
    dry = upgrade(empty_url, dry_run=True)
    assert (dry.before, dry.after) == (None, head())
    assert "CREATE TABLE gatekeeper_accounts" in dry.sql
    assert current(empty_url) is None
    upgrade(empty_url)
    assert upgrade(empty_url, dry_run=True) == Upgrade(head(), head(), "")


def test_the_sql_of_a_dry_run_does_the_same_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    sql = upgrade(sqlite_url, dry_run=True).sql
    upgrade(sqlite_url)
    engine = create_engine(f"sqlite:///{tmp_path / 'by_hand.db'}")
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.executescript(sql)
        assert catalog(connection) == on(sqlite_url, catalog)
    engine.dispose()


def test_the_sql_of_a_dry_run_does_the_same_on_postgres(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    sql = upgrade(postgres_url, dry_run=True).sql
    postgres_server.sql(sql, database=database_name(postgres_url))
    by_hand = on(postgres_url, catalog)
    assert current(postgres_url) == head()
    other = postgres_server.create_database()
    upgrade(other)
    assert on(other, catalog) == by_hand
    postgres_server.drop_database(other)


def test_half_a_migration_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction, on SQLite too, where DDL is transactional as well."""
    real = command.upgrade

    def fail_at_the_end(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        raise ZeroDivisionError

    monkeypatch.setattr(command, "upgrade", fail_at_the_end)
    with pytest.raises(ZeroDivisionError):
        upgrade(empty_url)
    monkeypatch.undo()
    assert on(empty_url, lambda connection: inspect(connection).get_table_names()) == []
    upgrade(empty_url)


def test_a_revision_that_is_not_there_is_refused_by_name(empty_url: str) -> None:
    with pytest.raises(ConfigurationError, match="no_such"):
        upgrade(empty_url, "no_such")


def test_no_schema_can_be_taken_back(empty_url: str) -> None:
    upgrade(empty_url)

    def downgrade(connection: Connection) -> None:
        command.downgrade(_config(connection=connection), "base")

    with pytest.raises(NotImplementedError, match="would be lost"):
        on(empty_url, downgrade)
    assert current(empty_url) == head()


def test_alembics_own_command_line_says_which_one_to_use() -> None:
    with pytest.raises(ConfigurationError, match="gatekeeper db upgrade"):
        command.upgrade(_config(), "heads")


def test_an_engine_of_the_hosts_will_do(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    assert upgrade(engine).after == head()
    assert current(engine) == head()
    engine.dispose()


@pytest.mark.anyio
async def test_an_asynchronous_engine_of_the_hosts_will_do(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        assert (await connection.run_sync(upgrade_connection)).after == head()
    await engine.dispose()


@pytest.mark.anyio
async def test_it_works_under_a_running_loop(empty_url: str) -> None:
    assert upgrade(empty_url).after == head()


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path, free_port: int) -> None:
    for url in (
        f"sqlite:///{tmp_path / 'no' / 'such.db'}",
        f"postgresql://postgres@127.0.0.1:{free_port}/billing",
    ):
        with pytest.raises(StoreUnavailableError):
            upgrade(url)


# -- at the same time -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two, for each kind of database."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as started:
        yield started


def test_two_processes_at_once(empty_url: str, processes: ProcessPoolExecutor) -> None:
    done = list(processes.map(upgrade, [empty_url] * 4))
    assert sorted(str(one.before) for one in done) == ["None", *[head()] * 3]
    assert {one.after for one in done} == {head()}


def test_two_threads_at_once(empty_url: str) -> None:
    done: list[Upgrade] = []
    threads = [threading.Thread(target=lambda: done.append(upgrade(empty_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(one.before) for one in done) == ["None", *[head()] * 3]


@pytest.mark.anyio
async def test_two_upgrades_on_one_loop_are_refused_instead_of_hanging(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)

    async def one() -> Upgrade:
        async with engine.begin() as connection:
            return await connection.run_sync(upgrade_connection)

    results = await asyncio.gather(one(), one(), return_exceptions=True)
    assert [type(result) for result in results].count(Upgrade) == 1
    assert [type(result) for result in results].count(RuntimeError) == 1
    await engine.dispose()


def test_the_turn_is_given_back() -> None:
    with pytest.raises(ZeroDivisionError), alone_with_alembic():
        raise ZeroDivisionError
    with alone_with_alembic(), pytest.raises(RuntimeError), alone_with_alembic():
        pass
