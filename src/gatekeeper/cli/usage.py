"""`gatekeeper usage`: metered usage on its way to Stripe."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.metering import WindowStatus
from gatekeeper.stripe.meters import Compared

app = typer.Typer(help="Metered usage on its way to Stripe.", no_args_is_help=True)

DIFFERENCE_STATUS = 3
"""The exit status of `compare` that tells of a difference."""

_MANY = 10_000

IdentifierArgument = Annotated[
    str, typer.Argument(metavar="IDENTIFIER", help="A window, as `list` shows it.")
]
CustomerOption = Annotated[str | None, typer.Option(help="Of this customer alone.")]


@app.callback()
def usage() -> None:
    """Metered usage on its way to Stripe."""


@app.command(name="list")
def list_(
    gate: GateArgument,
    status: Annotated[WindowStatus, typer.Option(help="Which windows.")] = WindowStatus.DEAD,
    customer: CustomerOption = None,
    limit: Annotated[int, typer.Option(min=1, max=_MANY, help="How many at most.")] = 100,
) -> None:
    """List sealed windows that are dead letters, or of another state, the earliest first."""
    for one in on_gate(
        gate, lambda host: host.usage_windows.find(status=status, customer=customer, limit=limit)
    ):
        start = one.start.isoformat(timespec="minutes")
        error = f": {one.last_error}" if one.last_error else ""
        typer.echo(f"{one.identifier} {start} {one.customer} {one.meter} {one.quantity}{error}")


@app.command()
def retry(gate: GateArgument, identifier: IdentifierArgument) -> None:
    """Have a dead window sent again; one that Stripe had rejected as a further one."""
    sent = on_gate(gate, lambda host: host.usage_windows.retry(identifier))
    typer.echo(f"{sent.identifier} will be sent.")


@app.command()
def discard(gate: GateArgument, identifier: IdentifierArgument) -> None:
    """Never bill a window that was not sent."""
    discarded = on_gate(gate, lambda host: host.usage_windows.discard(identifier))
    typer.echo(f"{discarded.quantity} of {discarded.meter} will not be billed.")


@app.command()
def compare(
    gate: GateArgument,
    customer: CustomerOption = None,
    days: Annotated[int, typer.Option(min=1, max=35, help="How far back.")] = 7,
) -> None:
    """Compare what Stripe was told with what it has summed up, by customer and meter.

    Stripe sums up later than it answers: the last hour is left out. The exit status is 3 if
    something differs.
    """
    until = datetime.now(UTC) - timedelta(hours=1)
    since = until - timedelta(days=days)
    found = on_gate(gate, lambda host: _compared(host, customer, since, until))
    differing = [one for one in found if not one.agrees]
    for one in differing:
        typer.echo(
            f"{one.customer} {one.meter}: Stripe was told {one.told} and has {one.at_stripe}"
        )
    typer.echo(f"{len(found)} sum(s) compared, {len(differing)} difference(s).")
    if differing:
        raise typer.Exit(DIFFERENCE_STATUS)


async def _compared(
    host: Gatekeeper, customer: str | None, since: datetime, until: datetime
) -> list[Compared]:
    if customer is not None:
        return await host.compare_usage(customer, since, until)
    found: list[Compared] = []
    for one in await host.customers_told(since, until):
        found += await host.compare_usage(one, since, until)
    return found
