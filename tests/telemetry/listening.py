"""Listening to what is told: OpenTelemetry's SDK, with everything kept in memory."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gatekeeper.telemetry import metrics
from gatekeeper.telemetry.otel import OpenTelemetry


class Listener:
    """Providers of one test's own, and what has come to them."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.telemetry = OpenTelemetry(self.meters, self.tracers)

    def close(self) -> None:
        self.meters.shutdown()
        self.tracers.shutdown()

    def collect(self) -> dict[str, Metric]:
        """All metrics that have a value, by name."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, metric: metrics.Metric) -> list[tuple[dict[str, Any], float]]:
        """The attributes and the value (of a histogram: the count) of each point."""
        found = self.collect().get(metric.name)
        points: Any = [] if found is None else found.data.data_points
        return [
            (dict(point.attributes or {}), point.value if hasattr(point, "value") else point.count)
            for point in points
        ]

    def value(self, metric: metrics.Metric, attributes: Mapping[str, Any] | None = None) -> float:
        """The value of the one point that has these attributes; 0 if there is none."""
        wanted = (attributes or {}).items()
        return sum(value for has, value in self.points(metric) if wanted <= has.items())

    def spans(self, name: str) -> list[ReadableSpan]:
        """The spans of a name that have ended, in the order of their ends."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]
