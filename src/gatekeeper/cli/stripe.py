"""`gatekeeper stripe` and `gatekeeper stripe-sim`."""

import secrets
from importlib.util import find_spec
from typing import Annotated

import anyio
import typer

from gatekeeper.cli.loading import GateArgument, load_gate, on_gate
from gatekeeper.cli.watching import watching
from gatekeeper.errors import MissingExtraError
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.moves import MoveOptions, MovePlan, MoveReport, Proration
from gatekeeper.stripe.setup import apply_setup, plan_setup

app = typer.Typer(help="What this app needs at Stripe.", no_args_is_help=True)

SIMULATOR_NEEDS = ("httpx", "uvicorn")
"""What the extra `testing` installs for the simulator."""

REFUSED_STATUS = 3
"""The exit status that tells of subscriptions that were not moved."""


@app.command()
def setup(
    gate: GateArgument,
    webhook_url: Annotated[
        str | None,
        typer.Option("--webhook-url", help="Where Stripe reaches this app's webhook route."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and change nothing.")
    ] = False,
) -> None:
    """Create products, prices, meters and the webhook endpoint that the catalogue needs.

    Running it again changes nothing; nothing is ever deleted.
    """
    host = load_gate(gate)

    async def run() -> None:
        async with host.stripe as gateway:
            differences = await plan_setup(
                host.catalog, gateway, webhook_url, types=host.webhooks.types
            )
            for difference in differences:
                typer.echo(str(difference))
            if not differences:
                typer.echo("Stripe has all that the catalogue needs.")
            elif dry_run:
                typer.echo(f"{len(differences)} difference(s); nothing was changed.")
            else:
                secret = await apply_setup(differences, gateway)
                typer.echo(f"{len(differences)} difference(s) mended.")
                if secret is not None:
                    typer.echo("Set this in the app's environment; Stripe shows it only once:")
                    typer.echo(f"STRIPE_WEBHOOK_SECRET={secret}")

    anyio.run(run)


@app.command("move-prices")
def move_prices(
    gate: GateArgument,
    old: Annotated[
        str | None,
        typer.Option("--from", help="Move from this price alone, by its id or lookup key."),
    ] = None,
    new: Annotated[
        str | None, typer.Option("--to", help="The price to move to, by its id or lookup key.")
    ] = None,
    proration: Annotated[
        Proration, typer.Option(help="What is billed for the rest of the running period.")
    ] = "none",
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without this nothing is changed.")
    ] = False,
    per_second: Annotated[
        float, typer.Option(min=0.01, max=20, help="How many subscriptions a second.")
    ] = 5.0,
) -> None:
    """Move subscriptions to new prices: those of the catalogue's prices that have changed, or
    from one price to another. Shows what it would do, and what it would cost whom.

    The exit status is 3 if Stripe refused to move some.
    """
    options = MoveOptions(old=old, new=new, proration=proration)

    async def run(host: Gatekeeper) -> MovePlan | MoveReport:
        with watching("subscriptions", "moved") as watch:
            if not apply:
                return await host.price_mover.plan(options, watch)
            return await host.price_mover.run(options, watch, per_second=per_second)

    _tell_of_move(on_gate(gate, run), proration)


def _tell_of_move(done: MovePlan | MoveReport, proration: Proration) -> None:
    match done:
        case MovePlan() as plan:
            for line in plan.lines(proration):
                typer.echo(line)
            typer.echo("Nothing was changed; repeat it with --apply.")
        case MoveReport() as report:
            for told in (*report.skipped, *report.refused):
                typer.echo(str(told))
            typer.echo(
                f"{report.moved} subscription(s) moved ({report.earlier} by an earlier run), "
                f"{len(report.skipped)} left alone, {len(report.refused)} refused."
            )
            if report.refused:
                raise typer.Exit(REFUSED_STATUS)


def simulate(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65_535)] = 12111,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook-url", help="Where to deliver events.")
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(
            "--webhook-secret", help="The endpoint's signing secret; by default a new one."
        ),
    ] = None,
) -> None:
    """Run the offline Stripe simulator, and tell the settings with which an app uses it."""
    for package in SIMULATOR_NEEDS:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="testing")
    from gatekeeper.testing.stripe import run
    from gatekeeper.testing.stripe.settings import DEFAULT_API_KEY, PUBLISHABLE_KEYS

    typer.echo(f"STRIPE_API_BASE=http://{host}:{port}")
    typer.echo(f"STRIPE_SECRET_KEY={DEFAULT_API_KEY}")
    typer.echo(f"STRIPE_PUBLISHABLE_KEY={PUBLISHABLE_KEYS[False]}")
    if webhook_url is not None:
        webhook_secret = webhook_secret or f"whsec_{secrets.token_hex(16)}"
        typer.echo(f"STRIPE_WEBHOOK_SECRET={webhook_secret}")
    run(host=host, port=port, webhook_url=webhook_url, webhook_secret=webhook_secret)
