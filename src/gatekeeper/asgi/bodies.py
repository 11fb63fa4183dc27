"""Reading a request's body within limits: of size, of time, and of what all requests may hold.

What is too large is refused without reading on, what comes too slowly is given up, and the bodies
that are at hand together are bounded too: a thousand clients that each send half a body must not
fill the memory.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.lowlevel import checkpoint
from starlette.requests import Request

from gatekeeper.errors import (
    BodyTimeoutError,
    OverloadedError,
    PayloadError,
    PayloadTooLargeError,
)

MAX_LENGTH_DIGITS: Final = 20

_MESSAGES_AT_A_TIME: Final = 1_000
"""How many messages of a body are read before others have a turn, and the clock its say: a server
that has them all at hand would let one client keep the event loop to itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What the bodies of one route may take.

    Attributes:
        timeout_seconds: for the whole body to come. (Stripe gives up on an answer after some 20
            seconds.)
        max_held_bytes: of all bodies together that are being read or worked on; who comes beyond
            that gets a 503.
    """

    timeout_seconds: float = 15.0
    max_held_bytes: int = 64 * 2**20


class Bodies:
    """Reads bodies, and knows how much is at hand."""

    def __init__(self, limits: BodyLimits | None = None) -> None:
        self.limits = limits or BodyLimits()
        self.held_bytes = 0

    @asynccontextmanager
    async def read(self, request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
        """The body of a request, counted as held until the block ends.

        Raises:
            PayloadTooLargeError: it is longer than `limit_bytes`, by its Content-Length or in fact.
            PayloadError: the Content-Length is no number, or the client went away in between.
            BodyTimeoutError: it did not come in time.
            OverloadedError: the bodies of others take all that there is.
        """
        _check_declared(request, limit_bytes)
        body = bytearray()
        try:
            with anyio.move_on_after(self.limits.timeout_seconds) as scope:
                await self._fill(body, request, limit_bytes)
            if scope.cancelled_caught:
                raise BodyTimeoutError(
                    f"The body did not come within {self.limits.timeout_seconds:g} seconds."
                )
        except BaseException:
            self.held_bytes -= len(body)
            raise
        whole = bytes(body)
        body.clear()  # or it would be there twice for as long as it is worked on
        try:
            yield whole
        finally:
            self.held_bytes -= len(whole)

    async def _fill(self, body: bytearray, request: Request, limit_bytes: int) -> None:
        # Not by `request.stream()`, which keeps empty messages to itself: they would never end.
        messages, more = 0, True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise PayloadError("The client went away before its body was complete.")
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > limit_bytes:
                raise _too_large(limit_bytes)
            if self.held_bytes + len(chunk) > self.limits.max_held_bytes:
                raise OverloadedError("More bodies come in than can be held at once.")
            self.held_bytes += len(chunk)
            body += chunk
            more = message.get("more_body", False)
            messages += 1
            if messages % _MESSAGES_AT_A_TIME == 0:
                await checkpoint()


def _check_declared(request: Request, limit_bytes: int) -> None:
    declared = request.headers.get("content-length")
    if declared is None:
        return
    if not (declared.isascii() and declared.isdigit() and len(declared) <= MAX_LENGTH_DIGITS):
        raise PayloadError("The Content-Length header is not a number.")
    if int(declared) > limit_bytes:
        raise _too_large(limit_bytes)


def _too_large(limit_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The body is larger than {limit_bytes} bytes.")
