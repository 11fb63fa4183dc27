"""`gatekeeper subscriptions`: what customers have subscribed to, and how that came about."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.services.history import HeldItem, HistoryEntry
from gatekeeper.services.upcoming import SoldItem, SubscriptionView

app = typer.Typer(help="Subscriptions.", no_args_is_help=True)

CustomerArgument = Annotated[str, typer.Argument(help="The host's customer id.")]


@app.callback()
def subscriptions() -> None:
    """Subscriptions."""


@app.command(name="list")
def list_(gate: GateArgument, customer: CustomerArgument) -> None:
    """List a customer's subscriptions, and what each is scheduled to become."""
    _list(on_gate(gate, lambda host: host.subscriptions(customer)))


@app.command()
def history(
    gate: GateArgument,
    customer: CustomerArgument,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many changes at most.")] = 100,
) -> None:
    """Show each change of a customer's subscriptions, the newest first: when, why, and what."""
    _tell(on_gate(gate, lambda host: host.subscription_history(customer, limit=limit)))


def _list(found: Sequence[SubscriptionView]) -> None:
    for one in found:
        until = "" if one.period_end is None else f", period until {_text(one.period_end)}"
        typer.echo(f"{one.id} {one.status}: {_text(one.items)}{until}")
        if one.cancel_at is not None and one.ended_at is None:
            typer.echo(f"  ends {_text(one.cancel_at)}")
        for later in one.upcoming:
            what = _text(later.items) if later.items else "ends"
            typer.echo(f"  from {_text(later.at)}: {what}")


def _tell(entries: Sequence[HistoryEntry]) -> None:
    for one in entries:
        cause = one.cause if one.event_id is None else f"{one.cause} {one.event_id}"
        typer.echo(f"{_text(one.at)} {one.subscription_id} #{one.sequence} by {cause}")
        for line in _changes(one):
            typer.echo(f"  {line}")


def _changes(entry: HistoryEntry) -> Iterator[str]:
    for name, (was, now) in entry.changed.items():
        if entry.before is not None:
            yield f"{name}: {_text(was)} -> {_text(now)}"
        elif now not in (None, False, ()):
            yield f"{name}: {_text(now)}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, tuple):
        return ", ".join(_item(one) for one in value) or "-"
    return str(value)


def _item(item: HeldItem | SoldItem) -> str:
    text = f"{item.quantity} x {item.plan or item.price_id}"
    if isinstance(item, HeldItem) and item.paid_until is not None:
        text += f" paid until {_text(item.paid_until)}"
    return text
