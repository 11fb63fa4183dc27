"""Websockets: refused before they are accepted, settled when they close."""

from collections.abc import Awaitable
from typing import Final

from gatekeeper.asgi.exchange import Exchange
from gatekeeper.asgi.problem import problem_response
from gatekeeper.asgi.types import Message
from gatekeeper.errors import GatekeeperError

DENIED: Final = 1008
"""The close code of a refused connection: policy violation (RFC 6455, 7.4.1)."""

TRY_AGAIN_LATER: Final = 1013
INTERNAL_ERROR: Final = 1011
"""Both of the IANA registry of close codes
(https://www.iana.org/assignments/websocket/websocket.xhtml)."""


class WebsocketExchange(Exchange):
    """One websocket connection.

    Fixed costs are captured when it is accepted, before that is sent; holds of `reserve` are
    settled when either side closes it. With nothing recorded they count as used if the app closed
    what it had accepted.
    """

    _closed = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.gone = True
            await self.conclude()
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "websocket.send" and self.refusal is None:
            return self._send(message)
        return self._send_settling(message)

    async def _send_settling(self, message: Message) -> None:
        if self.refusal is not None:
            return
        match message["type"]:
            case "websocket.accept":
                await self.charge()
                self.started = True
            case "websocket.close" if self.denial is not None and not self.started:
                # A framework has turned a guard's error into a close: say what it was.
                await self.conclude()
                await self.answer(self.denial)
                return
            case "websocket.close":
                self.succeeded = self.started and not self.gone
                self._closed = True
                await self.conclude()
            case "websocket.http.response.start":  # the app itself denies the handshake
                self._closed = True
                await self.conclude()
        await self._send(message)

    async def answer(self, error: GatekeeperError) -> None:
        """A problem before the handshake is accepted, a close code after it."""
        if self._closed or self.gone:
            return
        await self.refuse(error)

    async def refuse(self, error: GatekeeperError) -> None:
        """Deny the handshake with the problem where the server can, else by closing (a 403)."""
        self._closed = True
        extensions = self.scope.get("extensions") or {}
        if self.started or "websocket.http.response" not in extensions:
            close = {"type": "websocket.close", "code": _close_code(error), "reason": error.code}
            await self._send(close)
            return
        url = self.gate.upgrade_url
        status, headers, body = problem_response(error, upgrade_url=url, scope=self.scope)
        start = {"type": "websocket.http.response.start", "status": status, "headers": headers}
        await self._send(start)
        await self._send({"type": "websocket.http.response.body", "body": body})


def _close_code(error: GatekeeperError) -> int:
    if error.status == 503:
        return TRY_AGAIN_LATER
    return INTERNAL_ERROR if error.status >= 500 else DENIED
