"""Meters: what is reported afterwards, what is canceled, and the summaries."""

from datetime import timedelta
from typing import Any

import pytest
import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.testing.stripe import Settings, Simulator
from tests.testing.stripe.conftest import START
from tests.testing.stripe.shop import new_price

pytestmark = pytest.mark.anyio

REPORT = "v1.billing.meter.error_report_triggered"


def new_meter(client: Any, formula: str = "sum", name: str = "calls") -> str:
    made = client.v1.billing.meters.create(
        {
            "display_name": name,
            "event_name": name,
            "default_aggregation": {"formula": formula},
        }
    )
    return str(made.id)


def use(client: Any, customer: str, value: str = "1", **params: Any) -> Any:
    return client.v1.billing.meter_events.create(
        {
            "event_name": "calls",
            "payload": {"stripe_customer_id": customer, "value": value},
            **params,
        }
    )


def listen(sim: Simulator, *types: str) -> list[dict[str, Any]]:
    got: list[dict[str, Any]] = []

    async def receive(request: Request) -> Response:
        got.append(await request.json())
        return Response()

    app = Starlette(routes=[Route("/thin", receive, methods=["POST"])])
    sim.event_destination("http://thin.test/thin", types or ("*",), app=app)
    return got


def summed(client: Any, meter: str, customer: str, sim: Simulator, **params: Any) -> list[Any]:
    end = int(sim.now.timestamp()) // 86_400 * 86_400 + 86_400
    asked = {"customer": customer, "start_time": end - 86_400 * 30, "end_time": end, **params}
    found = client.v1.billing.meters.event_summaries.list(meter, asked).data
    return [row.aggregated_value for row in found]


class TestReportedLater:
    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, start=START, meter_errors="later")

    async def test_errors_are_reported_together(self, client: Any, stripe_sim: Simulator) -> None:
        got = listen(stripe_sim, REPORT)
        meter, customer = new_meter(client), client.v1.customers.create({}).id
        now = int(stripe_sim.now.timestamp())
        use(client, customer, "5", identifier="good")
        use(client, "cus_none", identifier="lost1")
        use(client, "cus_none", identifier="lost2")
        use(client, customer, "many", identifier="words")
        old = now - 86_400 * 36
        use(client, customer, identifier="old", timestamp=old)
        client.v1.billing.meter_events.create(
            {"event_name": "calls", "identifier": "nobody", "payload": {"value": "1"}}
        )
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            use(client, customer, identifier="words")
        await stripe_sim.deliver_pending()
        assert got == []
        await stripe_sim.play(seconds=10)
        (told,) = got
        assert (told["type"], told["related_object"]["id"]) == (REPORT, meter)
        assert "data" not in told
        event = client.v2.core.events.retrieve(told["id"])
        assert event.data.developer_message_summary == "There are 5 invalid events"
        assert event.data.validation_start == "2026-11-01T12:00:00.000Z"
        assert event.data.validation_end == "2026-11-01T12:00:10.000Z"
        reason = event.data.reason
        assert {one.code: one.error_count for one in reason.error_types} == {
            "meter_event_customer_not_found": 2,
            "meter_event_invalid_value": 1,
            "meter_event_no_customer_defined": 1,
            "timestamp_too_far_in_past": 1,
        }
        named = reason.error_types[0].sample_errors
        assert [one.request.identifier for one in named] == ["lost1", "lost2"]
        assert summed(client, meter, customer, stripe_sim) == [5.0]

    async def test_no_meter_is_found(self, client: Any, stripe_sim: Simulator) -> None:
        got = listen(stripe_sim)
        customer = client.v1.customers.create({}).id
        use(client, customer, identifier="a")
        meter = new_meter(client)
        client.v1.billing.meters.deactivate(meter)
        use(client, customer, identifier="b")
        await stripe_sim.play(seconds=10)
        found = {one["type"]: one for one in got if "error" in one["type"] or "no_" in one["type"]}
        missing = client.v2.core.events.retrieve(found["v1.billing.meter.no_meter_found"]["id"])
        assert missing.data.reason.error_types[0].code == "no_meter"
        archived = client.v2.core.events.retrieve(found[REPORT]["id"])
        assert archived.data.reason.error_types[0].code == "archived_meter"


