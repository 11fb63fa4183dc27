"""`gatekeeper reconcile`: find where we differ from Stripe, and repair it."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.cli.watching import watching
from gatekeeper.errors import InvalidInputError
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.reconciliation import Report, RunOptions

DRIFT_STATUS = 3
"""The exit status that tells of drift: found by a dry run, or left after a repair."""


def reconcile(
    gate: GateArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the differences and change nothing.")
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(help="Replay the events since then (UTC); by default since the last run."),
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="Only replay events.")] = False,
    objects: Annotated[bool, typer.Option("--objects", help="Only compare objects.")] = False,
    copies: Annotated[
        bool,
        typer.Option(
            "--copies", help="Compare the copies of all objects too, or of those made --since."
        ),
    ] = False,
    allow_revocations: Annotated[
        bool,
        typer.Option("--allow-revocations", help="Go on although many subscriptions would end."),
    ] = False,
) -> None:
    """Replay the webhook events that never came, then compare all subscriptions, recent invoices,
    refunds and disputes, and open checkouts with Stripe's, and repair what differs.

    With --copies also the copies of all other objects.

    The exit status is 3 if something differs still: in a dry run, or where a repair failed.
    """
    if events and objects:
        raise InvalidInputError("Give --events or --objects, or neither for both.")
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    options = RunOptions(
        dry_run=dry_run,
        events=not objects,
        objects=not events,
        copies=copies,
        since=since,
        allow_revocations=allow_revocations,
    )
    report = on_gate(gate, lambda host: _run(host, options))
    _show(report)
    if not report.is_clean:
        raise typer.Exit(DRIFT_STATUS)


async def _run(host: Gatekeeper, options: RunOptions) -> Report:
    with watching(
        "events", "subscriptions", "invoices", "refunds and disputes", "checkouts", "copies"
    ) as watch:
        return await host.reconciler.run(options, watch)


def _show(report: Report) -> None:
    for one in report.drift:
        typer.echo(str(one))
    for count in report.copies:
        if count.missing or count.differing:
            typer.echo(str(count))
    for object_id in report.unrepaired:
        typer.echo(f"{object_id}: not repaired; the log says why.")
    missed = "to be replayed" if report.dry_run else "replayed"
    typer.echo(
        f"{report.events} event(s) listed, {report.missed} {missed}; {report.objects} object(s) "
        f"compared, {len(report.drift)} difference(s), "
        + ("nothing was changed." if report.dry_run else f"{len(report.unrepaired)} left.")
    )
