"""The tables of metrics and spans: their names, and the page that shows them."""

import re
from collections.abc import Iterable

import pytest

from gatekeeper.telemetry import metrics, spans
from gatekeeper.telemetry.metrics import ATTRIBUTES, METRICS, Kind, Metric
from gatekeeper.telemetry.spans import SPANS
from tests.docs.test_reference import REFERENCE

PAGE = (REFERENCE / "telemetry.md").read_text()


def names(attributes: Iterable[str]) -> str:
    return ", ".join(f"`{one}`" for one in attributes)


def test_the_page_shows_the_metrics_as_they_are() -> None:
    rows = [
        f"| `{one.name}` | {one.kind} | `{one.unit}` | {names(one.attributes)} | "
        f"{one.description} |"
        for one in METRICS
    ]
    assert "\n".join(rows) in PAGE


def test_the_page_shows_the_spans_as_they_are() -> None:
    rows = [
        f"| `{one.name}` | {one.role} | {names(one.attributes)} | {one.description} |"
        for one in SPANS
    ]
    assert "\n".join(rows) in PAGE


def test_the_page_shows_the_attributes_as_they_are() -> None:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in ATTRIBUTES.items()]
    assert "\n".join(rows) in PAGE


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_opentelemetry_asks(metric: Metric) -> None:
    assert re.fullmatch(r"gatekeeper(\.[a-z_]+){1,3}", metric.name)
    assert not metric.name.endswith(("total", "seconds", "count"))
    assert metric.unit in {"s", "1"} or re.fullmatch(r"\{[a-z]+\}", metric.unit)
    assert metric.kind is not Kind.HISTOGRAM or metric.unit == "s"
    assert metric.description.endswith(".")
    assert set(metric.attributes) <= set(ATTRIBUTES)


def test_no_name_is_there_twice_nor_a_namespace_of_another() -> None:
    told = [one.name for one in METRICS]
    assert len(set(told)) == len(told)
    assert not [one for one in told for other in told if other.startswith(f"{one}.")]


def test_metrics_have_no_attribute_of_unbounded_values() -> None:
    unbounded = {spans.EVENT_ID, spans.MESSAGE_ID, spans.OBJECT}
    assert not unbounded & set(ATTRIBUTES)
    assert metrics.METRICS
