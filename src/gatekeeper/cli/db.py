"""`gatekeeper db`: the schema."""

from typing import Annotated

import typer

from gatekeeper.settings import Settings
from gatekeeper.storage import migrations

app = typer.Typer(help="The database schema.", no_args_is_help=True)

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The database; by default GATEKEEPER_DATABASE_URL.",
        show_default=False,
    ),
]


@app.command()
def upgrade(
    url: Url = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL and change nothing.")
    ] = False,
) -> None:
    """Bring the schema up to what this release needs. Running it again changes nothing."""
    done = migrations.upgrade(_url(url), dry_run=dry_run)
    if dry_run:
        typer.echo(done.sql or f"-- The schema is up to date ({done.before}).")
    elif done.before == done.after:
        typer.echo(f"The schema is up to date ({done.after}).")
    else:
        typer.echo(f"The schema went from {done.before or 'nothing'} to {done.after}.")


@app.command()
def current(url: Url = None) -> None:
    """Tell which schema the database has, and which this release brings."""
    found = migrations.current(_url(url))
    typer.echo(f"database: {found or 'nothing'}")
    typer.echo(f"release:  {migrations.head()}")


def _url(url: str | None) -> str:
    """The database's URL in the form that SQLAlchemy takes.

    Raises:
        SettingsError: it is missing, or no URL of a database; with every other bad setting.
    """
    given = {} if url is None else {"database_url": url}
    found = Settings.load(required=["database_url"], **given).database_url
    assert found is not None
    return found.get_secret_value()
