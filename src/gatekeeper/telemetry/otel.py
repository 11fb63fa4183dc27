"""Telemetry by OpenTelemetry's API. Where it goes is the host's affair, and the SDK's that the host
sets up (https://opentelemetry.io/docs/specs/otel/library-guidelines/).

The one module that knows the package, which is an extra: import it where it is used.
"""

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Any, Final

from gatekeeper._version import __version__
from gatekeeper.errors import GatekeeperError, MissingExtraError
from gatekeeper.telemetry.metrics import Kind, Metric
from gatekeeper.telemetry.port import NOTHING, Attributes, Readings, Span, Telemetry, Value
from gatekeeper.telemetry.spans import Role, SpanType

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
except ImportError as error:
    raise MissingExtraError("opentelemetry-api", extra="otel") from error

SCOPE: Final = "gatekeeper"
"""The name of our meter and of our tracer."""

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""The bounds of the histograms: from a commit to a reconciliation."""

_KINDS: Final = {
    Role.INTERNAL: SpanKind.INTERNAL,
    Role.CLIENT: SpanKind.CLIENT,
    Role.CONSUMER: SpanKind.CONSUMER,
}


class OpenTelemetry(Telemetry):
    """Tells the process's providers, or those given.

    Args:
        meter_provider, tracer_provider: for tests, and for hosts that have several.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._meter = metrics.get_meter(SCOPE, __version__, meter_provider)
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
        self._instruments: dict[str, Any] = {}
        self._watched: dict[str, list[Readings]] = {}
        self._lock = threading.Lock()
        self._read_at: float | None = None

    def count(self, metric: Metric, attributes: Attributes = NOTHING, amount: int = 1) -> None:
        self._instrument(metric).add(amount, attributes)

    def record(self, metric: Metric, value: float, attributes: Attributes = NOTHING) -> None:
        self._instrument(metric).record(value, attributes)

    def span(
        self, kind: SpanType, attributes: Attributes = NOTHING, links: Iterable[Any] = ()
    ) -> AbstractContextManager[Span]:
        return self._span(kind, attributes, links)

    @contextmanager
    def _span(self, kind: SpanType, attributes: Attributes, links: Iterable[Any]) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            kind.name,
            kind=_KINDS[kind.role],
            attributes=attributes,
            links=[trace.Link(context) for context in links],
            record_exception=False,  # messages and tracebacks can hold anything
            set_status_on_exception=False,
        ) as span:
            told = _Told(span)
            try:
                yield told
            except GatekeeperError as error:
                told.fail(error.code)
                raise
            except Exception as error:
                told.fail(type(error).__name__)
                raise

    def context(self) -> object | None:
        found = trace.get_current_span().get_span_context()
        return found if found.is_valid else None

    def watch(self, readings: Readings, metrics: Iterable[Metric]) -> Callable[[], None]:
        names = [metric.name for metric in metrics]
        with self._lock:
            for metric in metrics:
                if metric.name not in self._watched:
                    self._watched[metric.name] = []
                    self._observe(metric)
                self._watched[metric.name].append(readings)

        def end() -> None:
            with self._lock:
                for name in names:
                    self._watched[name].remove(readings)

        return end

    @property
    def read_at(self) -> float | None:
        return self._read_at

    def _instrument(self, metric: Metric) -> Any:
        found = self._instruments.get(metric.name)
        if found is None:
            found = self._instruments[metric.name] = self._made(metric)
        return found

    def _made(self, metric: Metric) -> Any:
        if metric.kind is Kind.COUNTER:
            return self._meter.create_counter(metric.name, metric.unit, metric.description)
        return self._meter.create_histogram(
            metric.name,
            metric.unit,
            metric.description,
            explicit_bucket_boundaries_advisory=SECONDS,
        )

    def _observe(self, metric: Metric) -> None:
        # The SDK keeps the callback for as long as it lives: it must not keep us with it.
        ours = weakref.ref(self)

        def collect(options: CallbackOptions) -> Iterable[Observation]:
            telemetry = ours()
            return () if telemetry is None else telemetry.collected(metric)

        if metric.kind is Kind.COUNTER:
            self._meter.create_observable_counter(
                metric.name, [collect], metric.unit, metric.description
            )
        else:
            self._meter.create_observable_gauge(
                metric.name, [collect], metric.unit, metric.description
            )

    def collected(self, metric: Metric) -> list[Observation]:
        """What a watched metric shows now."""
        self._read_at = monotonic()
        with self._lock:
            watched = tuple(self._watched[metric.name])
        return [
            Observation(reading.value, reading.attributes)
            for readings in watched
            for reading in readings()
            if reading.metric is metric
        ]


class _Told(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))
