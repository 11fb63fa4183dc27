"""`gatekeeper stripe` and `gatekeeper stripe-sim`."""

from typing import Annotated

import anyio
import typer

from gatekeeper.cli.loading import GateArgument, load_gate
from gatekeeper.stripe.setup import apply_setup, plan_setup

app = typer.Typer(help="What this app needs at Stripe.", no_args_is_help=True)


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
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 12111,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook-url", help="Where to deliver events.")
    ] = None,
    webhook_secret: Annotated[
        str | None, typer.Option("--webhook-secret", help="The endpoint's signing secret.")
    ] = None,
) -> None:
    """Run the offline Stripe simulator; point STRIPE_API_BASE at it."""
    from gatekeeper.testing.stripe import run

    run(host=host, port=port, webhook_url=webhook_url, webhook_secret=webhook_secret)
