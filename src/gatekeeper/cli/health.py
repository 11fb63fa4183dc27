"""`gatekeeper health`: how a gate is, for people and for scripts."""

from typing import Annotated

import msgspec
import typer

from gatekeeper.asgi.health_route import health_body
from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.services.health import HealthStatus

STATUSES = {HealthStatus.OK: 0, HealthStatus.FAILING: 1, HealthStatus.DEGRADED: 3}
"""The exit statuses."""


def health(
    gate: GateArgument,
    json: Annotated[bool, typer.Option("--json", help="Print application/health+json.")] = False,
) -> None:
    """Tell how a gate is. The exit status is 0 if all is well, 3 if something is degraded, and 1 if
    requests can't be served.

    The circuit to Stripe and the cache are those of this very process, which has just begun.
    """
    found = on_gate(gate, lambda host: host.health())
    if json:
        typer.echo(msgspec.json.encode(health_body(found)))
    else:
        for one in found.checks:
            typer.echo(f"{one.name}: {one.status}: {one.reason}")
        typer.echo(f"{found.status}")
    raise typer.Exit(STATUSES[found.status])
