"""Starting the app: on the Stripe simulator, or on Stripe itself where STRIPE_SECRET_KEY is set."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from app import create_app
from billing import catalog

from gatekeeper import Gatekeeper, Settings
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.stripe import ServerThread, Simulator

WEBHOOK_PATH = "/billing/webhooks"
WEBHOOK_SECRET = "whsec_" + "demo" * 8
DELIVERY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Running:
    """The demo while it runs. `simulator` is None on Stripe itself."""

    url: str
    gate: Gatekeeper
    simulator: Simulator | None


@contextlib.asynccontextmanager
async def running(*, port: int = 0, deliver: bool = True) -> AsyncIterator[Running]:
    """Serve the app on a loopback port, with its data in a temporary folder."""
    listener = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database_url = f"sqlite:///{folder / 'demo.db'}"
        simulator: Simulator | None = None
        if os.environ.get("STRIPE_SECRET_KEY"):
            settings = Settings.load(
                database_url=database_url,
                schema_auto_upgrade=True,
                upgrade_url="/",
                required=["stripe_webhook_secret"],
            )
            gate = Gatekeeper(catalog, settings)
        else:
            simulator = stack.enter_context(ServerThread()).mount(Simulator())
            simulator.webhook_endpoint(url + WEBHOOK_PATH, secret=WEBHOOK_SECRET)
            gate = simulated_gate(database_url, simulator)
        async with gate.stripe as gateway:
            await apply_setup(await plan_setup(catalog, gateway, None), gateway)
        app = create_app(gate, simulator)
        await stack.enter_async_context(serving(app, listener))
        if simulator is not None and deliver:
            task = asyncio.create_task(delivering(simulator))
            stack.callback(task.cancel)
        yield Running(url, gate, simulator)


def simulated_gate(database_url: str, simulator: Simulator) -> Gatekeeper:
    """The gate against the simulator, living in the simulator's time."""
    settings = Settings.load(
        database_url=database_url,
        schema_auto_upgrade=True,
        upgrade_url="/",
        stripe_secret_key=simulator.settings.api_key,
        stripe_webhook_secret=WEBHOOK_SECRET,
        stripe_api_base=simulator.url,
    )
    return Gatekeeper(catalog, settings, clock=lambda: simulator.now)


@contextlib.asynccontextmanager
async def serving(app: object, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI app with uvicorn until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))  # type: ignore[arg-type]  # uvicorn types ASGI by asgiref
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            await task
            raise RuntimeError("the demo's server did not start")
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def delivering(simulator: Simulator) -> None:
    """Deliver the simulator's webhooks as they come, for ever."""
    while True:
        await simulator.deliver_pending()
        await asyncio.sleep(DELIVERY_SECONDS)
