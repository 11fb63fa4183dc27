"""Stripe's side of the benchmarks of webhooks: signed events, and requests to an app with them.

The requests are made without a server and without a client library, so that what is measured is
what an app pays for an event, from its scope to its answer. The events are made and signed before
the clock starts: that is Stripe's work.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.applications import Starlette

import gatekeeper_starlette
from benchmarks._samples import Sample, sample_of
from benchmarks.signature import EVENT_ID, INVOICE_ID, make_event
from gatekeeper import Catalog, Gatekeeper, Plan, Settings
from gatekeeper.asgi import App
from gatekeeper.stripe.signature import sign

SECRET: Final = "whsec_" + "benchmark" * 4  # signs nothing but these events
BODY_BYTES: Final = 5 * 1024
"""About what an invoice or a subscription of one item weighs."""

_PATH: Final = "/billing/webhooks"
_EVENT_ID, _OBJECT_ID = EVENT_ID.encode(), INVOICE_ID.encode()


@dataclass(frozen=True, slots=True)
class Request:
    """One delivery: the body and the headers of it."""

    body: bytes
    headers: Sequence[tuple[bytes, bytes]]


class RefusedError(AssertionError):
    """A delivery was answered with something that it should not be answered with."""


def template(size_bytes: int = BODY_BYTES) -> bytes:
    """The body of an `invoice.paid`, whose ids are to be replaced."""
    body = make_event(size_bytes)
    assert _EVENT_ID in body
    assert _OBJECT_ID in body
    return body


def bodies(count: int, prefix: str, *, of: bytes) -> list[bytes]:
    """So many events, each about an invoice of its own."""
    return [
        of.replace(_EVENT_ID, f"evt_{prefix}_{number}".encode()).replace(
            _OBJECT_ID, f"in_{prefix}_{number}".encode()
        )
        for number in range(count)
    ]


def signed(body: bytes) -> Request:
    """A delivery as Stripe makes it (https://docs.stripe.com/webhooks#verify-manually)."""
    signature = sign(body, SECRET, datetime.now(UTC))
    return Request(
        body,
        (
            (b"host", b"app.example"),
            (b"user-agent", b"Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
            (b"accept", b"*/*; q=0.5, application/xml"),
            (b"cache-control", b"no-cache"),
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"stripe-signature", signature.encode()),
        ),
    )


def with_duplicates(made: Sequence[Request], every: int) -> list[Request]:
    """Each request in order, after which every so manieth is one that was sent shortly before."""
    sent: list[Request] = []
    for request in made:
        sent.append(request)
        if (len(sent) + 1) % every == 0:
            sent.append(sent[-min(len(sent), 8)])
    return sent


def webhook_gate(url: str, **settings: Any) -> Gatekeeper:
    """A closed gate that takes webhooks, with the default settings but for those given."""
    loaded = Settings.load(database_url=url, stripe_webhook_secret=SECRET, **settings)
    return Gatekeeper(Catalog(plans=[Plan("free", default=True)]), loaded)


def app_of(gate: Gatekeeper) -> App:
    """An app as a host has it: Starlette, with Gatekeeper installed."""
    app = Starlette()
    gatekeeper_starlette.install(app, gate)
    return app


async def post(app: App, request: Request, *, also: Sequence[int] = ()) -> int:
    """Deliver an event to the app; its status, which must be 200 or one of `also`."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": _PATH,
        "raw_path": _PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": request.headers,
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8_000),
        "state": {},
    }
    status = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(scope, receive, send)
    if status != 200 and status not in also:
        raise RefusedError(f"a delivery was answered with {status}")
    return status


async def deliver(
    requests: Iterable[Request], clients: int, one: Callable[[Request], Awaitable[object]]
) -> Sample:
    """Have so many clients deliver all of them, each its next one when its last was answered."""
    waiting = iter(requests)
    latencies: list[float] = []

    async def client() -> None:
        for request in waiting:
            begun = time.perf_counter()
            await one(request)
            latencies.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - begun
    return sample_of(latencies, seconds, done=len(latencies))
