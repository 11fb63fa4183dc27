"""`gatekeeper worker`: the background of a gate, in a process of its own or from cron."""

import logging
import signal
from typing import Annotated

import anyio
import typer

from gatekeeper.cli.loading import GateArgument, load_gate
from gatekeeper.gate import Gatekeeper
from gatekeeper.telemetry.logs import JsonFormatter


def work(
    gate: GateArgument,
    once: Annotated[
        bool, typer.Option("--once", help="Do what is due now, then end; for cron.")
    ] = False,
    json_logs: Annotated[
        bool, typer.Option("--json-logs", help="Log one JSON object a line, from INFO on.")
    ] = False,
) -> None:
    """Dispatch webhook events, expire holds and deliver messages, for hosts without a lifespan.

    SIGTERM and Ctrl-C end it once what is at hand is done; what is not is taken up by the next one.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if json_logs:
        logging.getLogger("gatekeeper").setLevel(logging.INFO)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
    anyio.run(_once if once else _until_stopped, load_gate(gate))


async def _once(gate: Gatekeeper) -> None:
    done = await gate.work_once()
    typer.echo(
        f"{done.events} event(s) dispatched, "
        f"{done.holds} hold(s) expired, "
        f"{done.messages} message(s) delivered."
    )


async def _until_stopped(gate: Gatekeeper) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with gate:
            gate.start_work()
            typer.echo("Working. Stop with Ctrl-C.")
            async for received in signals:
                typer.echo(f"{received.name}: stopping.")
                break
    typer.echo("Stopped.")
