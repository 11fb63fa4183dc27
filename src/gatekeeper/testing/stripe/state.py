"""One simulated account: its objects, its clock, and the events that its changes cause."""

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gatekeeper.testing.stripe.core.clock import Agenda, SimClock
from gatekeeper.testing.stripe.core.events import new_event, previous_attributes
from gatekeeper.testing.stripe.core.ids import IdFactory
from gatekeeper.testing.stripe.core.store import Obj, Store
from gatekeeper.testing.stripe.delivery import Postman
from gatekeeper.testing.stripe.faults import Faults
from gatekeeper.testing.stripe.settings import API_VERSION, Settings

NO_REQUEST: Obj = {"id": None, "idempotency_key": None}
"""The `request` of an event that time caused, not a call."""


@dataclass(slots=True)
class Hooks:
    """Who is told when a thing below moves, so that imports point one way.

    `intent_moved` (by the owner's kind) and `invoice_moved` are told `(state, object, what
    happened)`; `subscription_started` plans what time will do to a new subscription; `period_due`
    is told before a subscription's period ends, `subscription_ended` when it has been canceled,
    `invoice_drafted` of a subscription's draft that time is to finalise, and `setup_moved` of a
    setup intent that has succeeded.
    """

    intent_moved: "dict[str, Callable[[State, Obj, str], None]]" = field(default_factory=dict)
    invoice_moved: "list[Callable[[State, Obj, str], None]]" = field(default_factory=list)
    setup_moved: "list[Callable[[State, Obj], None]]" = field(default_factory=list)
    subscription_started: "Callable[[State, Obj], None]" = lambda state, subscription: None
    period_due: "Callable[[State, Obj], None]" = lambda state, subscription: None
    invoice_drafted: "Callable[[State, Obj, Obj], None]" = lambda state, subscription, invoice: None
    subscription_ended: "Callable[[State, Obj], None]" = lambda state, subscription: None


class State:
    """Everything a simulator knows. All changes happen under `lock`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.clock = SimClock(settings.start, ticking=settings.ticking)
        self.agenda = Agenda()
        self.ids = IdFactory(settings.seed)
        self.store = Store()
        self.hooks = Hooks()
        self.faults = Faults()
        self.postman = Postman(settings, self.clock, self.store, self.ids, self.lock, self.faults)
        self.events: deque[Obj] = deque()
        self.event_watchers: list[Callable[[Obj], None]] = []
        self.request: Obj = NO_REQUEST
        self.account: str | None = None
        self.platform = self
        self.stalled_refunds: list[str] = []
        """In which status the next refunds begin, and stay: a test's choice."""
        self._connected: dict[str, State] = {}
        self.base_url = settings.public_url or "http://localhost"

    def now(self) -> int:
        """The simulated second."""
        return self.clock.now()

    def of(self, account: str | None) -> "State":
        """The same Stripe as a connected account sees it: its own objects, and events that carry
        its id. Time, ids, webhooks and faults are shared."""
        if account in (None, self.settings.account_id):
            return self.platform
        if account == self.account:
            return self
        if account not in self._connected:
            seen = copy.copy(self)
            seen.account, seen.store = account, Store()
            self._connected[account] = seen
        return self._connected[account]

    def seen(self) -> "list[State]":
        """The platform, and every connected account that anybody has looked at."""
        return [self.platform, *self._connected.values()]

    # Time

    def catch_up(self) -> None:
        """Run what has become due since anybody looked."""
        with self.lock:
            self.agenda.run_due(self.clock, self.clock.now())

    def advance_to(self, second: int) -> None:
        """Move the clock, through every due moment in its order."""
        with self.lock:
            self.agenda.run_due(self.clock, second)
            self.clock.move_to(max(second, self.clock.now()))

    # Change

    def emit(self, type: str, obj: Obj, previous: Obj | None = None) -> Obj:
        """Record an event of the object as it is now, and post it to the endpoints."""
        targets = self.postman.endpoints_for(type, connected=self.account is not None)
        event = new_event(
            identifier=self.ids.new("evt"),
            type=type,
            obj=obj,
            previous=previous,
            created=self.now(),
            api_version=API_VERSION,
            livemode=self.settings.livemode,
            pending_webhooks=len(targets),
            request=dict(self.platform.request),
            account=self.account,
        )
        for watch in self.event_watchers:
            watch(event)
        self.store.add("event", event)
        self.events.append(event)
        if len(self.events) > self.settings.event_limit:
            self.store.forget("event", self.events.popleft()["id"])
        self.postman.post(event, targets)
        return event

    def notify(self, type: str, related: Obj | None, data: Obj) -> Obj:
        """Record an event of API v2, which has no snapshot, and post its thin notification."""
        event: Obj = {
            "id": self.ids.new("evt_test"),
            "object": "v2.core.event",
            "created": self.now(),
            "data": data,
            "livemode": self.settings.livemode,
            "pending_webhooks": 0,
            "related_object": related,
            "request": dict(self.platform.request),
            "type": type,
        }
        if self.account is not None:
            event["account"] = self.account
        self.store.add("v2.core.event", event)
        self.postman.post(event, self.postman.destinations_for(type.removeprefix("v1.")))
        return event

    @contextmanager
    def changing(self, obj: Obj, event: str | None = None) -> Iterator[Obj]:
        """Change an object; if anything changed, an updated event says what it was before."""
        before = copy.deepcopy(obj)
        yield obj
        previous = previous_attributes(before, obj)
        if previous and event is not None:
            self.emit(event, obj, previous)

    @contextmanager
    def asked_by(self, request: Obj) -> Iterator[None]:
        """Events within, of whichever account, carry this request's id and key."""
        platform = self.platform
        before, platform.request = platform.request, request
        try:
            yield
        finally:
            platform.request = before
