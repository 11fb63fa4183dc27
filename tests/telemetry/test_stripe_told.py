"""What is told of requests to Stripe, over the real `stripe` package and the simulator."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper.errors import StripeRequestError, StripeUnavailableError
from gatekeeper.stripe.client import Limits, StripeGateway
from gatekeeper.stripe.kinds import KINDS, Kind
from gatekeeper.stripe.telling import path_template
from gatekeeper.telemetry import metrics, spans
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.faults import Fault
from tests.telemetry.listening import Listener

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway(stripe_sim: Simulator, listener: Listener) -> AsyncIterator[StripeGateway]:
    async with StripeGateway(
        stripe_sim.settings.api_key,
        api_base=stripe_sim.url,
        max_network_retries=2,
        limits=Limits(outage_threshold=1, outage_retry_seconds=3600),
        telemetry=listener.telemetry,
    ) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/account", "/v1/account"),
        ("/v1/customers", "/v1/customers"),
        ("/v1/customers/cus_1", "/v1/customers/{id}"),
        ("/v1/products/my_own_name", "/v1/products/{id}"),
        ("/v1/invoices/in_1/lines?limit=3", "/v1/invoices/{id}/lines"),
        ("/v1/checkout/sessions/cs_1/expire", "/v1/checkout/sessions/{id}/expire"),
        ("/v1/billing/meters/mtr_1", "/v1/billing/meters/{id}"),
        ("/v1/billing_portal/sessions", "/v1/billing_portal/sessions"),
        ("/v1/customers/checkout/sources/card_1", "/v1/customers/{id}/sources/{id}"),
        ("/v2/core/events/evt_1", "/v2/core/events/{id}"),
    ],
)
def test_a_path_is_told_without_its_ids(path: str, template: str) -> None:
    assert path_template(path) == template


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_path_of_every_kind_that_is_fetched_has_one_template(kind: Kind) -> None:
    assert path_template(kind.path) == kind.path
    assert path_template(f"{kind.path}/some_id") == kind.path + "/{id}"


async def test_a_request_is_told_by_method_template_and_status(
    gateway: StripeGateway, listener: Listener
) -> None:
    made = await gateway.post("/v1/customers", {}, what="customers create")
    await gateway.fetch("customer", made["id"])
    get = {metrics.METHOD: "GET", metrics.TEMPLATE: "/v1/customers/{id}", metrics.STATUS: 200}
    post = {metrics.METHOD: "POST", metrics.TEMPLATE: "/v1/customers", metrics.STATUS: 200}
    assert sorted(listener.points(metrics.STRIPE_DURATION), key=str) == [(get, 1), (post, 1)]
    assert [span.attributes for span in listener.spans(spans.STRIPE_REQUEST.name)] == [post, get]
    assert made["id"] not in "".join(
        span.to_json() for span in listener.spans(spans.STRIPE_REQUEST.name)
    )


async def test_a_refusal_has_its_status_and_the_code_of_the_error(
    gateway: StripeGateway, listener: Listener
) -> None:
    with pytest.raises(StripeRequestError):
        await gateway.post("/v1/customers", {"nonsense": 1}, what="customers create")
    ((found, _),) = listener.points(metrics.STRIPE_DURATION)
    assert found[metrics.STATUS] == 400
    assert found[metrics.ERROR_TYPE] == StripeRequestError.code


async def test_attempts_beyond_the_first_are_counted(
    gateway: StripeGateway, listener: Listener, stripe_sim: Simulator
) -> None:
    stripe_sim.faults.add(Fault("server_error", path="/v1/customers", times=2))
    await gateway.post("/v1/customers", {}, what="customers create")
    about = {metrics.METHOD: "POST", metrics.TEMPLATE: "/v1/customers"}
    assert listener.points(metrics.STRIPE_RETRIES) == [(about, 2)]
    (span,) = listener.spans(spans.STRIPE_REQUEST.name)
    assert (span.attributes or {})[spans.RESENDS] == 2


async def test_a_request_that_is_not_sent_is_told_too(
    gateway: StripeGateway, listener: Listener, stripe_sim: Simulator
) -> None:
    stripe_sim.faults.add(Fault("server_error", path="/v1/customers", times=3))
    for _ in range(2):
        with pytest.raises(StripeUnavailableError):
            await gateway.post("/v1/customers", {}, what="customers create")
    by_status = {
        found.get(metrics.STATUS): found[metrics.ERROR_TYPE]
        for found, _ in listener.points(metrics.STRIPE_DURATION)
    }
    assert by_status == {500: StripeUnavailableError.code, None: StripeUnavailableError.code}
    assert listener.value(metrics.STRIPE_RETRIES) == 2  # none for the one that was not sent
