"""What the other rooms tell by, and what it does when nobody listens: nothing."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any, Final, NamedTuple

from gatekeeper.telemetry.metrics import Metric
from gatekeeper.telemetry.spans import SpanType

Value = str | int | float | bool
Attributes = Mapping[str, Value]

NOTHING: Final[Attributes] = {}


class Reading(NamedTuple):
    """What a gauge, or a counter that somebody else keeps, shows at this moment."""

    metric: Metric
    value: float
    attributes: Attributes = NOTHING


Readings = Callable[[], Iterable[Reading]]
"""Called by whoever collects metrics, in any thread: it may look at what is in memory, and no
further."""


class Span:
    """A span that is under way; this one goes nowhere."""

    def set(self, name: str, value: Value) -> None:
        """Set an attribute."""

    def fail(self, error_type: str) -> None:
        """Say that what it covers has failed. Messages of errors are left out: they can hold
        anything."""


class Telemetry:
    """Tells nobody. What is not told costs a call."""

    def count(self, metric: Metric, attributes: Attributes = NOTHING, amount: int = 1) -> None:
        """Add to a counter."""

    def record(self, metric: Metric, value: float, attributes: Attributes = NOTHING) -> None:
        """Record a measurement of a histogram."""

    def span(
        self, kind: SpanType, attributes: Attributes = NOTHING, links: Iterable[Any] = ()
    ) -> AbstractContextManager[Span]:
        """A span around a block, current within it. `links` are what `context` has returned."""
        return _NO_SPAN

    def context(self) -> object | None:
        """The current span, for a link to it from elsewhere; None if there is none."""
        return None

    def watch(self, readings: Readings, metrics: Iterable[Metric]) -> Callable[[], None]:
        """Have gauges (and counters that are kept elsewhere) read by `readings` whenever metrics
        are collected; returns what ends that."""
        return _nothing

    @property
    def read_at(self) -> float | None:
        """When anybody last collected what is watched, by `time.monotonic`; None: nobody has."""
        return None


OFF: Final = Telemetry()
"""Tells nobody."""


class Stopwatch:
    """Seconds since it was made, that never run backwards."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = monotonic()

    @property
    def seconds(self) -> float:
        """How long ago it was made."""
        return monotonic() - self._begun


_NO_SPAN: Final = nullcontext(Span())


def _nothing() -> None:
    pass
