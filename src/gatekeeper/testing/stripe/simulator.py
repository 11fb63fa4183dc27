"""A simulated Stripe account, as tests and demos hold it in their hands."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
from starlette.types import ASGIApp

from gatekeeper.testing.stripe.actions import Actions
from gatekeeper.testing.stripe.api.account import new_destination, new_endpoint
from gatekeeper.testing.stripe.app import build_api, build_app, wire
from gatekeeper.testing.stripe.control import control_routes
from gatekeeper.testing.stripe.core.errors import missing
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.delivery import Attempt, Delivery
from gatekeeper.testing.stripe.endpoint import Endpoint, Exchange
from gatekeeper.testing.stripe.faults import (
    Fault,
    FaultKind,
    Faults,
    WebhookFault,
    WebhookFaultKind,
)
from gatekeeper.testing.stripe.settings import Settings
from gatekeeper.testing.stripe.state import State

if TYPE_CHECKING:
    import stripe
    from stripe._base_address import BaseAddresses  # stripe names it nowhere in public


class Simulator(Actions):
    """One account: its app, its clock, its webhooks, and shortcuts for what customers do.

    `app` is the ASGI app. `url` is where it is served: `server.ServerThread` or `run` set it.
    """

    def __init__(self, settings: Settings | None = None, **changes: Any) -> None:
        settings = replace(settings or Settings(), **changes)
        self.settings = settings
        self.state = State(settings)
        self.endpoint = Endpoint(self.state, build_api())
        wire(self.state)
        self.app = build_app(self.state, self.endpoint, control_routes(self))
        self._url: str | None = settings.public_url

    # Where it is

    @property
    def url(self) -> str:
        """Where the app is served."""
        if self._url is None:
            raise RuntimeError("this simulator is not being served: start a ServerThread or run it")
        return self._url

    def served_at(self, url: str) -> None:
        """Note where the app is reached; hosted pages have their addresses there."""
        self._url = url.rstrip("/")
        self.state.base_url = self._url

    @property
    def base_addresses(self) -> "BaseAddresses":
        """What `stripe.StripeClient(base_addresses=...)` takes."""
        return {"api": self.url, "connect": self.url, "files": self.url, "meter_events": self.url}

    def client(self, **options: Any) -> "stripe.StripeClient":
        """A real Stripe client that talks to this simulator; `options` are its own.

        Its asynchronous methods leave a connection behind: see `async_client`.
        """
        import stripe  # here, because importing it takes up to half a second

        api_key = options.pop("api_key", self.settings.api_key)
        return stripe.StripeClient(api_key, base_addresses=self.base_addresses, **options)

    @asynccontextmanager
    async def async_client(self, **options: Any) -> AsyncIterator["stripe.StripeClient"]:
        """As `client`, for `..._async` methods; its connections are closed at the end."""
        import stripe  # as above

        # No certificates: the simulator speaks plain HTTP, and loading them takes 20 ms.
        http_client = stripe.HTTPXClient(verify_ssl_certs=False)
        close: Callable[[], Awaitable[None]] = http_client.close_async
        try:
            yield self.client(http_client=http_client, **options)
        finally:
            await close()

    # Time

    @property
    def now(self) -> datetime:
        """The simulated time."""
        return self.state.clock.utc()

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Move the clock, through every due moment in order. Webhooks are only queued."""
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self.advance_to(self.now + span)

    def advance_to(self, moment: datetime) -> datetime:
        """As `advance`, to an aware datetime that is not in the past."""
        self.state.advance_to(self._ahead(moment))
        return self.now

    async def play_to(self, moment: datetime) -> datetime:
        """Move the clock and deliver webhooks at every moment at which something happens."""
        target = self._ahead(moment)
        await self.deliver_pending()
        while (due := self._next_moment()) is not None and due <= target:
            self.state.advance_to(max(due, self.state.now()))
            await self.deliver_pending()
        self.state.advance_to(target)
        await self.deliver_pending()
        return self.now

    async def play(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """As `play_to`, by a span."""
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return await self.play_to(self.now + span)

    def _ahead(self, moment: datetime) -> int:
        """The second of an aware datetime that is not in the past (a ticking clock may have ticked
        since it was computed)."""
        if moment.tzinfo is None:
            raise ValueError("an aware datetime is needed")
        second = int(moment.timestamp())
        if second < self.state.now() - 1:
            raise ValueError(f"it is {self.now} already: the clock cannot go back to {moment}")
        return second

    def _next_moment(self) -> int | None:
        with self.state.lock:
            waiting = [d.due_at for d in self.undelivered() if d.due_at > self.state.now()]
            moments = [self.state.agenda.next_moment(), min(waiting, default=None)]
        return min((moment for moment in moments if moment is not None), default=None)

    # Webhooks and events

    def webhook_endpoint(
        self,
        url: str,
        events: Sequence[str] = ("*",),
        *,
        secret: str | None = None,
        app: ASGIApp | None = None,
        api_version: str | None = None,
        connect: bool = False,
    ) -> Obj:
        """Register an endpoint; its `secret` is in the answer.

        With `app` deliveries to the URL's host go into that ASGI app, in process. `api_version`
        (one of `versions.VERSIONS`) gives subscriptions and invoices that version's shapes;
        `connect` makes it an endpoint for the events of connected accounts.
        """
        self._mount(url, app)
        with self.state.lock:
            endpoint = new_endpoint(
                self.state,
                url=url,
                enabled_events=list(events),
                secret=secret,
                api_version=api_version,
                connect=connect,
            )
            return {**endpoint, "secret": self.state.store.hidden(endpoint)["secret"]}

    def event_destination(
        self,
        url: str,
        events: Sequence[str] = ("*",),
        *,
        context: str | None = None,
        app: ASGIApp | None = None,
    ) -> Obj:
        """Register a destination of thin notifications (`v1.customer.created`); its `secret` is in
        the answer. `context` stands in each of them."""
        self._mount(url, app)
        with self.state.lock:
            made = new_destination(
                self.state, url=url, enabled_events=list(events), context=context
            )
            return {**made, "secret": self.state.store.hidden(made)["secret"]}

    def _mount(self, url: str, app: ASGIApp | None) -> None:
        if app is None:
            return
        parts = httpx.URL(url)
        port = f":{parts.port}" if parts.port else ""
        prefix = f"{parts.scheme}://{parts.host}{port}"
        self.state.postman.transports[prefix] = httpx.ASGITransport(app)

    def events(self, *types: str) -> list[Obj]:
        """Every event so far (of these types), the oldest first."""
        with self.state.lock:
            return [e for e in self.state.events if not types or e["type"] in types]

    async def deliver_pending(self) -> int:
        """Deliver all that is due, in order, from this event loop; the number of attempts."""
        self.state.catch_up()
        return await self.state.postman.deliver_due()

    def drain(self) -> int:
        """`deliver_pending` for synchronous tests."""
        return anyio.run(self.deliver_pending)

    async def deliver(self, event_id: str) -> list[Attempt]:
        """Deliver one waiting event now, out of turn."""
        return await self.state.postman.deliver(event_id)

    def redeliver(self, event_id: str, times: int = 1) -> int:
        """Queue an event again, as Stripe does for `stripe events resend`."""
        event = next((e for e in self.state.events if e["id"] == event_id), None)
        if event is None:
            raise missing("event", event_id)
        return self.state.postman.redeliver(event, times)

    def undelivered(self) -> list[Delivery]:
        """What waits to be delivered, in order."""
        return self.state.postman.undelivered()

    @property
    def delivery_log(self) -> list[Attempt]:
        """Every attempt at delivery, the oldest first."""
        return list(self.state.postman.log)

    def hold(self) -> None:
        """Keep webhooks back until `release`."""
        self.state.postman.hold()

    def release(self) -> None:
        """Let webhooks leave again."""
        self.state.postman.release()

    def shuffle(self) -> None:
        """Put the waiting webhooks into a random order."""
        self.state.postman.shuffle()

    def drop(self, event_id: str) -> int:
        """Lose an event's waiting deliveries; the number lost."""
        return self.state.postman.drop(event_id)

    def delay(self, event_id: str, *, seconds: int) -> int:
        """Put off an event's waiting deliveries by simulated seconds; the number put off."""
        return self.state.postman.delay(event_id, seconds)

    # What goes wrong

    @property
    def faults(self) -> Faults:
        """The rules by which requests and deliveries go wrong."""
        return self.state.faults

    def misbehave(self, kind: FaultKind, **rule: Any) -> Fault:
        """Let requests go wrong; `rule` is a `Fault`'s other attributes. The rule, to look at."""
        fault = Fault(kind, **rule)
        self.faults.add(fault)
        return fault

    def misdeliver(self, kind: WebhookFaultKind, **rule: Any) -> WebhookFault:
        """Let webhooks go wrong; `rule` is a `WebhookFault`'s other attributes."""
        fault = WebhookFault(kind, **rule)
        self.faults.add(fault)
        return fault

    # Honesty

    def on_exchange(self, look: Callable[[Exchange], None]) -> None:
        """Let `look` see every answered request; what it raises fails the request."""
        self.endpoint.on_exchange.append(look)

    def on_event(self, look: Callable[[Obj], None]) -> None:
        """Let `look` see every event as it is made."""
        self.state.event_watchers.append(look)

    @property
    def violations(self) -> list[str]:
        """What the watchers found wrong."""
        return self.endpoint.violations
