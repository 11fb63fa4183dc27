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
    target = _url(url)
    before = migrations.current(target)
    done = migrations.upgrade(target, dry_run=dry_run)
    if dry_run:
        typer.echo(done.sql)
    else:
        after = migrations.current(target)
        if before == after:
            typer.echo(f"The schema is up to date ({after}).")
        else:
            typer.echo(f"The schema went from {before or 'nothing'} to {after}.")


@app.command()
def current(url: Url = None) -> None:
    """Tell which schema the database has, and which this release brings."""
    found = migrations.current(_url(url))
    typer.echo(f"database: {found or 'nothing'}")
    typer.echo(f"release:  {migrations.head()}")


def _url(url: str | None) -> str:
    if url is not None:
        return url
    found = Settings.load(required=["database_url"]).database_url
    return "" if found is None else found.get_secret_value()
