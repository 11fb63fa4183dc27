"""The command and its sub-commands. Errors of ours end it with status 1 and their own words."""

import sys
from typing import Annotated

import anyio
import typer

from gatekeeper._version import __version__
from gatekeeper.cli import db, stripe
from gatekeeper.cli.loading import GateArgument, load_gate
from gatekeeper.errors import GatekeeperError

app = typer.Typer(
    name="gatekeeper",
    help="Entitlements, credits and Stripe billing that live inside a Python web app.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(db.app, name="db")
app.add_typer(stripe.app, name="stripe")
app.command(name="stripe-sim")(stripe.simulate)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def worker(
    gate: GateArgument,
    once: Annotated[
        bool, typer.Option("--once", help="Do what is due now, then end; for cron.")
    ] = False,
) -> None:
    """Dispatch webhook events and expire holds, for hosts that have no lifespan."""
    host = load_gate(gate)

    async def run() -> None:
        if once:
            done = await host.work_once()
            typer.echo(f"{done.events} event(s) dispatched, {done.holds} hold(s) expired.")
            return
        async with host:
            typer.echo("Working. Stop with Ctrl-C.")
            await anyio.sleep_forever()

    anyio.run(run)


@app.command()
def explain(
    gate: GateArgument, customer: Annotated[str, typer.Argument(help="The host's customer id.")]
) -> None:
    """Tell what a customer may use, and why."""
    host = load_gate(gate)

    async def run() -> None:
        async with host.connected():
            for line in (await host.explain(customer)).lines():
                typer.echo(line)

    anyio.run(run)


def main() -> None:
    """Run the command."""
    try:
        app()
    except GatekeeperError as error:
        typer.echo(f"gatekeeper: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