async def test_a_test_reports_errors_itself(client: Any, stripe_sim: Simulator) -> None:
    got = listen(stripe_sim, REPORT)
    meter = new_meter(client)
    made = stripe_sim.report_meter_errors(meter, ("meter_event_customer_not_found", "w1"))
    assert made["data"]["developer_message_summary"] == "There is 1 invalid event"
    stripe_sim.report_meter_errors(None, ("no_meter", "w2"))
    await stripe_sim.deliver_pending()
    assert [one["id"] for one in got] == [made["id"]]


def test_an_event_is_taken_back(client: Any, stripe_sim: Simulator) -> None:
    meter, customer = new_meter(client), client.v1.customers.create({}).id
    use(client, customer, "5", identifier="a")
    use(client, customer, "7", identifier="b")
    adjust = client.v1.billing.meter_event_adjustments.create

    def cancel(identifier: str) -> Any:
        return adjust(
            {"event_name": "calls", "type": "cancel", "cancel": {"identifier": identifier}}
        )

    assert cancel("a").status == "pending"
    assert summed(client, meter, customer, stripe_sim) == [7.0]
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        use(client, customer, identifier="a")
    with pytest.raises(stripe.InvalidRequestError, match="No meter event"):
        cancel("a")
    stripe_sim.advance(days=1)
    with pytest.raises(stripe.InvalidRequestError, match="No meter event"):
        cancel("b")
    with pytest.raises(stripe.InvalidRequestError, match="Missing required param"):
        adjust({"event_name": "calls", "type": "cancel"})
    use(client, customer, "1", identifier="a")
    assert summed(client, meter, customer, stripe_sim) == [8.0]


@pytest.mark.parametrize(
    ("formula", "days", "all_of_it"),
    [("sum", [3.0, 6.0], 9.0), ("count", [1, 2], 3), ("last", [3.0, 4.0], 3.0)],
)
def test_summaries_by_day(
    client: Any, stripe_sim: Simulator, formula: str, days: list[float], all_of_it: float
) -> None:
    meter, customer = new_meter(client, formula), client.v1.customers.create({}).id
    now = int(stripe_sim.now.timestamp())
    for value, at in (("3", now), ("4", now - 86_400), ("2", now - 86_460)):
        use(client, customer, value, timestamp=at)
    grouped = summed(client, meter, customer, stripe_sim, value_grouping_window="day")
    assert grouped == days
    assert summed(client, meter, customer, stripe_sim) == [all_of_it]
    with pytest.raises(stripe.InvalidRequestError, match="aligned with day"):
        summed(client, meter, customer, stripe_sim, value_grouping_window="day", end_time=now)


async def test_events_of_api_v2_are_listed(client: Any, stripe_sim: Simulator) -> None:
    got = listen(stripe_sim)
    customer = client.v1.customers.create({}, {"idempotency_key": "once"})
    stripe_sim.advance(minutes=1)
    new_price(client)
    await stripe_sim.deliver_pending()
    thin = next(one for one in got if one["type"] == "v1.customer.created")
    event = client.v2.core.events.retrieve(thin["id"])
    assert event.related_object.id == customer.id
    assert event.reason.request.idempotency_key == "once"
    events = client.v2.core.events
    assert [e.id for e in events.list({"object_id": customer.id}).data] == [thin["id"]]
    first = events.list({"limit": 2})
    assert len(first.data) == 2
    ids = [one.id for one in first.auto_paging_iter()]
    assert set(ids) == {one["id"] for one in got}
    assert ids[-1] == thin["id"]
    later = (stripe_sim.now - timedelta(seconds=30)).isoformat()
    since = events.list({"created": {"gte": later}, "types": ["v1.price.created"]}).data
    assert [one.type for one in since] == ["v1.price.created"]
    with pytest.raises(stripe.StripeError, match="not found"):
        events.retrieve("evt_none")
    for wrong in ({"page": "x"}, {"created": {"gt": "yesterday"}}):
        with pytest.raises(stripe.StripeError, match="Invalid"):
            events.list(wrong)
