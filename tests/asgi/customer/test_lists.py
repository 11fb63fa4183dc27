"""Catalogue, usage, invoices, payments, credits and the profile: each shows the asker's own."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions, billing_routes
from gatekeeper.errors import ConflictError, CustomerNotFoundError, UnknownNameError
from gatekeeper.services import customers
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.stripe.profiles import ProfileChanges, Profiles
from gatekeeper.testing.stripe import Simulator
from tests.asgi.customer.conftest import Place

pytestmark = pytest.mark.anyio


async def test_anybody_sees_what_can_be_bought_and_no_more(place: Place) -> None:
    answer = await place.browser.get("/billing/catalog")  # nobody is signed in
    assert answer.status_code == 200
    catalog = answer.json()
    assert catalog["publishable_key"] == "pk_test_1"
    assert [plan["plan"] for plan in catalog["plans"]] == ["free", "pro"]
    pro = catalog["plans"][1]
    assert pro["prices"] == [
        {
            "price": "pro_monthly",
            "amount_minor": 999,
            "currency": "eur",
            "every": "month",
            "every_count": 1,
        }
    ]
    assert (pro["features"], pro["includes"]) == (["downloads"], ["free"])
    assert pro["limits"] == {"seats": {"value": 5, "per_quantity": 0}}
    assert {
        grant["unit"]: grant["amount"] for grant in pro["grants"] if grant["every"] != "once"
    } == {
        "credits": 100,
        "exports": 10,
    }
    assert catalog["packs"][0]["grants"] == [{"unit": "credits", "amount": 100}]
    assert catalog["units"] == {"credits": {"scale": 0}, "exports": {"scale": 0}}


async def test_usage_is_told_by_day_and_feature_in_pages(place: Place) -> None:
    consume = place.gate.credits.consume
    await consume("ada", "message", 2)
    await consume("eve", "message", 5)
    await place.sim.play(days=1)
    await consume("ada", "message")
    whole = await place.ok("/usage")
    assert [(row["name"], row["amount"], row["captures"]) for row in whole["data"]] == [
        ("message", 2, 1),
        ("message", 1, 1),
    ]
    assert (whole["totals"], whole["next_cursor"]) == ({"credits": 3}, None)

    first = await place.ok("/usage", limit=1)
    second = await place.ok("/usage", limit=1, cursor=first["next_cursor"])
    assert [*first["data"], *second["data"]] == whole["data"]
    assert second["next_cursor"] is None

    until = whole["data"][1]["start"]
    early = await place.ok("/usage", until=until, by="hour", feature="message")
    assert (early["totals"], early["until"]) == ({"credits": 2}, until)
    assert (await place.ok("/usage", unit="exports"))["data"] == []


async def test_metered_use_is_told_by_day_and_meter_in_pages(place: Place) -> None:
    record = place.gate.record_usage
    await record("ada", "minutes", 5, id="1")
    await record("ada", "tokens", 700, id="2")
    await record("eve", "minutes", 9, id="3")
    place.sim.advance(days=1)
    await record("ada", "minutes", 2, id="4")
    await record("ada", "minutes", 1, id="5")
    whole = (await place.ok("/usage/meters"))["data"]
    assert [(row["meter"], row["quantity"]) for row in whole] == [
        ("minutes", 5),
        ("tokens", 700),
        ("minutes", 3),
    ]
    pages, cursor = [], None
    for _ in range(3):
        page = await place.ok("/usage/meters", limit=1, **({"cursor": cursor} if cursor else {}))
        cursor = page["next_cursor"]
        pages += page["data"]
    assert (pages, cursor) == (whole, None)
    early = await place.ok("/usage/meters", until=whole[-1]["start"])
    assert early["data"] == whole[:2]
    await place.gate.work()  # sealed: it is the same
    assert (await place.ok("/usage/meters"))["data"] == whole


NO_RANGES = [
    "since=2026-01-01",
    "since=2026-01-01T00:00:00",
    "since=0001-01-01T00:00:00Z",
    "until=9999-12-31T23:59:59-14:00",
    "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
    "since=2020-01-01T00:00:00Z&until=2026-01-01T00:00:00Z",
    "by=week",
    "limit=501",
    "cursor=bm8",
    "customer=eve",
]


async def test_a_range_that_is_none_is_a_400(place: Place) -> None:
    for query in NO_RANGES:
        path = f"/billing/usage?{query}"
        answer = await place.browser.get(path, headers={"x-customer": "ada"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), query


async def test_invoices_and_payments_are_the_customers_own(place: Place) -> None:
    await place.buy("pro_monthly")
    place.sim.advance(seconds=10)
    await place.buy("topup_100")
    await place.sim.play(days=32)
    await place.settle()
    invoices = (await place.ok("/invoices"))["data"]
    assert [(one["status"], one["total_minor"], one["reason"]) for one in invoices] == [
        ("paid", 999, "subscription_cycle"),
        ("paid", 999, "subscription_create"),
    ]
    payments = await place.ok("/payments")
    assert [one["amount_minor"] for one in payments["data"]] == [999, 500, 999]
    assert all(one["refunds"] == [] for one in payments["data"])

    first = await place.ok("/payments", limit=2)
    rest = await place.ok("/payments", limit=2, cursor=first["next_cursor"])
    assert [*first["data"], *rest["data"]] == payments["data"]
    assert rest["next_cursor"] is None

    one = await place.ok(f"/invoices/{invoices[0]['id']}")
    assert one["invoice"] == invoices[0]
    assert one["pdf_url"].startswith("http")
    assert one["hosted_url"].startswith("http")

    for path in ("/invoices", "/payments"):
        assert (await place.ok(path, customer="eve"))["data"] == []
    theirs = f"/billing/invoices/{invoices[0]['id']}"
    for answer in (
        await place.browser.get(theirs, headers={"x-customer": "eve"}),
        await place.post(f"/invoices/{invoices[0]['id']}/pay", {}, customer="eve"),
        await place.browser.get("/billing/invoices/in_none", headers={"x-customer": "ada"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_refund_stands_with_its_payment(place: Place) -> None:
    await place.buy("topup_100")
    (payment,) = (await place.ok("/payments"))["data"]
    place.sim.client().v1.refunds.create(
        {"payment_intent": payment["payment_intent"], "amount": 200}
    )
    await place.settle()
    (payment,) = (await place.ok("/payments"))["data"]
    assert payment["refunded_minor"] == 200
    assert [(one["status"], one["amount_minor"]) for one in payment["refunds"]] == [
        ("succeeded", 200)
    ]


async def test_drafts_are_nobodys_to_see_and_take_no_place_on_a_page(place: Place) -> None:
    await place.buy("pro_monthly")
    (subscription,) = (await place.ok("/me"))["subscriptions"]
    renewal = datetime.fromisoformat(subscription["renews_at"])
    await place.sim.play_to(renewal + timedelta(minutes=5))  # an invoice is a draft for an hour
    await place.settle()
    copies = await place.gate.stripe_objects("ada", "invoice")
    assert [one.status for one in copies] == ["draft", "paid"]
    page = await place.ok("/invoices", limit=1)
    assert [one["status"] for one in page["data"]] == ["paid"]
    assert page["next_cursor"] is None


async def test_an_open_invoice_is_paid_once_and_brings_access_at_once(place: Place) -> None:
    await place.buy("pro_monthly")
    await place.break_card()
    await place.sim.play(days=32)
    await place.settle()
    (warning,) = (await place.ok("/me"))["warnings"]
    path = f"/invoices/{warning['invoice']}/pay"
    declined = await place.post(path, {})
    assert declined.status_code == 402, declined.text
    assert declined.json()["code"] == "card_declined"
    assert declined.headers["content-language"] == "en"
    assert (await place.ok("/me"))["status"] == "past_due"

    await place.mend_card()
    before = len(place.sim.events("charge.succeeded"))
    for _ in range(2):
        paid = await place.post(path, {}, **{"idempotency-key": "pay-1"})
        assert (paid.status_code, paid.json()["status"]) == (200, "paid"), paid.text
    assert len(place.sim.events("charge.succeeded")) == before + 1
    me = await place.ok("/me")  # and no webhook was delivered
    assert (me["status"], me["warnings"]) == ("active", [])


async def test_a_click_after_it_was_paid_elsewhere_is_no_error(place: Place) -> None:
    await place.buy("pro_monthly")
    await place.break_card()
    await place.sim.play(days=32)
    await place.settle()
    (warning,) = (await place.ok("/me"))["warnings"]
    invoices = place.sim.client().v1.invoices
    invoices.pay(warning["invoice"], {"paid_out_of_band": True})  # and nobody has told us yet
    for _ in range(2):
        paid = await place.post(f"/invoices/{warning['invoice']}/pay", {})
        assert (paid.status_code, paid.json()["status"]) == (200, "paid"), paid.text


async def test_a_click_that_a_crash_cut_off_pays_once_if_it_is_still_to_be_paid(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*args: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    async def click(invoice: str) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(place.gate.stripe, "post", dies)
            with pytest.raises(KeyboardInterrupt):
                await place.gate.invoices.pay("ada", invoice)

    await place.buy("pro_monthly")
    await place.break_card()
    await place.sim.play(days=32)
    await place.settle()
    (warning,) = (await place.ok("/me"))["warnings"]
    await click(warning["invoice"])
    await place.mend_card()
    taken = len(place.sim.events("charge.succeeded"))
    for _ in range(2):
        place.sim.advance(minutes=2)
        await place.gate.work()
    await place.settle()
    assert len(place.sim.events("charge.succeeded")) == taken + 1
    assert (await place.ok("/me"))["status"] == "active"

    await place.break_card()
    await place.sim.play(days=32)
    await place.settle()
    (warning,) = (await place.ok("/me"))["warnings"]
    await click(warning["invoice"])
    await place.mend_card()
    place.sim.client().v1.invoices.pay(warning["invoice"])  # by somebody else, meanwhile
    taken = len(place.sim.events("charge.succeeded"))
    place.sim.advance(minutes=2)
    await place.gate.work()
    assert len(place.sim.events("charge.succeeded")) == taken


async def test_what_is_void_is_not_paid(place: Place) -> None:
    await place.buy("pro_monthly")
    await place.break_card()
    await place.sim.play(days=32)
    await place.settle()
    (warning,) = (await place.ok("/me"))["warnings"]
    place.sim.client().v1.invoices.void_invoice(warning["invoice"])
    await place.settle()
    answer = await place.post(f"/invoices/{warning['invoice']}/pay", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_check_holds_nothing_and_says_why_not(place: Place) -> None:
    allowed = await place.post("/credits/check", {"name": "image"})
    assert allowed.json() == {
        "allowed": True,
        "code": None,
        "unit": "credits",
        "amount": 4,
        "available": 5,
    }
    refused = await place.post("/credits/check", {"name": "image", "quantity": 2})
    assert refused.json() | {"code": ""} == {
        "allowed": False,
        "code": "",
        "unit": "credits",
        "amount": 8,
        "available": 5,
    }
    assert refused.json()["code"] == "credits_required"
    unknown = await place.post("/credits/check", {"name": "yacht"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "unknown_name")
    await place.gate.freeze("ada", "a doubt", key="doubt")
    frozen = (await place.post("/credits/check", {"name": "message"})).json()
    assert (frozen["allowed"], frozen["code"]) == (False, "credits_frozen")
    balance = await place.gate.balance("ada", "credits")
    assert (balance.available, balance.held) == (5, 0)


async def test_a_check_counts_holds_that_are_over(place: Place) -> None:
    await place.gate.reserve("ada", "credits", 5, ttl=timedelta(minutes=1))
    assert not (await place.post("/credits/check", {"name": "message"})).json()["allowed"]
    place.sim.advance(minutes=2)
    assert (await place.post("/credits/check", {"name": "message"})).json()["allowed"]


async def test_browsers_use_what_the_app_lets_them_use(place: Place) -> None:
    for _ in range(2):
        used = await place.post(
            "/credits/consume", {"name": "message", "quantity": 2}, **{"idempotency-key": "one"}
        )
        assert (used.status_code, used.json()) == (
            200,
            {"unit": "credits", "amount": 2, "available": 3},
        )
    another = await place.post(
        "/credits/consume", {"name": "message", "quantity": 3}, **{"idempotency-key": "one"}
    )
    assert another.status_code == 409
    refused = await place.post("/credits/consume", {"name": "image"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    unknown = await place.post("/credits/consume", {"name": "yacht"})
    assert unknown.status_code == 400
    too_many = await place.post("/credits/consume", {"name": "message", "quantity": 4})
    assert (too_many.status_code, too_many.json()["upgrade_url"]) == (402, "/pricing")
    assert (await place.gate.balance("ada", "credits")).available == 3


async def test_what_browsers_may_use_must_be_in_the_catalogue(place: Place) -> None:
    with pytest.raises(UnknownNameError):
        billing_routes(place.gate, BillingOptions(consumable=("yacht",)))


# -- the profile ----------------------------------------------------------------------------------


async def changed(place: Place, body: Any) -> httpx.Response:
    return await place.post("/profile", body, method="PATCH")


async def stripe_customer(place: Place) -> Any:
    row = await place.gate.store.read(lambda tx: tx.customers.get("ada"))
    assert row is not None
    if row.stripe_id is None:
        return None
    return place.sim.client().v1.customers.retrieve(row.stripe_id).to_dict()


async def test_a_profile_is_kept_here_and_told_to_stripe(place: Place) -> None:
    empty = {"name": None, "email": None, "locale": None, "address": None}
    assert await place.ok("/profile") == empty
    assert (await changed(place, {})).json() == empty

    named = await changed(place, {"name": "Ada", "email": "ada@example.com"})
    assert (named.status_code, named.json()["name"]) == (200, "Ada")
    assert await stripe_customer(place) is None  # nothing is bought: Stripe need not know

    address = {"line1": "1 Rue A", "city": "Lyon", "postal_code": "69001", "country": "FR"}
    full = await changed(place, {"locale": "fr", "address": address, "email": "a@example.com"})
    assert full.status_code == 200, full.text
    told = await stripe_customer(place)
    assert (told["name"], told["email"]) == ("Ada", "a@example.com")
    assert (told["preferred_locales"], told["address"]["city"]) == (["fr"], "Lyon")
    shown = await place.ok("/profile")
    assert shown["address"] == {**address, "line2": None, "state": None}
    assert (shown["email"], shown["locale"]) == ("a@example.com", "fr")
    await changed(place, {"address": {"country": "BE"}})
    assert (await place.ok("/profile"))["address"]["city"] is None
    assert (await place.ok("/profile", customer="eve")) == empty


async def test_a_profile_outlives_what_stripe_has_deleted(place: Place) -> None:
    await changed(place, {"locale": "en"})
    told = await stripe_customer(place)
    place.sim.client().v1.customers.delete(told["id"])
    assert (await place.ok("/profile"))["locale"] is None
    again = await changed(place, {"name": "Ada", "locale": "nl"})
    assert (again.status_code, again.json()["locale"]) == (200, "nl")
    assert (await stripe_customer(place))["id"] != told["id"]


async def test_without_stripe_there_are_names_and_addresses_of_e_mail_alone() -> None:
    async with MemoryStore() as store:
        profiles = Profiles(store, None)
        named = await profiles.update("ada", ProfileChanges(name="Ada", email="ada@example.com"))
        assert (named.name, named.email, named.address) == ("Ada", "ada@example.com", None)
        with pytest.raises(ConflictError):
            await profiles.update("ada", ProfileChanges(locale="fr"))
        await store.write(lambda tx: customers.delete(tx, "ada"))
        with pytest.raises(CustomerNotFoundError):
            await profiles.get("ada")


NO_PROFILES: list[Any] = [
    {"name": ""},
    {"name": None},
    {"email": "nobody"},
    {"email": "a@b\n"},
    {"locale": "français"},
    {"address": {"country": "France"}},
    {"address": {"planet": "Mars"}},
    {"stripe_id": "cus_other"},
]


async def test_a_profile_that_is_none_is_a_400(place: Place) -> None:
    for body in NO_PROFILES:
        assert (await changed(place, body)).status_code == 400, body


async def test_a_change_that_a_crash_delayed_undoes_no_later_one(
    place: Place, stripe_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await changed(place, {"locale": "en"})).status_code == 200
    gate: Gatekeeper = place.gate

    async def dies(*args: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(gate.stripe, "post", dies)
        with pytest.raises(KeyboardInterrupt):
            await gate.profiles.update("ada", ProfileChanges(name="Lost"))
    place.sim.advance(seconds=5)
    await changed(place, {"name": "Later"})
    place.sim.advance(minutes=3)
    await gate.work()
    assert (await stripe_customer(place))["name"] == "Later"
    assert (await place.ok("/profile"))["name"] == "Later"

    with monkeypatch.context() as patched:
        patched.setattr(gate.stripe, "post", dies)
        with pytest.raises(KeyboardInterrupt):
            await gate.profiles.update("ada", ProfileChanges(name="Found"))
    place.sim.advance(minutes=3)
    await gate.work()
    assert (await stripe_customer(place))["name"] == "Found"
    assert (await place.ok("/profile"))["name"] == "Found"
