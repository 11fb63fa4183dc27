"""`gatekeeper outbox`: what has to leave and has not."""

from typing import Annotated

import typer

from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.errors import InvalidInputError, NotFoundError
from gatekeeper.storage.records import OutboxState

app = typer.Typer(help="Messages that have to leave.", no_args_is_help=True)

MessageArgument = Annotated[
    str | None, typer.Argument(metavar="MESSAGE_ID", help="One message, as `list` shows it.")
]
DeadOption = Annotated[bool, typer.Option("--dead", help="All dead letters.")]


@app.callback()
def outbox() -> None:
    """Messages that have to leave."""


@app.command(name="list")
def list_(
    gate: GateArgument,
    state: Annotated[OutboxState, typer.Option(help="Which messages.")] = OutboxState.DEAD,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
) -> None:
    """List dead letters, or messages of another state, the oldest first."""
    for one in on_gate(gate, lambda host: host.outbox.listing(state, limit)):
        written = one.created_at.isoformat(timespec="seconds")
        error = f": {one.last_error}" if one.last_error else ""
        to = f" to {one.receiver}" if one.receiver else ""
        typer.echo(
            f"{one.id} {written} {one.customer} {one.topic}{to}, {one.attempts} tries{error}"
        )


@app.command()
def retry(gate: GateArgument, message_id: MessageArgument = None, dead: DeadOption = False) -> None:
    """Have dead letters delivered again."""
    _check(message_id, dead)
    count = on_gate(gate, lambda host: host.outbox.retry(message_id))
    typer.echo(f"{_found(count, message_id)} message(s) will be tried again.")


@app.command()
def discard(
    gate: GateArgument, message_id: MessageArgument = None, dead: DeadOption = False
) -> None:
    """Delete dead letters, or one message that is dead or waits."""
    _check(message_id, dead)
    count = on_gate(gate, lambda host: host.outbox.discard(message_id))
    typer.echo(f"{_found(count, message_id)} message(s) deleted.")


def _check(message_id: str | None, dead: bool) -> None:
    if (message_id is None) is not dead:
        raise InvalidInputError("Give either --dead or the id of one message.")


def _found(count: int, message_id: str | None) -> int:
    if message_id is not None and not count:
        raise NotFoundError(f"There is no such message {message_id!r}.")
    return count
