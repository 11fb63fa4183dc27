"""Beside a host's own Alembic: filtered out of its autogenerate, or as a branch of it."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    inspect,
    text,
)

from gatekeeper.errors import ConfigurationError
from gatekeeper.storage.migrations import current, exclude_gatekeeper, head, upgrade
from gatekeeper.storage.sql.store import store_for
from tests.storage.migrations.databases import on

HOST_ENV = """
from alembic import context
from sqlalchemy import MetaData
from gatekeeper.storage.migrations import exclude_gatekeeper

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=MetaData(),
    include_object=exclude_gatekeeper,
)
with context.begin_transaction():
    context.run_migrations()
"""

HOST_REVISION = '''
"""The host's first."""
import sqlalchemy as sa
from alembic import op

revision = "host_1"
down_revision = None
branch_labels = ("host",)
depends_on = None


def upgrade():
    op.create_table("host_orders", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("host_orders")
'''

SCRIPT_MAKO = '''
"""${message}"""
from alembic import op
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''


@pytest.fixture
def host_scripts(tmp_path: Path) -> Path:
    scripts = tmp_path / "host"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text(HOST_ENV)
    (scripts / "script.py.mako").write_text(SCRIPT_MAKO)
    (scripts / "versions" / "host_1.py").write_text(HOST_REVISION)
    return scripts


def host_config(scripts: Path, connection: Connection | None = None, *, branch: bool) -> Config:
    config = Config(attributes={} if connection is None else {"connection": connection})
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("path_separator", "space")
    if branch:
        config.set_main_option(
            "version_locations", f"{scripts / 'versions'} gatekeeper.storage.migrations:versions"
        )
    return config


def host_differences(connection: Connection, *, filtered: bool) -> list[object]:
    theirs = MetaData()
    Table("host_orders", theirs, Column("id", Integer, primary_key=True))
    options = {"include_object": exclude_gatekeeper} if filtered else {}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, theirs))


def test_the_filter_keeps_autogenerate_off_our_tables(empty_url: str, host_scripts: Path) -> None:
    upgrade(empty_url)
    on(empty_url, lambda c: command.upgrade(host_config(host_scripts, c, branch=False), "heads"))
    assert on(empty_url, lambda c: host_differences(c, filtered=True)) == []
    assert on(empty_url, lambda c: host_differences(c, filtered=False)), "nothing to filter"


def test_the_filter_lets_everything_else_pass() -> None:
    theirs = MetaData()
    table = Table(
        "host_orders",
        theirs,
        Column("id", Integer, primary_key=True),
        Column("name", Text, ForeignKey("host_names.name")),
        Index("by_name", "name"),
    )
    assert exclude_gatekeeper(table, "host_orders", "table", False, None)
    for column in table.columns:
        assert exclude_gatekeeper(column, column.name, "column", False, None)
    for index in table.indexes:
        assert exclude_gatekeeper(index, index.name, "index", True, None)
    assert exclude_gatekeeper(None, None, "index", True, None)


def test_the_filter_knows_what_belongs_to_our_tables() -> None:
    ours = Table(
        "gatekeeper_accounts", MetaData(), Column("customer", Text), Index("any", "customer")
    )
    assert not exclude_gatekeeper(ours, "gatekeeper_accounts", "table", True, None)
    for column in ours.columns:
        assert not exclude_gatekeeper(column, column.name, "column", True, None)
    for index in ours.indexes:
        assert not exclude_gatekeeper(index, index.name, "index", True, None)


def test_as_a_branch_of_the_hosts_alembic(empty_url: str, host_scripts: Path) -> None:
    on(empty_url, lambda c: command.upgrade(host_config(host_scripts, c, branch=True), "heads"))

    def look(connection: Connection) -> tuple[set[str], set[str]]:
        tables = set(inspect(connection).get_table_names())
        rows = connection.execute(text("SELECT version_num FROM alembic_version"))
        return tables, set(rows.scalars())

    tables, revisions = on(empty_url, look)
    assert {"host_orders", "gatekeeper_accounts"} <= tables
    assert "gatekeeper_alembic_version" not in tables
    assert revisions == {"host_1", head()}


def test_the_branch_can_be_named(empty_url: str, host_scripts: Path) -> None:
    on(
        empty_url,
        lambda c: command.upgrade(host_config(host_scripts, c, branch=True), "gatekeeper@head"),
    )
    tables = on(empty_url, lambda connection: inspect(connection).get_table_names())
    assert "gatekeeper_accounts" in tables
    assert "host_orders" not in tables


@pytest.mark.anyio
async def test_a_store_opens_on_a_branch_of_the_hosts_alembic(
    sqlite_url: str, host_scripts: Path
) -> None:
    on(sqlite_url, lambda c: command.upgrade(host_config(host_scripts, c, branch=True), "heads"))
    async with store_for(sqlite_url) as store:
        assert await store.read(lambda tx: tx.customers.get("ada")) is None


def test_our_own_upgrade_leaves_a_branch_to_the_host(empty_url: str, host_scripts: Path) -> None:
    on(empty_url, lambda c: command.upgrade(host_config(host_scripts, c, branch=True), "heads"))
    with pytest.raises(ConfigurationError, match="alembic upgrade heads"):
        upgrade(empty_url)
    assert current(empty_url) is None


def test_the_host_goes_on_making_revisions_of_its_own(empty_url: str, host_scripts: Path) -> None:
    def revise(connection: Connection) -> None:
        config = host_config(host_scripts, connection, branch=True)
        command.upgrade(config, "heads")
        command.revision(
            config,
            "second",
            head="host@head",
            version_path=str(host_scripts / "versions"),
        )
        command.upgrade(config, "heads")

    on(empty_url, revise)
    script = ScriptDirectory.from_config(host_config(host_scripts, branch=True))
    assert len(script.get_heads()) == 2
