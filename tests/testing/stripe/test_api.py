"""What every operation has in common: keys, versions, errors, lists, expansion, idempotency."""

from typing import Any

import anyio
import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import ApiError, Call, Settings, Simulator
from tests.testing.stripe.shop import new_payer, new_price, new_session, subscribe

pytestmark = pytest.mark.anyio


def test_a_wrong_key_is_a_401(stripe_sim: Simulator) -> None:
    with pytest.raises(stripe.AuthenticationError) as caught:
        stripe_sim.client(api_key="sk_test_of_somebody_else").v1.accounts.retrieve_current()
    assert "sk_test_" in str(caught.value)
    assert "somebody" not in str(caught.value)
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic !"}):
        assert httpx.get(f"{stripe_sim.url}/v1/account", headers=headers).status_code == 401
    key = stripe_sim.settings.api_key
    assert httpx.get(f"{stripe_sim.url}/v1/account", auth=(key, "")).status_code == 200


def test_the_account_and_its_mode(client: Any) -> None:
    assert client.v1.accounts.retrieve_current().id.startswith("acct_")
    assert client.v1.balance.retrieve().livemode is False


class TestLiveMode:
    @pytest.fixture
    def stripe_sim_settings(self) -> Settings:
        return Settings(seed=1, ticking=False, api_key="sk_live_1")

    def test_a_live_key_makes_live_objects(self, client: Any, stripe_sim: Simulator) -> None:
        assert client.v1.balance.retrieve().livemode is True
        assert new_session(client).id.startswith("cs_live_")
        assert all(event["livemode"] for event in stripe_sim.events())


def test_only_the_own_api_version_is_spoken(stripe_sim: Simulator) -> None:
    old = stripe_sim.client(stripe_version="2024-06-20")
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        old.v1.customers.list()


def test_unknown_addresses_and_bodies(client: Any, stripe_sim: Simulator) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        client.v1.tax_rates.list()
    headers = {"authorization": f"Bearer {stripe_sim.settings.api_key}"}
    url = f"{stripe_sim.url}/v1/customers"
    assert httpx.post(url, content=b"\xff", headers=headers).status_code == 400
    assert httpx.post(url, content=b"a" * 1_100_000, headers=headers).status_code == 413
    answer = client.v1.customers.create({}).last_response
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == "2026-10-28.endive"


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_follow_each_other_both_ways(client: Any, limit: int) -> None:
    made = [client.v1.customers.create({"name": str(n)}).id for n in range(5)]
    forward = client.v1.customers.list({"limit": limit})
    assert [c.id for c in forward.auto_paging_iter()] == made[::-1]
    backward = client.v1.customers.list({"limit": limit, "ending_before": made[0]})
    assert [c.id for c in backward.auto_paging_iter()] == made[1:]


