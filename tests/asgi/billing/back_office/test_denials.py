"""Nobody is let into the back office but whom the host names: every route, one by one."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions, install
from gatekeeper.asgi.billing import operations_of
from gatekeeper.asgi.billing.operations import Operation
from gatekeeper.storage.memory import MemoryStore
from tests.adapters.driver import client_of
from tests.asgi.apps import by_header
from tests.gates import new_gate

pytestmark = pytest.mark.anyio

CLOSED = BillingOptions()


def nobody(request: Request) -> str | None:
    return None


async def nobody_later(request: Request) -> str | None:
    return None


def an_odd_one(request: Request) -> Any:
    return True  # a host that answers whether, and not who


def gate() -> Gatekeeper:
    made = new_gate("sqlite:///unused", store=MemoryStore())
    by_header(made)
    return made


def admin() -> Iterator[Operation]:
    for one in operations_of(gate(), BillingOptions(back_office=nobody)):
        if one.audience == "back_office":
            yield one


async def _no_app(*_: Any) -> None:
    raise AssertionError("it was not for the app")


async def _ask(client: httpx.AsyncClient, one: Operation) -> httpx.Response:
    path = one.path.replace("{", "x").replace("}", "x")
    body = None if one.body is None else {"reason": "r"}
    return await client.request(one.method, f"/billing{path}", json=body)


def test_all_that_is_below_admin_is_for_the_back_office() -> None:
    """And nothing of the back office is elsewhere."""
    for one in operations_of(gate(), BillingOptions(back_office=nobody)):
        assert one.path.startswith("/admin/") is (one.audience == "back_office"), one.path
    assert len(list(admin())) > 20


async def test_without_the_hosts_authorisation_there_are_no_such_routes() -> None:
    made = gate()
    assert [one for one in operations_of(made, CLOSED) if one.audience == "back_office"] == []
    async with client_of(install(_no_app, made, options=CLOSED)) as client:
        for one in admin():
            answer = await _ask(client, one)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), one.path
        document = (await client.get("/billing/openapi.json")).text
    assert "/admin" not in document


@pytest.mark.parametrize("refuses", [nobody, nobody_later, an_odd_one])
async def test_whom_the_host_does_not_name_is_refused_everywhere(refuses: Any) -> None:
    options = BillingOptions(back_office=refuses)
    async with client_of(install(_no_app, gate(), options=options)) as client:
        for one in admin():
            answer = await _ask(client, one)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), one.path


async def test_a_refusal_comes_before_anything_is_looked_at() -> None:
    """Who is refused learns nothing: not whether something is there, nor whether a body fits."""
    options = BillingOptions(back_office=nobody)
    async with client_of(install(_no_app, gate(), options=options)) as client:
        answer = await client.post("/billing/admin/refunds", content=b"{")
        assert answer.status_code == 403
        answer = await client.get("/billing/admin/customers/nobody?x=1")
        assert answer.status_code == 403


@pytest.mark.parametrize("actor", ["", "a\nb", "x" * 256])
async def test_an_actor_who_can_not_be_recorded_may_nothing(actor: str) -> None:
    options = BillingOptions(back_office=lambda _: actor)
    async with client_of(install(_no_app, gate(), options=options)) as client:
        answer = await client.get("/billing/admin/customers")
        assert answer.status_code >= 400


async def test_every_change_asks_for_a_reason() -> None:
    options = BillingOptions(back_office=lambda _: "ann")
    async with client_of(install(_no_app, gate(), options=options)) as client:
        for one in admin():
            if one.writes:
                assert one.body is not None
                assert "reason" in one.body.__struct_fields__, one.path
                path = one.path.replace("{", "x").replace("}", "x")
                answer = await client.post(f"/billing{path}", json={})
                assert answer.status_code == 400, one.path


SHOP, DESK = "https://www.shop.test", "https://desk.shop.test"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://host.test"}, 200),
        ({"origin": "http://host.test", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 200),  # somebody has followed a link
        ({"origin": DESK, "sec-fetch-site": "same-site"}, 200),
        ({"origin": SHOP, "sec-fetch-site": "same-site"}, 403),
        ({"origin": SHOP}, 403),
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_a_page_for_customers_may_not_even_read_the_back_office(
    headers: dict[str, str], status: int
) -> None:
    """Their pages are more, and more exposed: the cookies of staff must not serve them."""
    options = BillingOptions(
        back_office=lambda _: "ann", origins=(SHOP,), back_office_origins=(DESK,)
    )
    async with client_of(install(_no_app, gate(), options=options)) as client:
        answer = await client.get("/billing/admin/customers", headers=headers)
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "origin_refused"
        if headers != {"sec-fetch-site": "cross-site"}:
            body = {"reason": "r", "dry_run": True}
            changed = await client.post("/billing/admin/events/discard", json=body, headers=headers)
            assert changed.status_code == status
        mine = await client.get("/billing/me", headers=headers)
        assert mine.status_code == 200


async def test_the_back_office_s_own_pages_change_nothing_of_customers() -> None:
    options = BillingOptions(back_office=lambda _: "ann", back_office_origins=(DESK,))
    async with client_of(install(_no_app, gate(), options=options)) as client:
        asked = {"name": "credits", "quantity": 1}
        answer = await client.post("/billing/credits/check", json=asked, headers={"origin": DESK})
        assert answer.json()["code"] == "origin_refused"
        read = await client.get("/billing/admin/actions", headers={"origin": DESK})
        assert read.headers["access-control-allow-origin"] == DESK
