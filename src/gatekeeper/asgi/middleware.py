"""The middleware: opens a request's state, and settles what is held for it. Bare ASGI.

A request that holds nothing passes through with a context variable set and reset. Settlement runs
in tasks of the gate, never in the request's cancel scope: a disconnect must not lose it.
"""

from gatekeeper.asgi.exchange import Exchange
from gatekeeper.asgi.http import HttpExchange
from gatekeeper.asgi.types import App, Receive, Scope, Send
from gatekeeper.asgi.websocket import WebsocketExchange
from gatekeeper.gate import Gatekeeper

_EXCHANGES: dict[str, type[Exchange]] = {"http": HttpExchange, "websocket": WebsocketExchange}


class GatekeeperMiddleware:
    """Wrap an ASGI app so that guards, `current()` and `reserve()` work inside it."""

    def __init__(self, app: App, gate: Gatekeeper) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection; anything else (the lifespan) is passed on."""
        exchange = _EXCHANGES.get(scope["type"])
        if exchange is None:
            await self.app(scope, receive, send)
        else:
            await exchange(self.gate, scope, receive, send).run(self.app)
