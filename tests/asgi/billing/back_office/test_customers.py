"""Customers over HTTP: looking them up, and what is done for them, each with its record."""

from typing import Any

import pytest

from gatekeeper import OrderRequest, Quote
from gatekeeper.errors import CreditsFrozenError, CustomerNotFoundError
from tests.asgi.billing.back_office.office import FREE, REASON, Office

pytestmark = pytest.mark.anyio


async def test_customers_are_found_and_paged(office: Office) -> None:
    for number in range(2, 6):
        await office.gate.customers.ensure(f"org_{number}", email=f"u{number}@example.org")
    ids = [one["id"] for one in await office.walk("customers")]
    assert ids == [f"org_{number}" for number in range(1, 6)]
    (ada,) = await office.walk("customers", email="ADA@example.org")
    assert (ada["id"], ada["name"], ada["stripe_customer"]) == ("org_1", "Ada", None)
    assert [one["id"] for one in await office.walk("customers", name="aD")] == ["org_1"]
    await office.gate.customers.delete("org_5")
    assert "org_5" not in [one["id"] for one in await office.walk("customers")]
    assert "org_5" in [one["id"] for one in await office.walk("customers", deleted=True)]


async def test_a_customers_whole_picture(office: Office) -> None:
    await office.buy("topup_100")
    await office.buy("team_monthly")
    await office.ask("customers/org_1/freezes", 201, key="case/17")

    @office.gate.orders.priced
    async def price(request: OrderRequest) -> Quote:
        return Quote(amount_minor=700, currency="eur")

    await office.gate.orders.create("org_1", {"cup": 1}, reference="basket-7")
    await office.gate.top_ups.turn_on(
        "org_1", "credits", threshold=10, pack="credits_100", cap_minor=5_000, actor="ada"
    )
    await office.ask("customers/org_1/overrides", 201, kind="limit", key="seats", value=None)
    found = await office.get("customers/org_1")
    assert found["plans"] == ["free", "pro", "team"]
    assert found["limits"]["seats"] is None
    assert found["customer"]["email"] == "ada@example.org"
    assert [one["status"] for one in found["subscriptions"]] == ["active"]
    assert found["subscriptions"][0]["plans"] == ["team"]
    assert [one["status"] for one in found["purchases"]] == ["paid", "paid"]
    assert {one["status"] for one in found["invoices"]} == {"paid"}
    assert {one["kind"] for one in found["grants"]} >= {"top_up"}
    (order,) = found["orders"]
    assert (order["reference"], order["amount_minor"], order["status"]) == (
        "basket-7",
        700,
        "pending",
    )
    (top_up,) = found["top_ups"]
    assert (top_up["unit"], top_up["on"], top_up["cap_minor"]) == ("credits", True, 5_000)
    (freeze,) = found["freezes"]
    assert (freeze["key"], freeze["reason"], freeze["lifted_at"]) == ("case/17", REASON, None)
    (override,) = found["overrides"]
    assert (override["value"], override["effect"], override["actor"]) == (
        None,
        "in_force",
        "ann@support",
    )
    assert [one["kind"] for one in found["actions"]] == ["customer.override", "customer.freeze"]
    assert any("team" in line for line in found["explanation"])


async def test_a_grant_and_its_revocation_are_recorded_with_what_they_change(
    durable_office: Office,
) -> None:
    office = durable_office
    given = await office.ask(
        "customers/org_1/grants", 201, once="k1", unit="credits", amount=20, kind="promotional"
    )
    assert (given["actor"], given["reason"], given["customer"]) == ("ann@support", REASON, "org_1")
    assert (given["before"]["available"], given["after"]["available"]) == (FREE, FREE + 20)
    again = await office.ask(
        "customers/org_1/grants", 201, once="k1", unit="credits", amount=20, kind="promotional"
    )
    assert again == given
    assert await office.available() == FREE + 20
    grant = given["after"]["grant"]
    assert given["subject"] == f"grant/{grant}"
    path = f"customers/org_1/grants/{grant}/revoke"
    office.sim.advance(seconds=1)
    ended = await office.ask(path, unit="credits")
    assert (ended["after"]["lapsed"], ended["after"]["available"]) == (20, FREE)
    assert (await office.ask(path, 404, unit="credits"))["code"] == "not_found"
    listed = await office.walk("actions", customer="org_1")
    assert [one["kind"] for one in listed] == ["credits.revoke", "credits.grant"]
    assert listed == [ended, given]
    entries = await office.get("customers/org_1")
    (kept,) = [one for one in entries["grants"] if one["id"] == grant]
    assert (kept["reason"], kept["actor"], kept["kind"]) == (REASON, "ann@support", "promotional")


