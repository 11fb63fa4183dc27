"""What a customer asks, of real databases; and what a stranger may send to them."""

import base64
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from gatekeeper.services.audit.cursors import digest_of, write_cursor
from gatekeeper.services.live.seen import marks_of, seen_of
from gatekeeper.services.rules import Rules
from gatekeeper.storage.audit import UsageQuery
from tests.asgi.customer.conftest import CATALOG, Place

pytestmark = pytest.mark.anyio


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode().rstrip("=")


async def test_all_of_it_comes_from_the_database(durable_place: Place) -> None:
    place = durable_place
    store, rules = place.gate.store, Rules(CATALOG)
    before = await store.read(lambda tx: marks_of(tx, ["ada", "eve"]))
    assert (await place.post("/credits/consume", {"name": "message"})).status_code == 200
    place.sim.advance(seconds=10)
    await place.buy("pro_monthly")
    place.sim.advance(seconds=10)
    await place.buy("topup_100")
    await place.gate.credits.consume("ada", "image", 2)
    marks = await store.read(lambda tx: marks_of(tx, ["ada", "eve"]))
    assert marks["eve"] == before["eve"]
    assert marks["ada"] != before["ada"]
    charges = marks["ada"].charges
    assert charges is not None
    assert (charges.count, charges.settled) == (2, 2)

    me = await place.ok("/me")
    credits = me["balances"]["credits"]
    assert (me["plan"], me["status"]) == ("pro", "active")
    assert (credits["available"], credits["spent"]) == (196, 8)
    assert [one["amount"] for one in credits["expiring"]] == [92]  # it burns first
    checked = (await place.post("/credits/check", {"name": "image", "quantity": 50})).json()
    assert (checked["allowed"], checked["amount"]) == (False, 200)
    usage = await place.ok("/usage", limit=1)
    rest = await place.ok("/usage", limit=1, cursor=usage["next_cursor"])
    used = {row["name"]: row["amount"] for row in [*usage["data"], *rest["data"]]}
    assert used == {"message": 1, "image": 8}
    first = await place.ok("/payments", limit=1)
    second = await place.ok("/payments", limit=1, cursor=first["next_cursor"])
    assert [page["data"][0]["amount_minor"] for page in (first, second)] == [500, 999]
    assert [one["total_minor"] for one in (await place.ok("/invoices"))["data"]] == [999]
    named = await place.post("/profile", {"name": "Ada", "locale": "fr"}, method="PATCH")
    assert (named.status_code, named.json()["locale"]) == (200, "fr")
    seen = await store.read(lambda tx: seen_of(tx, rules, "ada"))
    assert [one.amount_minor for one in seen.payments] == [500, 999]


async def test_no_cursor_of_a_strangers_making_is_an_error_of_ours(durable_place: Place) -> None:
    place = durable_place
    await place.buy("pro_monthly")
    await place.gate.credits.consume("ada", "message")
    wrong = [
        cursor("0001-01-01T00:00:00+14:00", "in_1"),
        cursor("9999-12-31T23:59:59-14:00", "in_1"),
        cursor("2026-01-01T00:00:00Z", "in_\x00"),
        cursor("2026-01-01T00:00:00", "in_1"),
        cursor("2026-01-01T00:00:00Z", ""),
        cursor({}),
    ]
    for path in ("/invoices", "/payments"):
        for one in wrong:
            answer = await place.browser.get(
                f"/billing{path}", params={"cursor": one}, headers={"x-customer": "ada"}
            )
            assert answer.status_code == 400, (path, answer.text)

    span = await place.ok("/usage")
    since, until = (datetime.fromisoformat(span[name]) for name in ("since", "until"))
    digest = digest_of("usage", query=UsageQuery(customer="ada", since=since, until=until))
    places: list[tuple[object, str, str]] = [
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "credits", ""),
        (until + timedelta(days=2), "credits", ""),
        (since, "credits\x00", ""),
        (since, "credits", "\x00"),
    ]
    for spot in places:
        answer = await place.browser.get(
            "/billing/usage",
            params={"cursor": write_cursor(digest, spot)},
            headers={"x-customer": "ada"},
        )
        assert answer.status_code == 400, answer.text
    assert (await place.ok("/usage", cursor=write_cursor(digest, (since, "", ""))))["data"]
