"""The command and its sub-commands. Errors of ours end it with status 1 and their own words."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from gatekeeper._version import __version__
from gatekeeper.cli import (
    backfill,
    customers,
    db,
    events,
    health,
    ledger,
    outbox,
    reconcile,
    stripe,
    subscriptions,
    usage,
    worker,
)
from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.errors import GatekeeperError
from gatekeeper.gate import Gatekeeper
from gatekeeper.ledger import Balance

app = typer.Typer(
    name="gatekeeper",
    help="Entitlements, credits and Stripe billing that live inside a Python web app.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(customers.app, name="customer")
app.add_typer(db.app, name="db")
app.add_typer(events.app, name="events")
app.add_typer(ledger.app, name="ledger")
app.add_typer(outbox.app, name="outbox")
app.add_typer(stripe.app, name="stripe")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(usage.app, name="usage")
app.command(name="stripe-sim")(stripe.simulate)
app.command(name="backfill")(backfill.take_over)
app.command(name="health")(health.health)
app.command(name="reconcile")(reconcile.reconcile)
app.command(name="worker")(worker.work)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def explain(
    gate: GateArgument, customer: Annotated[str, typer.Argument(help="The host's customer id.")]
) -> None:
    """Tell what a customer may use and spend, and why."""

    async def ask(host: Gatekeeper) -> tuple[list[str], Sequence[Balance]]:
        return (await host.explain(customer)).lines(), await host.balances(customer)

    lines, balances = on_gate(gate, ask)
    for line in [*lines, "balances:", *(f"  {_balance_line(found)}" for found in balances)]:
        typer.echo(line)


def _balance_line(balance: Balance) -> str:
    available = "unlimited" if balance.available is None else balance.available
    overage = "unlimited" if balance.overage is None else balance.overage
    beyond = "" if overage == 0 else f", {overage} more billed later"
    owed = f", {balance.debt} owed" if balance.debt else ""
    return f"{balance.unit}: {available} available, {balance.held} held{beyond}{owed}"


def main() -> None:
    """Run the command."""
    try:
        app()
    except GatekeeperError as error:
        typer.echo(f"gatekeeper: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
