"""Which releases run on which schema."""

import pytest
from sqlalchemy import Connection, text

from gatekeeper.errors import SchemaVersionError
from gatekeeper.storage.migrations import SCHEMA_VERSION, check_schema, current, head, upgrade
from gatekeeper.storage.sql.store import store_for
from tests.storage.migrations.databases import on

pytestmark = pytest.mark.anyio


def set_schema(url: str, version: int, readable_from: int) -> None:
    def change(connection: Connection) -> None:
        connection.execute(
            text("UPDATE gatekeeper_schema SET version = :v, readable_from = :r"),
            {"v": version, "r": readable_from},
        )

    on(url, change)


def test_our_own_schema_is_accepted(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    on(sqlite_url, check_schema)


def test_the_next_releases_schema_is_accepted_where_it_only_adds(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    set_schema(sqlite_url, SCHEMA_VERSION + 1, SCHEMA_VERSION)
    on(sqlite_url, check_schema)


def test_a_schema_that_has_left_us_behind_is_refused(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    set_schema(sqlite_url, SCHEMA_VERSION + 2, SCHEMA_VERSION + 1)
    with pytest.raises(SchemaVersionError, match="install a newer gatekeeper-entitlements"):
        on(sqlite_url, check_schema)


def test_an_older_schema_is_refused_with_the_command(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    set_schema(sqlite_url, SCHEMA_VERSION - 1, 0)
    with pytest.raises(SchemaVersionError, match="gatekeeper db upgrade"):
        on(sqlite_url, check_schema)


def test_a_database_without_our_tables_is_refused_with_the_command(sqlite_url: str) -> None:
    with pytest.raises(SchemaVersionError, match="gatekeeper db upgrade"):
        on(sqlite_url, check_schema)


def test_a_schema_table_without_its_row_is_refused(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    on(sqlite_url, lambda connection: connection.execute(text("DELETE FROM gatekeeper_schema")))
    with pytest.raises(SchemaVersionError):
        on(sqlite_url, check_schema)


async def test_a_store_opens_on_the_next_releases_schema(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    set_schema(sqlite_url, SCHEMA_VERSION + 1, SCHEMA_VERSION)
    async with store_for(sqlite_url, auto_upgrade=True):
        pass


def test_an_older_release_leaves_a_newer_schema_alone(sqlite_url: str) -> None:
    """A rolling deploy: the old release's `db upgrade` may run after the new one's."""
    upgrade(sqlite_url)
    set_schema(sqlite_url, SCHEMA_VERSION + 1, SCHEMA_VERSION)

    def pretend(connection: Connection) -> None:
        connection.execute(
            text("UPDATE gatekeeper_alembic_version SET version_num = 'gatekeeper_9999'")
        )

    on(sqlite_url, pretend)
    assert upgrade(sqlite_url).after == "gatekeeper_9999"


async def test_a_store_refuses_to_open_on_an_older_schema(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    set_schema(sqlite_url, SCHEMA_VERSION - 1, 0)
    with pytest.raises(SchemaVersionError):
        await store_for(sqlite_url).open()


async def test_sqlite_can_upgrade_itself_when_it_opens(sqlite_url: str) -> None:
    async with store_for(sqlite_url, auto_upgrade=True):
        assert current(sqlite_url) == head()
    async with store_for(sqlite_url, auto_upgrade=True):
        pass
