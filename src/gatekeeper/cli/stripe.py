"""`gatekeeper stripe` and `gatekeeper stripe-sim`."""

import secrets
from importlib.util import find_spec
from typing import Annotated

import anyio
import typer

from gatekeeper.cli.loading import GateArgument, load_gate
from gatekeeper.errors import MissingExtraError
from gatekeeper.stripe.setup import apply_setup, plan_setup

app = typer.Typer(help="What this app needs at Stripe.", no_args_is_help=True)

SIMULATOR_NEEDS = ("httpx", "uvicorn")
"""What the extra `testing` installs for the simulator."""


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
    from gatekeeper.testing.stripe.settings import DEFAULT_API_KEY

    typer.echo(f"STRIPE_API_BASE=http://{host}:{port}")
    typer.echo(f"STRIPE_SECRET_KEY={DEFAULT_API_KEY}")
    if webhook_url is not None:
        webhook_secret = webhook_secret or f"whsec_{secrets.token_hex(16)}"
        typer.echo(f"STRIPE_WEBHOOK_SECRET={webhook_secret}")
    run(host=host, port=port, webhook_url=webhook_url, webhook_secret=webhook_secret)
