"""What the webhook room tells of itself: how events come in, and what becomes of them."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import anyio

from gatekeeper.errors import GatekeeperError
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.envelope import Envelope
from gatekeeper.telemetry import OFF, Attributes, Span, Stopwatch, Telemetry, metrics, spans

MAX_CONTEXTS: Final = 1_000
"""Of so many events it is remembered in which span they came in."""


class Taking:
    """An event that is being taken in, and what came of it."""

    def __init__(self, span: Span, remember: Callable[[str], None]) -> None:
        self._span = span
        self._remember = remember
        self.outcome = "failed"

    def is_of(self, envelope: Envelope) -> None:
        """It is this event."""
        self._remember(envelope.id)
        self._span.set(metrics.EVENT_TYPE, envelope.type)
        self._span.set(spans.EVENT_ID, envelope.id)

    def ended(self, outcome: str) -> None:
        """It ended like this."""
        self.outcome = outcome
        self._span.set(metrics.OUTCOME, outcome)

    def failed(self, code: str) -> None:
        """It was refused."""
        self.ended(code)
        self._span.fail(code)


class Teller:
    """Tells of events. `types` are those that have a name in metrics; the rest is one."""

    def __init__(
        self, telemetry: Telemetry = OFF, types: Callable[[], Collection[str]] = frozenset
    ) -> None:
        self._telemetry = telemetry
        self._types = types
        self._contexts: OrderedDict[str, object] = OrderedDict()

    @contextmanager
    def taking(self) -> Iterator[Taking]:
        """Around the intake of an event."""
        watch = Stopwatch()
        with self._telemetry.span(spans.INTAKE) as span:
            taking = Taking(span, self._remember)
            try:
                yield taking
            except GatekeeperError as error:
                taking.failed(error.code)
                raise
            finally:
                told = {metrics.OUTCOME: taking.outcome}
                self._telemetry.count(metrics.INTAKE_EVENTS, told)
                self._telemetry.record(metrics.INTAKE_DURATION, watch.seconds, told)

    def _remember(self, event_id: str) -> None:
        """Note in which span an event came in, for the one in which it is carried out."""
        context = self._telemetry.context()
        if context is not None:
            self._contexts[event_id] = context
            if len(self._contexts) > MAX_CONTEXTS:
                self._contexts.popitem(last=False)

    @contextmanager
    def dispatching(self, events: Sequence[InboxEvent], begun: float) -> Iterator["Dispatching"]:
        """Around the work on the events of one object, which was claimed at `begun`."""
        first = events[0]
        links = [found for one in events if (found := self._contexts.pop(one.event_id, None))]
        about: Attributes = {
            spans.OBJECT: first.object_type or "event",
            metrics.EVENT_TYPE: first.type,
            spans.EVENT_ID: first.event_id,
            spans.ATTEMPT: first.attempts,
        }
        with self._telemetry.span(spans.DISPATCH, about, links) as span:
            dispatching = Dispatching(self, span, events, begun)
            try:
                yield dispatching
            finally:
                dispatching.lose_rest()

    def settled(self, event: InboxEvent, outcome: str, seconds: float) -> None:
        """An event was settled, or left to its lease."""
        type_ = event.type if event.type in self._types() else metrics.OTHER
        told = {metrics.EVENT_TYPE: type_, metrics.OUTCOME: outcome}
        self._telemetry.record(metrics.DISPATCH_DURATION, seconds, told)


class Dispatching:
    """The events of one object on their way."""

    def __init__(
        self, teller: Teller, span: Span, events: Sequence[InboxEvent], begun: float
    ) -> None:
        self._teller = teller
        self._span = span
        self._open = {event.key: event for event in events}
        self._begun = begun

    def settled(self, event: InboxEvent, outcome: str) -> None:
        """One of them was settled."""
        self._open.pop(event.key, None)
        self._span.set(metrics.OUTCOME, outcome)
        if outcome != "done":
            self._span.fail(outcome)
        self._teller.settled(event, outcome, anyio.current_time() - self._begun)

    def lose_rest(self) -> None:
        """What was not settled is left to its lease."""
        for event in tuple(self._open.values()):
            self.settled(event, "lost")