def test_bad_cursors_are_refused(client: Any) -> None:
    first = client.v1.customers.create({})
    for params, param in (
        ({"starting_after": "cus_none"}, "starting_after"),
        ({"ending_before": "cus_none"}, "ending_before"),
        ({"starting_after": first.id, "ending_before": first.id}, None),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.customers.list(params)
        assert caught.value.param == param
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.subscriptions.list({"starting_after": "sub_none"})


def test_a_cursor_holds_when_its_row_leaves_the_filter(client: Any) -> None:
    subscriptions = [subscribe(client) for _ in range(3)]
    oldest, middle, newest = (s.id for s in subscriptions)
    page = client.v1.subscriptions.list({"limit": 2, "status": "active"})
    assert [s.id for s in page.data] == [newest, middle]
    created = int(subscriptions[0].created)
    client.v1.subscriptions.update(oldest, {"metadata": {"a": "1"}})
    rest = client.v1.subscriptions.list(
        {"starting_after": middle, "created": {"gte": created, "lt": created + 1}}
    )
    assert [s.id for s in rest.data] == [oldest]


def test_events_are_filtered_by_type_and_time(client: Any, stripe_sim: Simulator) -> None:
    client.v1.customers.create({})
    start = int(stripe_sim.now.timestamp())
    stripe_sim.advance(seconds=10)
    new_price(client)

    def types(**params: Any) -> list[str]:
        return [e.type for e in client.v1.events.list(params).data]

    assert types() == ["price.created", "product.created", "customer.created"]
    assert types(type="customer.created") == ["customer.created"]
    assert types(type="p*") == ["price.created", "product.created"]
    assert types(types=["price.created", "customer.created"]) == [
        "price.created",
        "customer.created",
    ]
    assert types(created={"gt": start}) == ["price.created", "product.created"]
    assert types(created={"gte": start, "lte": start}) == ["customer.created"]
    assert types(created=start + 10) == ["price.created", "product.created"]
    assert types(created={"lt": start}) == []
    one = client.v1.events.retrieve(stripe_sim.events()[0]["id"])
    assert one.data.object["object"] == "customer"


def test_expansion(client: Any) -> None:
    subscription = subscribe(client, expand=["items.data.price.product", "latest_invoice.customer"])
    assert subscription.items.data[0].price.product.object == "product"
    assert subscription.latest_invoice.object == "invoice"
    assert subscription.latest_invoice.customer.object == "customer"
    assert client.v1.subscriptions.retrieve(
        subscription.id, {"expand": ["schedule", "pending_setup_intent"]}
    )
    for paths in (
        ["nothing"],
        ["status"],
        ["id"],
        ["customer.nothing"],
        ["items.data.subscription"],
        ["a.b.c.d.e"],
        ["customer"] * 21,
    ):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.subscriptions.retrieve(subscription.id, {"expand": paths})
    customer = str(subscription.customer)
    client.v1.customers.delete(customer)
    gone = client.v1.subscriptions.retrieve(
        subscription.id, {"expand": ["customer", "customer.subscriptions"]}
    )
    assert gone.customer.deleted is True


def test_the_same_key_gets_the_same_answer(client: Any, stripe_sim: Simulator) -> None:
    first = client.v1.customers.create({"name": "a"}, {"idempotency_key": "k"})
    again = client.v1.customers.create({"name": "a"}, {"idempotency_key": "k"})
    assert again.id == first.id
    assert first.last_response.headers.get("idempotent-replayed") is None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert (
        again.last_response.headers["original-request"] == first.last_response.headers["request-id"]
    )
    (event,) = stripe_sim.events()
    assert event["request"]["idempotency_key"] == "k"
    with pytest.raises(stripe.IdempotencyError) as caught:
        client.v1.customers.create({"name": "b"}, {"idempotency_key": "k"})
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        client.v1.products.create({"name": "a"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({}, {"idempotency_key": "k" * 256})
    stripe_sim.advance(hours=25)
    assert client.v1.customers.create({"name": "b"}, {"idempotency_key": "k"}).name == "b"


def test_a_key_remembers_a_declined_card_but_not_a_refused_request(
    client: Any,
) -> None:
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            client.v1.customers.create(
                {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "declined"}
            )
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({"nope": "1"}, {"idempotency_key": "wrong"})
    assert client.v1.customers.create({}, {"idempotency_key": "wrong"}).id


async def test_a_key_in_use_is_a_409(stripe_sim: Simulator) -> None:
    entered, go_on = anyio.Event(), anyio.Event()

    async def wait(call: Call) -> None:
        assert (call.method, call.path, call.idempotency_key) == ("POST", "/v1/customers", "k")
        entered.set()
        await go_on.wait()

    stripe_sim.endpoint.before.append(wait)
    transport = httpx.ASGITransport(stripe_sim.app)
    headers = {"authorization": f"Bearer {stripe_sim.settings.api_key}", "idempotency-key": "k"}
    async with (
        httpx.AsyncClient(
            transport=transport, base_url="http://stripe.test", headers=headers
        ) as http,
        anyio.create_task_group() as tasks,
    ):

        async def first() -> None:
            assert (await http.post("/v1/customers")).status_code == 200

        tasks.start_soon(first)
        await entered.wait()
        conflict = await http.post("/v1/customers")
        assert conflict.status_code == 409
        assert conflict.json()["error"]["code"] == "idempotency_key_in_use"
        go_on.set()
    assert len(stripe_sim.events()) == 1


def test_requests_can_be_refused_before_they_run(client: Any, stripe_sim: Simulator) -> None:
    async def refuse(call: Call) -> None:
        raise ApiError(429, "Too many requests.", code="rate_limit")

    stripe_sim.endpoint.before.append(refuse)
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.create({}, {"idempotency_key": "k"})
    stripe_sim.endpoint.before.clear()
    assert client.v1.customers.create({}, {"idempotency_key": "k"}).id


def test_the_same_seed_makes_the_same_ids(stripe_sim: Simulator) -> None:
    twins = [Simulator(stripe_sim.settings) for _ in range(2)]
    ids = [[twin.state.ids.new("cus") for _ in range(3)] for twin in twins]
    assert ids[0] == ids[1]
    assert len(ids[0][0]) == len("cus_") + 14


def test_where_it_is_served_must_be_known() -> None:
    with pytest.raises(RuntimeError, match="not being served"):
        _ = Simulator().url
    assert Simulator(public_url="https://pay.test").url == "https://pay.test"


def test_time_is_aware_and_goes_forward(stripe_sim: Simulator) -> None:
    with pytest.raises(ValueError, match="aware"):
        stripe_sim.advance_to(stripe_sim.now.replace(tzinfo=None))
    with pytest.raises(ValueError, match="go back"):
        stripe_sim.advance(days=-1)


def test_meters_and_their_events(client: Any, stripe_sim: Simulator) -> None:
    meter = client.v1.billing.meters.create(
        {
            "display_name": "Calls",
            "event_name": "calls",
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
            "value_settings": {"event_payload_key": "value"},
        }
    )
    with pytest.raises(stripe.InvalidRequestError, match="already an active meter"):
        client.v1.billing.meters.create(
            {
                "display_name": "Calls",
                "event_name": "calls",
                "default_aggregation": {"formula": "sum"},
            }
        )
    customer = new_payer(client).id
    now = int(stripe_sim.now.timestamp())

    def report(identifier: str = "", **changes: Any) -> Any:
        params: dict[str, Any] = {
            "event_name": "calls",
            "payload": {"stripe_customer_id": customer, "value": "5"},
            **({"identifier": identifier} if identifier else {}),
            **changes,
        }
        return client.v1.billing.meter_events.create(params)

    assert report("a").identifier == "a"
    assert len(report().identifier) == 32
    for again in ("a", "a"):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            report(again)
        assert caught.value.http_status == 400
        assert "An event already exists with identifier a." in str(caught.value)
    report(timestamp=now - 34 * 86_400)
    report(timestamp=now + 299)
    for wrong, param in (
        ({"timestamp": now - 36 * 86_400}, "timestamp"),
        ({"timestamp": now + 301}, "timestamp"),
        ({"event_name": "unheard"}, "event_name"),
        ({"payload": {"value": "1"}}, "payload[stripe_customer_id]"),
        (
            {"payload": {"stripe_customer_id": "cus_no", "value": "1"}},
            "payload[stripe_customer_id]",
        ),
        ({"payload": {"stripe_customer_id": customer}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": customer, "value": "x"}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": customer, "value": "NaN"}}, "payload[value]"),
        ({"payload": "x"}, "payload"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            report(**wrong)
        assert caught.value.param == param
    stripe_sim.advance(hours=25)
    assert report("a").created > now  # an identifier is unique for a day
    client.v1.billing.meters.update(meter.id, {"display_name": "API calls"})
    client.v1.billing.meters.deactivate(meter.id)
    with pytest.raises(stripe.InvalidRequestError, match="No active meter"):
        report("b")
    with pytest.raises(stripe.InvalidRequestError, match="already inactive"):
        client.v1.billing.meters.deactivate(meter.id)
    assert client.v1.billing.meters.list({"status": "active"}).data == []
    client.v1.billing.meters.reactivate(meter.id)
    found = client.v1.billing.meters.retrieve(meter.id)
    assert (found.display_name, found.status) == ("API calls", "active")
    types = [e["type"] for e in stripe_sim.events() if "meter" in e["type"]]
    assert types == [
        "billing.meter.created",
        "billing.meter.updated",
        "billing.meter.deactivated",
        "billing.meter.reactivated",
    ]


@pytest.mark.parametrize(("formula", "billed"), [("count", 2), ("last", 7), ("sum", 12)])
def test_a_meter_s_formula(client: Any, stripe_sim: Simulator, formula: str, billed: int) -> None:
    meter = client.v1.billing.meters.create(
        {
            "display_name": "Size",
            "event_name": "size",
            "default_aggregation": {"formula": formula},
        }
    )
    price = new_price(
        client,
        unit_amount=1,
        recurring={"interval": "month", "meter": meter.id, "usage_type": "metered"},
    )
    customer = new_payer(client)
    subscription = client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}]}
    )
    for value in ("5", "7"):
        stripe_sim.advance(minutes=1)
        client.v1.billing.meter_events.create(
            {"event_name": "size", "payload": {"stripe_customer_id": customer.id, "value": value}}
        )
    if formula == "count":
        client.v1.billing.meter_events.create(
            {
                "event_name": "size",
                "payload": {"stripe_customer_id": customer.id},
                "timestamp": int(stripe_sim.now.timestamp()) - 86_400,  # before the period
            }
        )
    stripe_sim.advance(days=31)
    latest = client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    assert client.v1.invoices.retrieve(str(latest)).total == billed
    stripe_sim.advance(days=31)
    latest = client.v1.subscriptions.retrieve(subscription.id).latest_invoice
    assert client.v1.invoices.retrieve(str(latest)).total == 0
