"""`gatekeeper customer`: what is done for one customer."""

from typing import Annotated

import anyio
import typer

from gatekeeper.cli.loading import GateArgument, load_gate
from gatekeeper.services.audit import Erased

app = typer.Typer(help="Customers.", no_args_is_help=True)


@app.callback()
def customer() -> None:
    """Customers."""


@app.command()
def erase(
    gate: GateArgument,
    customer: Annotated[str, typer.Argument(help="The host's customer id.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Although something is not finished: holds are given back, overage that was not "
            "reported yet is not billed, subscriptions go on at Stripe without effect here.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Put a pseudonym in a customer's place and wipe what tells who they were, for good.

    Their history and its sums stay. The id can't be used again. Cancel what they have at Stripe
    first, and erase them there too.
    """
    host = load_gate(gate)
    if not yes:
        typer.confirm(f"Erase customer {customer!r}? This can't be undone.", abort=True, err=True)

    async def run() -> Erased:
        async with host.connected():
            return await host.auditor.erase(customer, force=force)

    erased = anyio.run(run)
    typer.echo(f"The history goes on as {erased.pseudonym}.")
    if erased.released:
        typer.echo(f"{erased.released} open hold(s) were given back.")
    if erased.unbilled:
        typer.echo(
            f"{erased.unbilled} use(s) of meters were not told to Stripe: they are not billed."
        )
