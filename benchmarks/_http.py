"""A client for HTTP that costs as little as it can, so that the server is what is measured.

One connection to a client, kept alive; requests are bytes made beforehand; of an answer the status
and its length are read, and no more (RFC 9112).
"""

import asyncio
from collections.abc import Mapping
from typing import Final

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class RefusedError(AssertionError):
    """A request that must succeed did not."""


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answered: asyncio.Future[int] | None = None

    @classmethod
    async def opened(cls, port: int) -> "Connection":
        """Connected to a port of the loopback interface."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", port)
        return connection

    async def ask(self, request: bytes) -> None:
        """Send a request; its answer has come, with status 200.

        Raises:
            RefusedError: it has another.
        """
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status = await self._answered
        if status != 200:
            raise RefusedError(f"a request was answered with {status}")

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()

    # -- what asyncio calls -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END)
        if not end:
            return
        at = head.lower().index(_LENGTH) + len(_LENGTH)
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._received = body[length:]
        self._settle(int(head.split(b" ", 2)[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or RefusedError("the server has hung up"))

    def _settle(self, status: int) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(status)


def request(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/1.1", "host: app.test"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines.append("content-length: 0")
    return "\r\n".join([*lines, "", ""]).encode()
