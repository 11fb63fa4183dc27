"""How declared instruments become OpenTelemetry's."""

import subprocess
import sys
from collections.abc import Iterable

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from gatekeeper.telemetry import OFF, Reading, metrics, spans, telemetry_of_process
from gatekeeper.telemetry.otel import OpenTelemetry
from tests.telemetry.listening import Listener


def test_an_instrument_is_made_as_declared(listener: Listener) -> None:
    listener.telemetry.count(metrics.INTAKE_EVENTS, {metrics.OUTCOME: "accepted"}, 2)
    listener.telemetry.record(metrics.DISPATCH_DURATION, 0.25)
    found = listener.collect()
    assert set(found) == {metrics.INTAKE_EVENTS.name, metrics.DISPATCH_DURATION.name}
    for declared in (metrics.INTAKE_EVENTS, metrics.DISPATCH_DURATION):
        made = found[declared.name]
        assert (made.unit, made.description) == (declared.unit, declared.description)
    assert listener.points(metrics.INTAKE_EVENTS) == [({metrics.OUTCOME: "accepted"}, 2)]


def test_what_is_watched_is_read_when_metrics_are_collected(listener: Listener) -> None:
    waiting = 3

    def readings() -> Iterable[Reading]:
        yield Reading(metrics.INBOX_DEPTH, waiting)
        yield Reading(metrics.CACHE_EVENTS, 7, {metrics.OUTCOME: "loads"})

    end = listener.telemetry.watch(readings, [metrics.INBOX_DEPTH, metrics.CACHE_EVENTS])
    assert listener.telemetry.read_at is None
    assert listener.points(metrics.INBOX_DEPTH) == [({}, 3)]
    assert listener.points(metrics.CACHE_EVENTS) == [({metrics.OUTCOME: "loads"}, 7)]
    assert listener.telemetry.read_at is not None
    waiting = 4
    assert listener.points(metrics.INBOX_DEPTH) == [({}, 4)]
    end()
    assert listener.points(metrics.INBOX_DEPTH) == []


def test_what_is_watched_again_is_one_instrument(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # a gate that is closed and opened again
        end = listener.telemetry.watch(
            lambda: [Reading(metrics.HOLDS_OPEN, 1)], [metrics.HOLDS_OPEN]
        )
        assert listener.points(metrics.HOLDS_OPEN) == [({}, 1)]
        end()
    assert not caplog.records


def test_telemetry_that_is_gone_is_not_kept_by_its_callbacks(listener: Listener) -> None:
    telemetry = OpenTelemetry(listener.meters, listener.tracers)
    telemetry.watch(lambda: [Reading(metrics.HOLDS_OPEN, 1)], [metrics.HOLDS_OPEN])
    assert listener.points(metrics.HOLDS_OPEN) == [({}, 1)]
    del telemetry
    assert listener.points(metrics.HOLDS_OPEN) == []


def test_a_span_tells_the_kind_of_an_error_and_nothing_of_its_message(listener: Listener) -> None:
    def fails() -> None:
        with listener.telemetry.span(spans.STRIPE_REQUEST, {metrics.METHOD: "GET"}) as span:
            span.set(metrics.STATUS, 500)
            raise ValueError("sk_live_secret")

    with pytest.raises(ValueError, match="secret"):
        fails()
    (found,) = listener.spans(spans.STRIPE_REQUEST.name)
    assert found.kind is SpanKind.CLIENT
    assert found.status.status_code is StatusCode.ERROR
    assert found.attributes == {
        metrics.METHOD: "GET",
        metrics.STATUS: 500,
        metrics.ERROR_TYPE: "ValueError",
    }
    assert not found.events
    assert "secret" not in found.to_json()


def test_a_span_is_linked_to_the_context_of_another(listener: Listener) -> None:
    assert listener.telemetry.context() is None
    with listener.telemetry.span(spans.INTAKE):
        context = listener.telemetry.context()
    with listener.telemetry.span(spans.DISPATCH, links=[context]):
        pass
    (intake,), (dispatch,) = listener.spans(spans.INTAKE.name), listener.spans(spans.DISPATCH.name)
    assert [link.context for link in dispatch.links] == [intake.context]


def test_one_telemetry_serves_all_gates_of_the_process() -> None:
    assert isinstance(telemetry_of_process(), OpenTelemetry)
    assert telemetry_of_process() is telemetry_of_process()


def test_telemetry_that_is_off_does_nothing() -> None:
    OFF.count(metrics.INTAKE_EVENTS)
    OFF.record(metrics.INTAKE_DURATION, 1.0)
    with OFF.span(spans.INTAKE) as span:
        span.set(metrics.OUTCOME, "accepted")
        span.fail("boom")
        assert OFF.context() is None
    OFF.watch(list, [metrics.HOLDS_OPEN])()
    assert OFF.read_at is None


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ImportError(name)

sys.meta_path.insert(0, Missing())

import asyncio
from gatekeeper import Catalog, Feature, Gatekeeper, Plan, Settings, Unit
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.telemetry import OFF

credits = Unit("credits")
catalog = Catalog(
    plans=[Plan("free", default=True, grants=[credits.once(5)])], declares=[Feature("downloads")]
)

async def main():
    gate = Gatekeeper(catalog, Settings.load(), store=MemoryStore())
    assert gate.telemetry is OFF
    async with gate:
        await gate.customers.ensure("org_1")
        assert not await gate.allows("org_1", "downloads")
        async with gate.reserve("org_1", "credits", 2):
            pass
        assert (await gate.balance("org_1", "credits")).available == 3

asyncio.run(main())
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


def test_without_the_package_everything_works_and_nothing_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
