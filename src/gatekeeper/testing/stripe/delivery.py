"""Webhooks on their way: signed, sent, tried again, and every attempt written down.

A test decides over order and fate with `hold`, `release`, `deliver`, `redeliver`, `drop` and
`shuffle`, or by rules (`faults`); without them events leave in their natural order.
"""

import bisect
import json
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpx

from gatekeeper.testing.stripe.core.clock import SimClock
from gatekeeper.testing.stripe.core.ids import IdFactory
from gatekeeper.testing.stripe.core.signature import sign
from gatekeeper.testing.stripe.core.store import Obj, Store
from gatekeeper.testing.stripe.faults import Faults
from gatekeeper.testing.stripe.settings import Settings
from gatekeeper.testing.stripe.thin import KIND, destinations_for, notification
from gatekeeper.testing.stripe.versions import event_as_of

LOG_LIMIT = 10_000


@dataclass(slots=True)
class Delivery:
    """One event on its way to one endpoint. `due_at` is a simulated second."""

    event: Obj
    endpoint_id: str
    due_at: int
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A line of the delivery log. `at` is the simulated second; no status means no answer."""

    event_id: str
    event_type: str
    endpoint_id: str
    url: str
    number: int
    at: int
    status: int | None
    error: str | None = None

    @property
    def succeeded(self) -> bool:
        """Stripe counts any 2xx as delivered, and nothing else."""
        return self.status is not None and 200 <= self.status < 300


@cache
def _authorities() -> ssl.SSLContext:
    """The certificates that httpx trusts, read once: that takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class Postman:
    """Delivers what the simulator posts. One instance for one simulator.

    The queue is shared between threads and guarded by the simulator's lock; sending happens
    outside of it.
    """

    def __init__(
        self,
        settings: Settings,
        clock: SimClock,
        store: Store,
        ids: IdFactory,
        lock: threading.RLock,
        faults: Faults,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._ids = ids
        self._lock = lock
        self._faults = faults
        self._queue: list[Delivery] = []  # what waits, by due_at and then by entry
        self._sending: list[Delivery] = []
        self._held = False
        self.transports: dict[str, httpx.AsyncBaseTransport] = {}
        self.log: deque[Attempt] = deque(maxlen=LOG_LIMIT)

    # What is to be delivered

    def endpoints_for(self, event_type: str, *, connected: bool = False) -> list[str]:
        """The ids of the enabled endpoints that want this type, the oldest first.

        Events of connected accounts go to the endpoints made with `connect`, and to no others.
        """
        snapshots = [
            endpoint["id"]
            for endpoint in reversed(self._store.where("webhook_endpoint", status="enabled"))
            if {"*", event_type} & set(endpoint["enabled_events"])
            and self._store.hidden(endpoint).get("connect", False) is connected
        ]
        return snapshots + destinations_for(self._store, event_type)

    def destinations_for(self, event_type: str) -> list[str]:
        """The ids of the destinations of thin notifications that want this type."""
        return destinations_for(self._store, event_type)

    def post(self, event: Obj, endpoint_ids: list[str]) -> None:
        """Queue a new event for these endpoints, as the rules for faults have it."""
        now = self._clock.now()
        for endpoint_id in endpoint_ids:
            delivery = Delivery(event, endpoint_id, now)
            fault = self._faults.of_delivery(event["type"], endpoint_id)
            if fault is None:
                self._enqueue(delivery)
            elif fault.kind == "delayed":
                delivery.due_at += fault.seconds
                self._enqueue(delivery)
            elif fault.kind == "duplicated":
                for _ in range(1 + fault.copies):
                    self._enqueue(Delivery(event, endpoint_id, now))
            elif fault.kind == "reordered":
                self._enqueue_anywhere(delivery)

    def undelivered(self) -> list[Delivery]:
        """What waits, in the order in which it would leave."""
        with self._lock:
            return [*self._sending, *self._queue]

    def _enqueue(self, delivery: Delivery) -> None:
        bisect.insort_right(self._queue, delivery, key=lambda waiting: waiting.due_at)

    def _enqueue_anywhere(self, delivery: Delivery) -> None:
        due = sum(waiting.due_at <= delivery.due_at for waiting in self._queue)
        place = self._ids.shuffled(list(range(due + 1)))[0]
        if place < due:  # it takes its neighbour's time, so that the queue stays in order
            delivery.due_at = self._queue[place].due_at
        self._queue.insert(place, delivery)

    # What a test may do to it

    def hold(self) -> None:
        """Let nothing leave until `release`."""
        self._held = True

    def release(self) -> None:
        """End a `hold`."""
        self._held = False

    def shuffle(self) -> None:
        """Put the waiting deliveries into a random order (the seed's own)."""
        with self._lock:
            self._queue = self._ids.shuffled(self._queue)
            now = self._clock.now()
            for delivery in self._queue:
                delivery.due_at = min(delivery.due_at, now)

    def drop(self, event_id: str) -> int:
        """Lose an event's waiting deliveries; the number lost."""
        with self._lock:
            before = len(self._queue)
            self._queue = [d for d in self._queue if d.event["id"] != event_id]
            return before - len(self._queue)

    def delay(self, event_id: str, seconds: int) -> int:
        """Put off an event's waiting deliveries by simulated seconds; the number put off."""
        with self._lock:
            late = [d for d in self._queue if d.event["id"] == event_id]
            self._queue = [d for d in self._queue if d.event["id"] != event_id]
            for delivery in late:
                delivery.due_at = max(delivery.due_at, self._clock.now()) + seconds
                self._enqueue(delivery)
            return len(late)

    def redeliver(self, event: Obj, times: int = 1) -> int:
        """Queue an event again, to every endpoint that wants it; the number of deliveries."""
        with self._lock:
            targets = self.endpoints_for(event["type"], connected="account" in event) * times
            now = self._clock.now()
            for endpoint_id in targets:
                self._enqueue(Delivery(event, endpoint_id, now))
            return len(targets)

    # Sending

    async def deliver_due(self) -> int:
        """Send everything that is due and not held, in order; the number of attempts made."""
        count = 0
        async with self._client() as client:
            while (delivery := self._claim()) is not None:
                await self._attempt(client, delivery)
                count += 1
        return count

    async def deliver(self, event_id: str) -> list[Attempt]:
        """Send one event now, out of turn and whether or not deliveries are held."""
        made = []
        async with self._client() as client:
            while (delivery := self._claim(event_id)) is not None:
                made.append(await self._attempt(client, delivery))
        return made

    def _client(self) -> httpx.AsyncClient:
        mounts: Mapping[str, httpx.AsyncBaseTransport] = dict(self.transports)
        timeout = self._settings.webhook_timeout_seconds
        return httpx.AsyncClient(
            mounts=mounts, timeout=timeout, trust_env=False, verify=_authorities()
        )

    def _claim(self, event_id: str | None = None) -> Delivery | None:
        """The next delivery to send, marked so that nobody else sends it."""
        with self._lock:
            for place, delivery in enumerate(self._queue):
                if event_id is None and (self._held or delivery.due_at > self._clock.now()):
                    return None
                if event_id in (None, delivery.event["id"]):
                    self._sending.append(self._queue.pop(place))
                    return delivery
            return None

    async def _attempt(self, client: httpx.AsyncClient, delivery: Delivery) -> Attempt:
        endpoint = self._store.find("webhook_endpoint", delivery.endpoint_id) or self._store.find(
            KIND, delivery.endpoint_id
        )
        if endpoint is None or endpoint.get("deleted") or endpoint["status"] != "enabled":
            self._sending.remove(delivery)
            return self._note(delivery, "", None, "the endpoint is gone")
        secret = self._store.hidden(endpoint)["secret"]
        body = json.dumps(self._shown(delivery.event, endpoint), indent=2).encode()
        headers = {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "stripe-signature": sign(body, secret, int(self._settings.signing_clock())),
        }
        delivery.attempts += 1
        status, error = None, None
        try:
            response = await client.post(endpoint["url"], content=body, headers=headers)
            status = response.status_code
        except httpx.HTTPError as failure:
            error = f"{type(failure).__name__}: {failure}"
        except BaseException:
            # Cancelled, or an in-process app raised: the event was not answered, so it waits.
            with self._lock:
                self._sending.remove(delivery)
                self._queue.insert(0, delivery)
            raise
        attempt = self._note(delivery, endpoint["url"], status, error)
        self._conclude(delivery, attempt)
        return attempt

    def _shown(self, event: Obj, endpoint: Obj) -> Obj:
        """The event as this endpoint gets it: thin, or in the shapes of its API version."""
        if endpoint["object"] == KIND:
            return notification(event, event.get("account") or endpoint["context"])
        with self._lock:
            version = endpoint["api_version"] or event["api_version"]
            return event_as_of(event, version, self._store)

    def _note(self, delivery: Delivery, url: str, status: int | None, error: str | None) -> Attempt:
        event = delivery.event
        attempt = Attempt(
            event["id"],
            event["type"],
            delivery.endpoint_id,
            url,
            delivery.attempts,
            max(delivery.due_at, event["created"]),
            status,
            error,
        )
        self.log.append(attempt)
        return attempt

    def _conclude(self, delivery: Delivery, attempt: Attempt) -> None:
        waits = self._settings.webhook_retry_seconds
        with self._lock:
            self._sending.remove(delivery)
            if attempt.succeeded:
                event = delivery.event
                event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
            elif delivery.attempts <= len(waits):
                delivery.due_at = attempt.at + waits[delivery.attempts - 1]
                self._enqueue(delivery)
