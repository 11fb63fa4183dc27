"""`gatekeeper backfill`: take over the customers of an existing Stripe account."""

import csv
from pathlib import Path
from typing import Annotated

import typer

from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.cli.watching import watching
from gatekeeper.errors import InvalidInputError
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.backfill import BackfillReport, by_list, by_metadata

CONFLICT_STATUS = 3
"""The exit status that tells of customers who were left alone, or not taken over as a whole."""


def take_over(
    gate: GateArgument,
    metadata_key: Annotated[
        str | None,
        typer.Option("--metadata-key", help="The key of Stripe's metadata that holds your id."),
    ] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="A CSV file of lines STRIPE_ID,YOUR_ID.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be mapped and change nothing.")
    ] = False,
    tell: Annotated[
        bool, typer.Option("--tell", help="Tell your receivers of each subscription, as of news.")
    ] = False,
    customers_per_second: Annotated[float, typer.Option(min=0.01, max=50)] = 5.0,
) -> None:
    """Map Stripe's customers to your ids, and project what they have bought.

    The exit status is 3 if some were left alone because their mapping is not certain, or if
    something of theirs could not be projected.
    """
    if (metadata_key is None) is (map_file is None):
        raise InvalidInputError("Give either --metadata-key or --map.")
    who_is = by_list(_read(map_file)) if map_file else by_metadata(metadata_key or "")

    async def run(host: Gatekeeper) -> BackfillReport:
        with watching("customers", "taken over") as watch:
            return await host.backfill.run(
                who_is,
                dry_run=dry_run,
                tell=tell,
                customers_per_second=customers_per_second,
                watch=watch,
            )

    report = on_gate(gate, run)
    for told in (*report.conflicts, *report.failed):
        typer.echo(told)
    typer.echo(
        f"{report.links} customer(s) {'to be mapped' if dry_run else 'mapped'} "
        f"({report.skipped} by an earlier run), {report.nobodys} nobody's, "
        f"{len(report.conflicts)} left alone; {report.subscriptions} subscription(s) and "
        f"{report.invoices} paid invoice(s) projected."
    )
    if report.conflicts or report.failed:
        raise typer.Exit(CONFLICT_STATUS)


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeError) as error:
        raise InvalidInputError(f"{path} can't be read as UTF-8 text.") from error
    if any(len(row) != 2 for row in rows):
        raise InvalidInputError(f"{path}: every line must be STRIPE_ID,YOUR_ID.")
    found = {theirs.strip(): ours.strip() for theirs, ours in rows}
    if len(found) != len(rows):
        raise InvalidInputError(f"{path}: a Stripe customer stands in it twice.")
    return found
