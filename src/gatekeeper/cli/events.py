"""`gatekeeper events`: what came by webhook and could not be carried out."""

from typing import Annotated

import anyio
import typer

from gatekeeper.cli.loading import GateArgument, load_gate
from gatekeeper.errors import InvalidInputError, NotFoundError

app = typer.Typer(help="Webhook events that were received.", no_args_is_help=True)


@app.callback()
def events() -> None:
    """Webhook events that were received."""


@app.command()
def retry(
    gate: GateArgument,
    event_id: Annotated[
        str | None,
        typer.Argument(
            metavar="EVENT_ID",
            help="A dead or done event; ACCOUNT/EVENT_ID for one of a Connect account.",
        ),
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All dead letters.")] = False,
) -> None:
    """Have dead letters, or one event, carried out again by whatever dispatches.

    One event is projected again too; handlers of the host that have completed it are not.
    """
    if (event_id is None) is not dead:
        raise InvalidInputError("Give either --dead or the id of one event.")
    host = load_gate(gate)

    async def run() -> int:
        async with host.connected():
            return await host.receiver.retry(event_id)

    count = anyio.run(run)
    if event_id is not None and not count:
        raise NotFoundError(f"There is no dead or done event {event_id!r}.")
    typer.echo(f"{count} event(s) will be tried again.")
