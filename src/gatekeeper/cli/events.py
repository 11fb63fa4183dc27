"""`gatekeeper events`: what came by webhook and could not be carried out."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

import typer

from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.errors import InvalidInputError, NotFoundError
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.desk import EventSelection
from gatekeeper.storage.records import ErrorKind, EventStatus
from gatekeeper.stripe.webhooks import EventControl, EventDetails

app = typer.Typer(help="Webhook events that were received.", no_args_is_help=True)

TypeOption = Annotated[
    str | None, typer.Option("--type", help="Of this type: invoice.paid, or all of invoice.*")
]
ObjectOption = Annotated[str | None, typer.Option("--object", help="About the object of this id.")]
SinceOption = Annotated[datetime | None, typer.Option(help="Received since then (UTC).")]
UntilOption = Annotated[datetime | None, typer.Option(help="Received before then (UTC).")]
ErrorOption = Annotated[str | None, typer.Option(help="Whose last error contains this text.")]
KindOption = Annotated[ErrorKind | None, typer.Option(help="Whose last error is of this kind.")]
DeadOption = Annotated[
    bool, typer.Option("--dead", help="All dead letters, or those that the other options leave.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say how many there are and change nothing.")
]


@app.callback()
def events() -> None:
    """Webhook events that were received."""


@app.command(name="list")
def list_(
    gate: GateArgument,
    status: Annotated[EventStatus, typer.Option(help="Those of this status.")] = EventStatus.DEAD,
    type_: TypeOption = None,
    object_: ObjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    error: ErrorOption = None,
    kind: KindOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
) -> None:
    """List events, the oldest first: key, type, attempts, when received, and the last error with
    its kind."""
    selection = _selection(type_, object_, since, until, error, kind, status=status)
    for event in on_gate(gate, lambda host: host.events.find(selection, limit)):
        columns = [event.key, event.type, str(event.attempts), _shown(event.received_at)]
        if event.last_error is not None:
            columns.append(f"{event.error_kind or 'unknown'}: {event.last_error}")
        typer.echo("  ".join(columns))


@app.command()
def show(
    gate: GateArgument,
    event_id: Annotated[
        str, typer.Argument(help="An event; ACCOUNT/EVENT_ID for one of a Connect account.")
    ],
    payload: Annotated[
        bool, typer.Option("--payload", help="And its body, as Stripe sent it.")
    ] = False,
) -> None:
    """Show everything that is known of one event.

    The body holds what Stripe knows of the customer: names, addresses, amounts.
    """
    found = on_gate(gate, lambda host: host.events.show(event_id))
    if found is None:
        raise NotFoundError(f"There is no event {event_id!r}.")
    for name, value in _described(found):
        typer.echo(f"{name + ':':<14}{value}")
    if payload:
        typer.echo(_pretty(found.event.payload))


@app.command()
def retry(  # noqa: PLR0913, PLR0917 -- the options of a command
    gate: GateArgument,
    event_id: Annotated[
        str | None,
        typer.Argument(
            metavar="EVENT_ID",
            help="A dead, done or discarded event; ACCOUNT/EVENT_ID for one of a Connect account.",
        ),
    ] = None,
    dead: DeadOption = False,
    type_: TypeOption = None,
    object_: ObjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    error: ErrorOption = None,
    kind: KindOption = None,
    again: Annotated[
        list[str] | None,
        typer.Option(help="A handler that has completed EVENT_ID and is to run again."),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Have dead letters, or one event, carried out again by whatever dispatches.

    One event is projected again too; handlers of the host that have completed it don't run again,
    but for those that are named by --again.
    """
    selection = _selection(type_, object_, since, until, error, kind)
    if again and event_id is None:
        raise InvalidInputError("Handlers run again for one EVENT_ID alone.")
    retrying = replace(_RETRY, one=partial(EventControl.retry, again=again or ()))
    _carry_out(retrying, gate, event_id, dead, selection, dry_run)


