"""Serving an example: on the simulator, or on Stripe where STRIPE_SECRET_KEY is set."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from examples.stage.app import App, Stage
from gatekeeper import Gatekeeper, Settings
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.stripe import ServerThread, Simulator, listener_on

WEBHOOK_PATH = "/billing/webhooks"
WEBHOOK_SECRET = "whsec_" + "demo" * 8
DELIVERY_SECONDS = 0.2
SHUTDOWN_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Running:
    """An example while it runs. `simulator` is None on Stripe itself."""

    url: str
    gate: Gatekeeper
    simulator: Simulator | None


@contextlib.asynccontextmanager
async def running(example: App, *, port: int = 0, deliver: bool = True) -> AsyncIterator[Running]:
    """Serve an example on a loopback port, with its data in a temporary folder.

    Args:
        port: 0 takes a free one.
        deliver: send the simulator's webhooks as they come; else somebody else has to.
    """
    listener = listener_on(port=port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        common = {
            "database_url": f"sqlite:///{folder / 'demo.db'}",
            "schema_auto_upgrade": True,
            "upgrade_url": "/",
            **example.settings,
        }
        simulator: Simulator | None = None
        if os.environ.get("STRIPE_SECRET_KEY"):
            settings = Settings.load(**common, required=["stripe_webhook_secret"])
            gate = Gatekeeper(example.catalog, settings)
        else:
            simulator = stack.enter_context(ServerThread()).mount(Simulator())
            register_webhooks(simulator, url + WEBHOOK_PATH, connect=example.connect)
            gate = simulated_gate(example, common, simulator)
        stage = Stage(simulator)
        async with gate.stripe as gateway:
            await apply_setup(await plan_setup(example.catalog, gateway, None), gateway)
        if example.prepare is not None:
            await example.prepare(gate, stage)
        app = example.create(gate, stage)
        await stack.enter_async_context(serving(app, listener))
        if simulator is not None and deliver:
            task = asyncio.create_task(delivering(simulator))
            stack.callback(task.cancel)
        yield Running(url, gate, simulator)


def register_webhooks(simulator: Simulator, url: str, *, connect: bool) -> None:
    """Have the simulator send its events to the app, and those of connected accounts."""
    simulator.webhook_endpoint(url, secret=WEBHOOK_SECRET)
    if connect:
        simulator.webhook_endpoint(url, secret=WEBHOOK_SECRET, connect=True)


def simulated_gate(example: App, common: dict[str, Any], simulator: Simulator) -> Gatekeeper:
    """The gate against the simulator, living in the simulator's time."""
    settings = Settings.load(
        **common,
        stripe_secret_key=simulator.settings.api_key,
        stripe_publishable_key=simulator.settings.publishable_key,
        stripe_webhook_secret=WEBHOOK_SECRET,
        stripe_api_base=simulator.url,
    )
    return Gatekeeper(example.catalog, settings, clock=lambda: simulator.now)


@contextlib.asynccontextmanager
async def serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI app with uvicorn until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_SECONDS)
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            await task
            raise RuntimeError("the app's server did not start")
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
