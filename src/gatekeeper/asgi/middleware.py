"""The middleware: opens a request's state, and settles what is held for it. Bare ASGI.

A request that holds nothing passes through with a context variable set and reset. Settlement runs
in tasks of the gate, never in the request's cancel scope: a disconnect must not lose it.
"""

from gatekeeper.asgi.exchange import Exchange
from gatekeeper.asgi.http import HttpExchange
from gatekeeper.asgi.types import App, Receive, Scope, Send
from gatekeeper.asgi.websocket import WebsocketExchange
from gatekeeper.gate import Gatekeeper
from gatekeeper.guards.request import running

_EXCHANGES: dict[str, type[Exchange]] = {"http": HttpExchange, "websocket": WebsocketExchange}


class GatekeeperMiddleware:
    """Wrap an ASGI app so that guards, `current()` and `reserve()` work inside it."""

    def __init__(self, app: App, gate: Gatekeeper) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection; anything else (the lifespan) is passed on."""
        kind = _EXCHANGES.get(scope["type"])
        if kind is None:
            await self.app(scope, receive, send)
            return
        exchange = kind(self.gate, scope, receive, send)
        token = running.set(exchange)
        try:
            await self.app(scope, exchange.receive, exchange.send)
            if exchange.holds:
                await exchange.conclude()
        except Exception as error:  # noqa: BLE001 - raised on, unless it is ours to answer
            await exchange.failed(error)
        except BaseException:
            exchange.conclude_soon()  # not awaited: this request has been cancelled
            raise
        finally:
            exchange.ended = True
            running.reset(token)
