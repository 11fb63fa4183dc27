"""The middleware: opens a request's state and settles what is held for it. Bare ASGI.

It costs a request without guards one context variable and two closures. Settlement runs in tasks
of the gate, never in the request's cancel scope: a disconnect must not lose it.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gatekeeper.asgi.problem import problem_response
from gatekeeper.errors import GatekeeperError
from gatekeeper.gate import Gatekeeper
from gatekeeper.guards.request import RequestState

logger = logging.getLogger("gatekeeper")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

SUCCESS_BELOW = 400
"""A response with a lower status has done what was paid for."""

_LAST_MESSAGES = ("http.response.body", "http.response.pathsend")

WEBSOCKET_DENIED = 1008
"""The close code of a refused connection: policy violation (RFC 6455, 7.4.1)."""


class GatekeeperMiddleware:
    """Wrap an ASGI app so that guards, `current()` and `reserve()` work inside it."""

    def __init__(self, app: App, gate: Gatekeeper) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchange: _Exchange = _HttpExchange(self.gate, scope, receive, send)
        elif scope["type"] == "websocket":
            exchange = _WebsocketExchange(self.gate, scope, receive, send)
        else:
            await self.app(scope, receive, send)
            return
        await exchange.run(self.app)


class _Exchange(ABC):
    """One request or connection, and how far its answer has come.

    `succeeded` turns true once the answer has been given whole and well: only then is a hold on
    which nothing was recorded captured.
    """

    def __init__(
        self, gate: Gatekeeper, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        self.state = RequestState(gate, scope)
        self.started = False
        self.succeeded = False
        self._receive = receive
        self._send = send

    async def run(self, app: App) -> None:
        unbind = self.state.bind()
        try:
            await app(self.state.scope, self.receive, self.send)
        except BaseException as error:
            if self.started or not isinstance(error, GatekeeperError):
                self.state.abandon(failed=True)  # not awaited: this request may be cancelled
                raise
            await self.settle()
            await self.refuse(error)
        else:
            await self.settle()
        finally:
            unbind()

    @abstractmethod
    async def receive(self) -> Message: ...

    @abstractmethod
    async def send(self, message: Message) -> None: ...

    @abstractmethod
    async def refuse(self, error: GatekeeperError) -> None: ...

    async def settle(self) -> None:
        """Settle all that is held. What can't be settled stays held until it expires."""
        waiting = self.state.abandon(failed=not self.succeeded)
        if waiting is None:
            return
        try:
            await waiting()
        except GatekeeperError:
            logger.warning("a hold of %s was left to expire", self.state.route)


class _HttpExchange(_Exchange):
    _status = 500

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self.started:
            await self.settle()
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            # Before it is sent: whoever sees the answer sees the balance that goes with it, and
            # what can't be captured is not given.
            await self.state.response_starts(succeeded=self._status < SUCCESS_BELOW)
            self.started = True
        elif kind in _LAST_MESSAGES and not message.get("more_body", False):
            self.succeeded = self._status < SUCCESS_BELOW
            await self.settle()
        try:
            await self._send(message)
        except OSError:  # how a server of ASGI 2.4 reports that the client is gone
            await self.settle()
            raise

    async def refuse(self, error: GatekeeperError) -> None:
        url = self.state.gate.upgrade_url
        status, headers, body = problem_response(error, upgrade_url=url)
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


class _WebsocketExchange(_Exchange):
    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            await self.settle()
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            await self.state.response_starts(succeeded=True)
            self.started = True
        elif kind == "websocket.close":
            self.succeeded = self.started
            await self.settle()
        await self._send(message)

    async def refuse(self, error: GatekeeperError) -> None:
        """Deny the handshake: with the problem where the server can, else by closing (a 403)."""
        if "websocket.http.response" not in self.state.scope.get("extensions", {}):
            await self._send({"type": "websocket.close", "code": WEBSOCKET_DENIED})
            return
        url = self.state.gate.upgrade_url
        status, headers, body = problem_response(error, upgrade_url=url)
        start = {"type": "websocket.http.response.start", "status": status, "headers": headers}
        await self._send(start)
        await self._send({"type": "websocket.http.response.body", "body": body})
