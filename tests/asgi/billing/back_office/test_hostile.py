"""What nobody's page would send: every list, of customers and of the back office, asked to go on
from places that are none."""

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from gatekeeper.asgi import BillingOptions
from gatekeeper.asgi.billing import operations_of
from tests.asgi.billing.back_office.office import ANN, FREE, Office

pytestmark = pytest.mark.anyio

PLACES: tuple[Any, ...] = (
    None,
    5,
    "a\0",
    [],
    {},
    ["2026-01-01T00:00:00", "a"],  # names no instant
    ["2026-01-01T00:00:00", "a", 1],
    ["0001-01-01T00:00:00+14:00", "a"],  # before all years
    ["9999-12-31T23:59:59-14:00", "a", 1],
    ["2026-01-01T00:00:00Z", "a\0"],
    ["2026-01-01T00:00:00Z", "a", 2**63],
    ["2026-01-01T00:00:00Z", "a", -1],
    ["2026-01-01T00:00:00Z", "a" * 600],
)


def cursor_of(place: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


async def test_no_list_breaks_on_a_cursor_that_is_not_its_own(durable_office: Office) -> None:
    office = durable_office
    lists = [
        one
        for one in operations_of(office.gate, BillingOptions(back_office=lambda _: "ann"))
        if one.method == "GET" and "cursor" in one.query.__struct_fields__
    ]
    assert len(lists) > 15
    broken = []
    for one in lists:
        path = "/billing" + one.path.replace("{", "x").replace("}", "x")
        for cursor in ("abc", "_", "A" * 900, *map(cursor_of, PLACES)):
            answer = await office.client.get(path, params={"cursor": cursor}, headers=ANN)
            if answer.status_code >= 500 and answer.status_code != 502:  # 502: Stripe knows none
                broken.append((one.path, cursor, answer.status_code))
    assert broken == []


async def test_what_is_asked_twice_at_once_under_one_key_is_done_once(
    durable_office: Office,
) -> None:
    office = durable_office

    async def give() -> Any:
        return await office.ask("customers/org_1/grants", 201, once="k", unit="credits", amount=20)

    answers = await asyncio.gather(*(give() for _ in range(5)))
    assert len({one["id"] for one in answers}) == 1
    assert await office.available() == FREE + 20
    assert len(await office.walk("actions")) == 1
