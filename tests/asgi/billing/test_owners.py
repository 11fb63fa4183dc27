"""Whose is it: each operation on an object is there for its owner alone.

`ROWS` has a row for every operation of customers with a parameter in its path, and for those that
name an object in their body. To anybody else the object does not exist: the answer is the one to an
id that nobody has, and Stripe is asked to change nothing. A new operation needs a row here.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gatekeeper.asgi import BillingOptions
from gatekeeper.asgi.billing import operations_of
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.asgi.billing.world import BUYER, SELLER, STRANGER, World
from tests.asgi.subscribing.conftest import Page, opened

pytestmark = pytest.mark.anyio

EVIDENCE = {"evidence": {"uncategorized_text": "It was delivered."}}


@dataclass(frozen=True)
class Row:
    """An operation on an object, in the order in which the owner asks for them.

    `names` says which of the world's objects a parameter stands for, where it is not the one of the
    parameter's own name. `{name}` in a value of the body is an object too.
    """

    operation: str
    owner: str = BUYER
    body: Any = None
    names: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.operation


SALE = {"order": "sale"}

ROWS = (
    Row("GET /invoices/{invoice}"),
    Row("POST /invoices/{invoice}/pay", body={}),
    Row("GET /checkout/{checkout}"),
    Row("GET /subscriptions/{subscription}"),
    Row("POST /subscriptions/{subscription}/preview", body={"quantity": 2}),
    Row("POST /subscriptions/{subscription}/change", body={"quantity": 2}),
    Row("POST /subscriptions/{subscription}/quantity", body={"quantity": 3}),
    Row("POST /subscriptions/{subscription}/pause", body={}),
    Row("POST /subscriptions/{subscription}/resume", body={}),
    Row("POST /subscriptions/{subscription}/cancel", body={}),
    Row("POST /payment-methods/{payment_method}/default", body={}),
    Row("DELETE /payment-methods/{payment_method}"),
    Row("GET /orders/{order}"),
    Row("POST /orders/{order}", body={"items": {"pot": 2}}),
    Row("POST /payment-intents", body={"order": "{order}"}),
    Row("POST /checkout", body={"order": "{order}"}),
    Row("POST /orders/{order}/cancel", body={}),
    Row("GET /orders/{order}/receipt", names={"order": "paid_order"}),
    Row("GET /payment-intents/{payment_intent}"),
    Row("POST /payment-intents/{payment_intent}/confirm", body={"payment_method": "pm_card_visa"}),
    Row("POST /payment-intents/{payment_intent}/cancel", body={}),
    Row("GET /sellers/orders/{order}", SELLER, names=SALE),
    Row("POST /payment-intents/{payment_intent}/capture", SELLER, {}, {"payment_intent": "held"}),
    Row("POST /sellers/orders/{order}/capture", SELLER, {}, SALE),
    Row("POST /sellers/orders/{order}/refund", SELLER, {}, SALE),
    Row("POST /sellers/orders/{order}/cancel", SELLER, {}, SALE),
    Row("GET /disputes/{dispute}", SELLER),
    Row("POST /disputes/{dispute}/evidence", SELLER, EVIDENCE),
    Row("POST /disputes/{dispute}/accept", SELLER, {}),
    Row("GET /top-ups/{unit}"),
    Row("DELETE /top-ups/{unit}"),
)

OWN = {
    "PUT /top-ups/{unit}": "a unit is of the catalogue: the asker's own top-up is made",
    "GET /top-ups/{unit}/payment": "there is no payment but while one waits",
}
"""What takes a name from everybody, and why."""


async def ask(page: Page, row: Row, who: str, ids: dict[str, str]) -> tuple[int, Any]:
    method, path = row.operation.split()
    named = {**ids, **{name: ids[other] for name, other in row.names.items()}}
    body: Any = row.body
    if isinstance(body, dict):
        body = {
            name: value.format(**named) if isinstance(value, str) else value
            for name, value in body.items()
        }
    found: tuple[int, Any] = await page.ask(method, path.format(**named), body, customer=who)
    return found


@pytest.fixture
async def page(stripe_sim: Simulator) -> AsyncIterator[Page]:  # noqa: F811
    async with opened(stripe_sim, MemoryStore(clock=lambda: stripe_sim.now)) as made:
        yield made


async def test_to_everybody_else_an_object_does_not_exist(page: Page) -> None:
    world = World(page)
    await world.fill()
    nobodys = {name: f"{one}x" for name, one in world.ids.items()} | {"unit": world.ids["unit"]}
    wrong: list[str] = []
    world.asked.clear()
    for row in ROWS:
        for who in {BUYER, SELLER, STRANGER} - {row.owner}:
            status, problem = await ask(page, row, who, world.ids)
            unknown = await ask(page, row, who, nobodys)
            told = str(problem)
            for name, one in nobodys.items():
                unknown = (unknown[0], str(unknown[1]).replace(one, world.ids[name]))
            if (status, problem["code"]) != (404, "not_found") or unknown != (404, told):
                wrong.append(f"{row} by {who}: {status} {told}; of nobody's: {unknown}")
            if world.asked:
                wrong.append(f"{row} by {who} asked Stripe for {world.asked}")
                world.asked.clear()
    assert not wrong, "\n".join(wrong)
    # And that is not because it would be there for nobody.
    for row in ROWS:
        status, found = await ask(page, row, row.owner, world.ids)
        if status == 404 or status >= 500:
            wrong.append(f"{row} by its owner: {status} {found}")
    assert not wrong, "\n".join(wrong)


async def test_nobody_pays_with_a_card_of_another(page: Page) -> None:
    world = World(page)
    await world.subscribed(BUYER)
    _, payment = await world.order(STRANGER, pay=False)
    path = f"/payment-intents/{payment}/confirm"
    for method in (world.ids["payment_method"], "pm_of_nobody"):
        body = {"payment_method": method}
        problem = await page.ask("POST", path, body, customer=STRANGER, status=404)
        assert (problem["code"], problem["detail"]) == (
            "not_found",
            "There is no such payment method.",
        )


async def test_every_operation_on_an_object_has_its_row(page: Page) -> None:
    operations = operations_of(page.gate, BillingOptions())
    on_objects = {
        f"{one.method} {one.path}"
        for one in operations
        if "{" in one.path and one.audience != "back_office"
    }
    named = {row.operation for row in ROWS}
    in_bodies = {"POST /payment-intents", "POST /checkout"}
    assert on_objects - named - set(OWN) == set(), "add a row to ROWS, or a reason to OWN"
    assert (named | set(OWN)) - on_objects == in_bodies


async def test_nobody_is_answered_but_where_anybody_may_ask(page: Page) -> None:
    public = set()
    for one in operations_of(page.gate, BillingOptions()):
        path = one.path.replace("{", "").replace("}", "")
        body: Any = None if one.body is None else {}
        answer = await page.browser.request(one.method, f"/billing{path}", json=body)
        if one.audience == "public":
            public.add(one.name)
        else:
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), one.name
    assert public == {"get_catalog"}
