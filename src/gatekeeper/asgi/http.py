"""HTTP requests: when the holds of a request are settled, by what the app sends."""

from collections.abc import Awaitable
from typing import Final

from gatekeeper.asgi.exchange import Exchange
from gatekeeper.asgi.problem import problem_response
from gatekeeper.asgi.types import Message
from gatekeeper.errors import GatekeeperError

SUCCESS_BELOW: Final = 400
"""A response with a lower status has done what was paid for."""

_BODIES: Final = frozenset(
    {"http.response.body", "http.response.pathsend", "http.response.zerocopysend"}
)
"""What can end a response (https://asgi.readthedocs.io/en/latest/extensions.html)."""


class HttpExchange(Exchange):
    """One HTTP request.

    Fixed costs are settled when the response starts, before that is sent: whoever sees the answer
    sees the balance that goes with it. Holds of `reserve` are settled at the last body message,
    before it is sent, or at the disconnect.
    """

    _status = 500

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
            if self.started:  # else somebody looks ahead, and the app may not know yet
                await self.conclude()
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if self.holds or self.refusal is not None:
            return self._send_settling(message)
        # No coroutine of ours for a request that holds nothing: this is the path of them all.
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            self.started = True
        elif kind in _BODIES and not message.get("more_body"):
            self.succeeded = self._status < SUCCESS_BELOW
        return self._send(message)

    async def _send_settling(self, message: Message) -> None:
        if self.refusal is not None:
            return
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            if self._status < SUCCESS_BELOW:
                await self.charge()
            else:
                await self.settle_fixed(succeeded=False)
            self.started = True
        elif kind in _BODIES and not message.get("more_body", False):
            self.succeeded = self._status < SUCCESS_BELOW
            await self.conclude()
        try:
            await self._send(message)
        except OSError:  # how a server of ASGI 2.4 reports that the client is gone
            self.gone = True
            await self.conclude()
            raise

    async def answer(self, error: GatekeeperError) -> None:
        if not self.started:
            await self.refuse(error)
        elif error is not self.refusal and not self.gone:
            raise error

    async def refuse(self, error: GatekeeperError) -> None:
        url = self.gate.upgrade_url
        status, headers, body = problem_response(error, upgrade_url=url, scope=self.scope)
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
