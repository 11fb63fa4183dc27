"""Serving a simulator: in a thread for tests, or as a process for `gatekeeper stripe-sim`."""

import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from starlette.types import Receive, Scope, Send

from gatekeeper.testing.stripe.settings import DEFAULT_API_KEY, Settings
from gatekeeper.testing.stripe.simulator import Simulator

START_SECONDS = 10.0


def _uvicorn() -> Any:
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError(
            "serving the simulator needs uvicorn: pip install 'gatekeeper-entitlements[testing]'"
        ) from error
    return uvicorn


def listener_on(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A bound socket for a server of asyncio's; port 0 takes a free one.

    Its protocol is named, because asyncio turns Nagle's algorithm off for named TCP alone, and with
    it every answer waits 40 ms for the client's delayed acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


class ServerThread(AbstractContextManager["ServerThread"]):
    """One loopback address that serves whichever simulator is mounted on it.

    Starting a server takes longer than most tests, so a test session starts one and mounts a fresh
    simulator for every test.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        uvicorn = _uvicorn()
        self._socket = listener_on(host, port)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self._app: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            raise RuntimeError("no simulator is mounted")
        await self._app(scope, receive, send)

    def mount(self, simulator: Simulator) -> Simulator:
        """Serve this simulator from now on."""
        self._app = simulator.app
        simulator.served_at(self.url)
        return simulator

    def __enter__(self) -> "ServerThread":
        self._thread.start()
        limit = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > limit:
                raise RuntimeError("the simulator's server did not start")
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        self._socket.close()


def run(
    host: str = "127.0.0.1",
    port: int = 12111,
    *,
    api_key: str = DEFAULT_API_KEY,
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    events: tuple[str, ...] = ("*",),
    seed: int | None = None,
    log_level: str = "warning",
) -> None:
    """Serve a simulator until interrupted, with webhooks that leave by themselves.

    `webhook_url` registers an endpoint at once, with `webhook_secret` if it is given.
    """
    uvicorn = _uvicorn()
    simulator = Simulator(Settings(api_key=api_key, seed=seed, auto_deliver=True))
    simulator.served_at(f"http://{host}:{port}")
    if webhook_url is not None:
        simulator.webhook_endpoint(webhook_url, events, secret=webhook_secret)
    uvicorn.run(simulator.app, host=host, port=port, log_level=log_level)
