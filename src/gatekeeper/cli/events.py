"""`gatekeeper events`: what came by webhook and could not be carried out."""

from collections.abc import Sequence
from typing import Annotated

import anyio
import typer

from gatekeeper.cli.loading import GateArgument, load_gate
from gatekeeper.errors import InvalidInputError, NotFoundError
from gatekeeper.storage.records import EventStatus, InboxEvent

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
            help="A dead, done or discarded event; ACCOUNT/EVENT_ID for one of a Connect account.",
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
        raise NotFoundError(f"There is no dead, done or discarded event {event_id!r}.")
    typer.echo(f"{count} event(s) will be tried again.")


@app.command(name="list")
def list_(
    gate: GateArgument,
    status: Annotated[EventStatus, typer.Option(help="Those of this status.")] = EventStatus.DEAD,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
) -> None:
    """List events, the oldest first: key, type, attempts, when received, and the last error."""
    host = load_gate(gate)

    async def run() -> Sequence[InboxEvent]:
        async with host.connected():
            return await host.receiver.listed(status, limit)

    for event in anyio.run(run):
        received = event.received_at.isoformat(timespec="seconds")
        columns = (event.key, event.type, str(event.attempts), received, event.last_error or "")
        typer.echo("  ".join(columns).rstrip())


@app.command()
def discard(
    gate: GateArgument,
    event_id: Annotated[str, typer.Argument(help="A dead or waiting event.")],
) -> None:
    """Give up one event for good; `retry` with its id brings it back."""
    host = load_gate(gate)

    async def run() -> bool:
        async with host.connected():
            return await host.receiver.discard(event_id)

    if not anyio.run(run):
        raise NotFoundError(f"There is no dead or waiting event {event_id!r}.")
    typer.echo("1 event discarded.")