async def test_freezing_and_lifting_are_recorded_and_take_effect_at_once(office: Office) -> None:
    await office.ask("customers/org_1/freezes", 201, key="case/1")
    with pytest.raises(CreditsFrozenError):
        await office.gate.reserve("org_1", "credits", 1)
    assert (await office.ask("customers/org_1/freezes", 409, key="case/1"))["code"] == "conflict"
    lifted = await office.ask("customers/org_1/unfreeze")
    assert lifted["after"] == {"lifted": ["case/1"]}
    await office.ask("customers/org_1/unfreeze", 404)
    async with office.gate.reserve("org_1", "credits", 1):
        pass


@pytest.mark.parametrize(
    ("kind", "key", "value", "plans"),
    [
        ("plan", "team", True, ["free", "pro", "team"]),
        ("feature", "downloads", True, ["free"]),
        ("limit", "seats", 7, ["free"]),
    ],
)
async def test_exceptions_are_made_and_ended(
    office: Office, kind: str, key: str, value: object, plans: list[str]
) -> None:
    asked: dict[str, Any] = {"kind": kind, "key": key, "value": value}
    made = await office.ask("customers/org_1/overrides", 201, **asked)
    assert (made["before"], made["after"]["value"]) == (None, value)
    found = await office.gate.entitlements("org_1")
    assert sorted(found.plans) == plans
    assert ("downloads" in found.features) is (kind != "limit")
    ended = await office.ask("customers/org_1/overrides/end", kind=kind, key=key)
    assert ended["before"]["value"] == value
    assert sorted((await office.gate.entitlements("org_1")).plans) == ["free"]
    await office.ask("customers/org_1/overrides/end", 404, kind=kind, key=key)


REFUSED: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("customers/nobody/grants", {"unit": "credits", "amount": 1}, 404),
    ("customers/nobody/freezes", {"key": "case/1"}, 404),
    ("customers/nobody/unfreeze", {}, 404),
    ("customers/nobody/overrides", {"kind": "plan", "key": "pro", "value": True}, 404),
    ("customers/nobody/overrides/end", {"kind": "plan", "key": "pro"}, 404),
    ("customers/nobody/grants/g/revoke", {"unit": "credits"}, 404),
    ("customers/nobody/erase", {}, 404),
    ("customers/org_1/grants", {"unit": "gems", "amount": 1}, 400),
    ("customers/org_1/grants", {"unit": "credits", "amount": 0}, 400),
    ("customers/org_1/grants", {"unit": "credits", "amount": 1, "expires_at": "2030"}, 400),
    ("customers/org_1/overrides", {"kind": "plan", "key": "gold", "value": True}, 400),
    ("customers/org_1/overrides", {"kind": "plan", "key": "pro", "value": False}, 400),
    ("customers/org_1/overrides", {"kind": "feature", "key": "downloads", "value": 1}, 400),
    ("customers/org_1/overrides", {"kind": "limit", "key": "seats", "value": True}, 400),
    ("customers/org_1/overrides", {"kind": "limit", "key": "seats", "value": -1}, 400),
)


async def test_what_can_not_be_done_is_refused_and_leaves_no_record(office: Office) -> None:
    for path, body, status in REFUSED:
        await office.ask(path, status, **body)
    assert await office.walk("actions") == []


async def test_an_erasure_is_recorded_under_the_pseudonym_and_wipes_what_was_said(
    durable_office: Office,
) -> None:
    office = durable_office
    await office.ask("customers/org_1/grants", 201, unit="credits", amount=20)
    office.sim.advance(seconds=1)
    first = await office.ask("customers/org_1/erase", once="k", force=True)
    assert first["customer"].startswith("erased_")
    assert await office.ask("customers/org_1/erase", once="k", force=True) == first
    with pytest.raises(CustomerNotFoundError):
        await office.gate.entitlements("org_1")
    answer = await office.client.get(
        "/billing/admin/customers/org_1", headers={"x-actor": "ann@support"}
    )
    assert answer.status_code == 404
    erased, granted = await office.walk("actions", customer=first["customer"])
    assert (erased["kind"], erased["reason"]) == ("customer.erase", REASON)
    assert (granted["kind"], granted["reason"], granted["after"]) == ("credits.grant", "", None)