@app.command()
def discard(
    gate: GateArgument,
    event_id: Annotated[
        str | None, typer.Argument(metavar="EVENT_ID", help="A dead or waiting event.")
    ] = None,
    dead: DeadOption = False,
    type_: TypeOption = None,
    object_: ObjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    error: ErrorOption = None,
    kind: KindOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Give up dead letters, or one event that is dead or waits; `retry` with its id brings one
    back, until it is pruned."""
    selection = _selection(type_, object_, since, until, error, kind)
    _carry_out(_DISCARD, gate, event_id, dead, selection, dry_run)


@dataclass(frozen=True, slots=True)
class _Action:
    """What is done to one event, or to the dead letters of a selection, and what is said of it."""

    one: Callable[[EventControl, str], Awaitable[bool]]
    many: Callable[[EventControl, EventSelection], Awaitable[int]]
    done: str
    missing: str


_RETRY: Final = _Action(
    EventControl.retry,
    EventControl.retry_all,
    done="{} event(s) will be tried again.",
    missing="There is no dead, done or discarded event {!r}.",
)
_DISCARD: Final = _Action(
    EventControl.discard,
    EventControl.discard_all,
    done="{} event(s) discarded.",
    missing="There is no dead or waiting event {!r} that is not being worked on.",
)


def _carry_out(
    action: _Action,
    gate: str,
    event_id: str | None,
    dead: bool,
    selection: EventSelection,
    dry_run: bool,
) -> None:
    """Do it to one event, or to dead letters, having said how many they are.

    Raises:
        InvalidInputError: the options do not go together.
        NotFoundError: there is no such event.
    """
    _check(event_id, dead, selection, dry_run)

    async def run(host: Gatekeeper) -> int | None:
        if event_id is not None:
            return int(await action.one(host.events, event_id))
        count = await host.events.count(selection)
        typer.echo(f"{count} dead letter(s) match.")
        return None if dry_run or not count else await action.many(host.events, selection)

    count = on_gate(gate, run)
    if event_id is not None and not count:
        raise NotFoundError(action.missing.format(event_id))
    if count is not None:
        typer.echo(action.done.format(count))


def _selection(
    type_: str | None,
    object_: str | None,
    since: datetime | None,
    until: datetime | None,
    error: str | None,
    kind: ErrorKind | None,
    *,
    status: EventStatus = EventStatus.DEAD,
) -> EventSelection:
    return EventSelection(
        status=status,
        type=type_,
        object_id=object_,
        since=_utc(since),
        until=_utc(until),
        error=error,
        kind=kind,
    )


def _utc(given: datetime | None) -> datetime | None:
    return given if given is None or given.tzinfo is not None else given.replace(tzinfo=UTC)


def _check(event_id: str | None, dead: bool, selection: EventSelection, dry_run: bool) -> None:
    """Refuse what could mean more than was meant: a filter by itself is no bulk action."""
    if (event_id is None) is not dead:
        raise InvalidInputError("Give either --dead or the id of one event.")
    if event_id is not None and (dry_run or selection != EventSelection(status=EventStatus.DEAD)):
        raise InvalidInputError("The options that choose among dead letters go with --dead.")


def _shown(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def _described(details: EventDetails) -> Sequence[tuple[str, str]]:
    event = details.event
    about = "nothing" if event.object_type is None else event.object_type
    lines = [
        ("event", event.event_id),
        ("type", event.type),
        ("about", f"{about} {event.object_id or ''}".rstrip()),
        ("account", event.account or "our own"),
        ("mode", "live" if event.livemode else "test"),
        ("api version", event.api_version or "none: a thin event"),
        ("created", _shown(event.created_at)),
        ("received", _shown(event.received_at)),
        ("status", event.status),
        ("attempts", str(event.attempts)),
    ]
    if event.status is EventStatus.PENDING:
        lines.append(("due", _shown(event.due_at)))
    if event.leased_until is not None:
        lines.append(("leased until", _shown(event.leased_until)))
    if event.last_error is not None:
        lines.append(("error", f"{event.error_kind or 'unknown'}: {event.last_error}"))
    lines += [("done", f"{name}, {_shown(at)}") for name, at in details.completions.items()]
    lines += [("to do", name) for name in details.outstanding]
    size = "purged" if event.payload is None else f"{len(event.payload)} bytes"
    return [*lines, ("payload", size)]


def _pretty(payload: bytes | None) -> str:
    if payload is None:
        return "The body has been purged."
    return json.dumps(json.loads(payload), indent=2)
