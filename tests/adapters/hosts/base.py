"""What every host app of the suite has in common.

The routes, whatever the framework:

- `GET /free`: no guard
- `GET /pro`, `GET /downloads`: behind a plan, behind a feature
- `POST /image`, `POST /image-sync`: cost 4 credits; answered as the header `x-outcome` says
- `POST /exports?n=`: costs as many exports as the query says
- `POST /chat?chunks=&pause=`: holds a million tokens (1,000 credits) and streams, 1,000 tokens
  a chunk
- `POST /summary`: the same hold, with nothing recorded and no stream
- `POST /notify`: as `/summary`, and looks at the account in a background task
- `WS /echo`: behind the plan `pro`; `WS /talk`: holds tokens and records 1,000 for each message
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from gatekeeper import Gatekeeper, Reservation
from gatekeeper.asgi import App

CUSTOMER_HEADER = "x-customer"
OUTCOME_HEADER = "x-outcome"
CHAT_TOKENS = 1_000_000
CHUNK_TOKENS = 1_000
CHUNK = b"words "

STATUSES = {"ok": 200, "refused": 400, "broken": 500}
"""The status of an answer for each outcome; `raise` raises."""


class HandlerError(Exception):
    """What a handler raises when it is told to."""


@dataclass
class Seen:
    """What happened inside a host app."""

    ran: list[str] = field(default_factory=list)
    recorded: int = 0
    held_in_background: int | None = None
    background_done: asyncio.Event = field(default_factory=asyncio.Event)

    def handle(self, name: str, outcome: str | None) -> int:
        """Note that a handler runs; returns the status that it should answer with."""
        self.ran.append(name)
        if outcome == "raise":
            raise HandlerError
        return STATUSES[outcome or "ok"]

    async def stream(self, hold: Reservation, chunks: int, pause: float) -> AsyncIterator[bytes]:
        """Send chunks, recording each before it is sent."""
        for _ in range(chunks):
            hold.record(CHUNK_TOKENS)
            self.recorded += CHUNK_TOKENS
            yield CHUNK
            await asyncio.sleep(pause)

    async def look(self, gate: Gatekeeper, customer: str) -> None:
        """The background task."""
        self.held_in_background = (await gate.balance(customer, "credits")).held
        self.background_done.set()


@dataclass(frozen=True)
class Host:
    """A host app under a gate."""

    app: App
    gate: Gatekeeper
    seen: Seen
    has_websockets: bool = True
    has_background: bool = True


Build = Callable[[Gatekeeper], Host]


def by_header(gate: Gatekeeper) -> None:
    """The authentication of these hosts: they believe a header."""

    @gate.identify
    async def who(connection: HTTPConnection) -> str | None:
        return connection.headers.get(CUSTOMER_HEADER)


def exports_of(connection: HTTPConnection) -> int:
    """What `/exports` costs."""
    return int(connection.query_params["n"])
