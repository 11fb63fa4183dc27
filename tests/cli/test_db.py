"""`gatekeeper db`, on SQLite and PostgreSQL."""

import re
import sqlite3
from pathlib import Path

import pytest

from gatekeeper.storage import migrations
from tests.cli.conftest import Host


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def database_url(request: pytest.FixtureRequest, host: Host) -> str:
    """The host's database: each kind in turn."""
    url = str(request.getfixturevalue(request.param))
    host.env["GATEKEEPER_DATABASE_URL"] = url
    return url


@pytest.mark.usefixtures("database_url")
def test_upgrade_makes_the_tables_and_a_second_run_changes_nothing(host: Host) -> None:
    head = migrations.head()
    assert host.run("db", "current").splitlines() == [
        "database: nothing",
        f"release:  {head}",
    ]
    assert host.run("db", "upgrade") == f"The schema went from nothing to {head}.\n"
    assert host.run("db", "upgrade") == f"The schema is up to date ({head}).\n"
    assert host.run("db", "current").splitlines() == [
        f"database: {head}",
        f"release:  {head}",
    ]


@pytest.mark.usefixtures("database_url")
def test_a_dry_run_prints_the_sql_and_changes_nothing(host: Host) -> None:
    written = host.run("db", "upgrade", "--dry-run")
    assert "CREATE TABLE gatekeeper_accounts" in written
    assert host.run("db", "current").startswith("database: nothing\n")
    host.run("db", "upgrade")
    again = host.run("db", "upgrade", "--dry-run")
    assert again == f"-- The schema is up to date ({migrations.head()}).\n"


def test_what_a_dry_run_prints_is_sql_that_works(host: Host, tmp_path: Path) -> None:
    written = host.run("db", "upgrade", "--dry-run")
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as database:
        database.executescript(written)
    database.close()
    shown = host.run("db", "current", "--url", f"sqlite:///{other}")
    assert shown.startswith(f"database: {migrations.head()}\n")


def test_the_url_of_the_command_line_comes_before_the_setting(host: Host, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    host.run("db", "upgrade", "--url", other)
    assert host.run("db", "current").startswith("database: nothing\n")
    assert host.run("db", "current", "--url", other).startswith(f"database: {migrations.head()}\n")


def test_the_usual_forms_of_a_postgresql_url_are_taken(host: Host, postgres_url: str) -> None:
    plain = re.sub(r"^postgresql\+asyncpg:", "postgres:", postgres_url)
    assert "went from nothing" in host.run("db", "upgrade", "--url", plain)


@pytest.mark.parametrize("url", ["mysql://localhost/shop", "not a url", "sqlite://"])
def test_a_url_of_no_database_of_ours_is_refused_in_our_words(host: Host, url: str) -> None:
    shown = host.run("db", "upgrade", "--url", url, status=1)
    assert shown.startswith("gatekeeper: The configuration of Gatekeeper has 1 fault(s):")
    assert "GATEKEEPER_DATABASE_URL must " in shown


def test_a_database_that_cannot_be_reached_is_said_to_be_so(host: Host, free_port: int) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port}/nothing"
    shown = host.run("db", "upgrade", "--url", url, status=1)
    assert shown.startswith("gatekeeper: ")
    assert "Traceback" not in shown
