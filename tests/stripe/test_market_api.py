"""Marketplaces through the billing API: hard cases of sellers, and who may do what."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gatekeeper import Gatekeeper, Settings, asgi
from gatekeeper.services.orders import OrderRequest, Quote
from gatekeeper.storage.orders import Order
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.stripe import Simulator
from tests.adapters.driver import client_of
from tests.asgi.apps import by_header
from tests.gates import ON_POSTGRESQL
from tests.stripe.shop import answer_in_process
from tests.stripe.world import CATALOG

pytestmark = pytest.mark.anyio

SELLER = {"x-customer": "seller_1"}
OTHER = {"x-customer": "seller_2"}
OFFICE = {"x-office": "carl"}
ON_SQLITE = pytest.mark.parametrize("bazaar", ["migrated_sqlite_url"], indirect=True)
"""Of what does not depend on the database; the hard cases run on both."""

WHY = {"reason": "the seller has called"}


class Bazaar:
    """A marketplace: what a seller sells costs 10.00 EUR, of which 1.00 is the platform's."""

    def __init__(self, gate: Gatekeeper, sim: Simulator, web: httpx.AsyncClient) -> None:
        self.gate, self.sim, self.web = gate, sim, web
        self.terms: dict[str, Any] = {}

    async def price(self, request: OrderRequest) -> Quote:
        offer = {"amount_minor": 1_000, "currency": "eur", "commission_minor": 100}
        return Quote(**{**offer, "seller": "seller_1", **self.terms})

    async def settle(self) -> None:
        for _ in range(2):
            await self.sim.deliver_pending()
            await self.gate.receiver.drain()
            await self.gate.work()

    async def post(self, path: str, body: Any = None, who: Any = SELLER) -> httpx.Response:
        return await self.web.post(f"/billing/{path}", json=body or {}, headers=who)

    async def get(self, path: str, who: Any = SELLER, **headers: str) -> Any:
        answer = await self.web.get(f"/billing/{path}", headers={**who, **headers})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def opened(self) -> str:
        """The seller, through the onboarding; their account."""
        made = await self.post("sellers", {"country": "IE"})
        assert (made.status_code, made.json()["ready"]) == (200, False)
        link = (await self.post("sellers/onboarding", {"return_url": "/sell"})).json()["url"]
        async with httpx.AsyncClient(verify=False) as browser:
            back = await browser.post(link, data={"action": "submit"})
        assert back.headers["location"] == "http://host.test/sell"
        assert (await self.get("sellers/me?refresh=true"))["ready"] is True
        account = (await self.gate.sellers.known("seller_1")).account_id
        assert account is not None
        return account

    async def bought(self, **terms: Any) -> Order:
        """Ada buys, and pays."""
        self.terms = terms
        order = await self.gate.orders.create("ada", {"pot": 1})
        intent = await self.gate.orders.pay(order.id, "ada")
        client: Any = self.sim.client()
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
        await self.sim.deliver_pending()
        await self.gate.receiver.drain()
        return await self.gate.orders.get(order.id, "ada")

    async def charge(self, order: Order) -> str:
        (payment,) = await self.gate.orders.payments(order.id, "ada")
        assert payment.charge_id is not None
        return payment.charge_id

    async def has(self) -> int:
        found = (await self.get("sellers/balance"))["data"]
        return sum(one["available_minor"] + one["pending_minor"] for one in found)


@pytest.fixture(params=["migrated_sqlite_url", ON_POSTGRESQL])
async def bazaar(request: pytest.FixtureRequest, stripe_sim: Simulator) -> AsyncIterator[Bazaar]:
    name = request.param if request.param.startswith("migrated") else "migrated_postgres_url"
    made = stripe_sim.webhook_endpoint("http://host.test/billing/webhooks")
    settings = Settings.load(
        database_url=request.getfixturevalue(name),
        stripe_secret_key=stripe_sim.settings.api_key,
        stripe_api_base=stripe_sim.url,
        stripe_webhook_secret=made["secret"],
        stripe_max_per_second=10_000,  # the simulator has no limit, but when it is told
        stripe_max_retries=0,
        background_work=False,
        disputes_borne_by="seller",
    )
    clock = ManualClock(stripe_sim.now)
    gate = Gatekeeper(CATALOG, settings, clock=lambda: max(clock(), stripe_sim.now))
    answer_in_process(gate.stripe, stripe_sim)
    by_header(gate)
    office = asgi.BillingOptions(back_office=lambda request: request.headers.get("x-office"))
    app = asgi.install(Starlette(), gate, options=office)
    url, secret = "http://host.test/billing/webhooks", made["secret"]
    stripe_sim.webhook_endpoint(url, app=app, secret=secret, connect=True)
    async with client_of(app) as web:
        bazaar = Bazaar(gate, stripe_sim, web)
        gate.orders.priced(bazaar.price)
        yield bazaar


async def test_case_63_a_transfer_that_failed_is_seen_by_the_office_and_retried_once(
    bazaar: Bazaar,
) -> None:
    account = await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    assert order.status == "paid"
    (owed,) = (await bazaar.get("admin/transfers", OFFICE))["data"]
    assert (owed["status"], owed["amount_minor"]) == ("owed", 900)  # as soon as it is paid
    bazaar.sim.set_capability(account, "transfers", "inactive")
    await bazaar.settle()
    (failed,) = (await bazaar.get("admin/transfers?status=failed", OFFICE))["data"]
    assert (failed["attempts"], "capabilities" in failed["last_error"]) == (1, True)
    check = (await bazaar.gate.health()).check("transfers")
    assert check is not None
    bazaar.sim.set_capability(account, "transfers", "active")
    path = f"admin/transfers/{failed['id']}/retry"
    assert (await bazaar.post(path, WHY, SELLER)).status_code == 403
    assert (await bazaar.post(path, WHY, OFFICE)).status_code == 200
    await bazaar.settle()
    (sent,) = (await bazaar.get("admin/transfers?status=sent", OFFICE))["data"]
    assert (sent["attempts"], await bazaar.has()) == (1, 900)
    assert (await bazaar.post(path, WHY, OFFICE)).status_code == 404
    discard = f"admin/transfers/{failed['id']}/discard"
    assert (await bazaar.post(discard, WHY, OFFICE)).status_code == 404
    assert len(bazaar.sim.events("transfer.created")) == 1
    (done,) = (await bazaar.get("admin/actions", OFFICE))["data"]
    assert (done["actor"], done["kind"], done["reason"]) == (
        *("carl", "transfer.retry"),
        WHY["reason"],
    )
    assert (done["before"]["status"], done["customer"]) == ("failed", "ada")


async def test_case_43_the_refund_of_a_destination_charge_is_reversed_and_recorded_once(
    bazaar: Bazaar,
) -> None:
    await bazaar.opened()
    order = await bazaar.bought()
    path = f"sellers/orders/{order.id}/refund"
    key = {**SELLER, "idempotency-key": "once"}
    for _ in range(2):
        made = await bazaar.post(path, {"amount_minor": 400}, key)
        assert made.status_code == 201, made.text
    for event in bazaar.sim.events("charge.refunded", "transfer.reversed"):
        bazaar.sim.redeliver(event["id"])
    await bazaar.settle()
    charge = await bazaar.charge(order)
    transfer = (await bazaar.gate.stripe_objects_of(f"charge/{charge}", "transfer"))[0]
    assert transfer.facts["amount_reversed"] == 400
    reversals = await bazaar.gate.stripe_objects_of(transfer, "transfer_reversal")
    assert [one.amount_minor for one in reversals] == [400]
    fees = bazaar.sim.events("application_fee.refunded")
    assert [one["data"]["object"]["amount_refunded"] for one in fees] == [40]
    sale = await bazaar.get(f"sellers/orders/{order.id}")
    assert (sale["returned_minor"], sale["share_minor"]) == (400, 900)
    (row,) = (await bazaar.get("sellers/report"))["data"]
    assert (row["sold_minor"], row["commission_minor"], row["given_back_minor"]) == (
        1_000,
        100,
        360,
    )
    assert await bazaar.has() == row["net_minor"] == 540
    assert (await bazaar.post(path, {"amount_minor": 601})).status_code in (409, 422)


@pytest.mark.parametrize("transfers", ["separate", "destination"])
async def test_case_37_a_dispute_is_taken_once_answered_won_and_given_back(
    transfers: str, bazaar: Bazaar
) -> None:
    await bazaar.opened()
    order = await bazaar.bought(transfers=transfers)
    await bazaar.settle()
    (known,) = (await bazaar.get("admin/sellers", OFFICE))["data"]
    assert (known["customer"], known["may_be_charged_for"]) == ("seller_1", True)
    bazaar.sim.dispute(await bazaar.charge(order))
    await bazaar.sim.deliver_pending()
    await bazaar.gate.receiver.drain()
    (back,) = (await bazaar.get("admin/paybacks", OFFICE))["data"]
    assert (back["status"], back["amount_minor"], back["order_id"]) == ("owed", 900, order.id)
    for event in bazaar.sim.events("charge.dispute.created", "charge.dispute.funds_withdrawn"):
        bazaar.sim.redeliver(event["id"])
    await bazaar.settle()
    assert (await bazaar.get("admin/paybacks", OFFICE))["data"] == []
    assert await bazaar.has() == 0
    (dispute,) = (await bazaar.get("disputes"))["data"]
    assert (dispute["order"], dispute["borne_by"], dispute["open"]) == (order.id, "seller", True)
    assert dispute["due_at"] is not None
    path = f"disputes/{dispute['id']}"
    refused: list[Any] = [{}, {"evidence": {}}, {"evidence": {"receipt": "file_1"}}]
    for bad in refused:
        assert (await bazaar.post(f"{path}/evidence", bad)).status_code == 400
    evidence = {"evidence": {"uncategorized_text": "winning_evidence"}}
    staged = await bazaar.post(f"{path}/evidence", {**evidence, "submit": False})
    assert (staged.json()["status"], staged.json()["has_evidence"]) == ("needs_response", True)
    handed_in = await bazaar.post(f"{path}/evidence", evidence)
    assert handed_in.json()["status"] == "under_review"
    bazaar.sim.advance(days=90)
    await bazaar.settle()
    assert ((await bazaar.get(path))["status"], await bazaar.has()) == ("won", 900)
    assert (await bazaar.post(f"{path}/accept")).status_code == 409  # it is decided
    refund = await bazaar.post(f"sellers/orders/{order.id}/refund", {"reason": "for peace"})
    assert refund.status_code == 201
    await bazaar.settle()
    assert await bazaar.has() == 0


async def test_case_38_an_inquiry_that_is_given_up_takes_nothing(bazaar: Bazaar) -> None:
    await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    bazaar.sim.dispute(await bazaar.charge(order), status="warning_needs_response")
    await bazaar.settle()
    (dispute,) = (await bazaar.get("disputes"))["data"]
    closed = await bazaar.post(f"admin/disputes/{dispute['id']}/accept", WHY, OFFICE)
    assert (closed.status_code, closed.json()["status"]) == (200, "warning_closed")
    (done,) = (await bazaar.get("admin/actions", OFFICE))["data"]
    assert (done["kind"], done["subject"]) == ("dispute.accept", f"dispute/{dispute['id']}")
    await bazaar.settle()
    assert await bazaar.has() == 900


@ON_SQLITE
async def test_a_dispute_is_never_given_up_by_the_back_office_without_a_record(
    bazaar: Bazaar,
) -> None:
    await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    dispute = bazaar.sim.dispute(await bazaar.charge(order))["id"]
    await bazaar.settle()
    bazaar.sim.misbehave("lost", path=f"/v1/disputes/{dispute}/close", times=1)
    click = {**OFFICE, "idempotency-key": "click"}
    path = f"admin/disputes/{dispute}/accept"
    assert (await bazaar.post(path, WHY, click)).status_code == 503
    await bazaar.settle()
    assert bazaar.sim.client().v1.disputes.retrieve(dispute).status == "lost"
    again = await bazaar.post(path, WHY, click)
    assert (again.status_code, again.json()["status"]) == (200, "lost")
    (done,) = (await bazaar.get("admin/actions", OFFICE))["data"]
    assert (done["kind"], done["actor"], done["reason"]) == (
        "dispute.accept",
        OFFICE["x-office"],
        WHY["reason"],
    )
    assert (await bazaar.post(path, WHY, OFFICE)).status_code == 409  # it is decided


@ON_SQLITE
async def test_a_dispute_that_the_bank_has_decided_can_not_be_answered(bazaar: Bazaar) -> None:
    """Though no webhook has told of it yet."""
    await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    dispute = bazaar.sim.dispute(await bazaar.charge(order))["id"]
    await bazaar.settle()
    bazaar.sim.close_dispute(dispute, "lost")
    evidence = {"evidence": {"uncategorized_text": "late"}}
    late = await bazaar.post(f"disputes/{dispute}/evidence", evidence)
    assert (late.status_code, late.json()["dispute_status"]) == (409, "lost"), late.text
    assert (await bazaar.get(f"disputes/{dispute}"))["status"] == "lost"
    given_up = await bazaar.post(f"disputes/{dispute}/accept")
    assert (given_up.status_code, given_up.json()["dispute_status"]) == (409, "lost")


@ON_SQLITE
async def test_a_dispute_that_was_given_up_is_answered_so_again(bazaar: Bazaar) -> None:
    """To a seller who has not heard the answer; whether we had heard Stripe's, or had not."""
    await bazaar.opened()
    for misbehaves in (False, True):
        order = await bazaar.bought(transfers="separate")
        dispute = bazaar.sim.dispute(await bazaar.charge(order))["id"]
        await bazaar.settle()
        if misbehaves:
            bazaar.sim.misbehave("lost", path=f"/v1/disputes/{dispute}/close", times=1)
        first = await bazaar.post(f"disputes/{dispute}/accept")
        assert first.status_code == (503 if misbehaves else 200)
        await bazaar.settle()
        for _ in range(2):
            again = await bazaar.post(f"disputes/{dispute}/accept")
            assert (again.status_code, again.json()["status"]) == (200, "lost"), again.text


@ON_SQLITE
async def test_a_dispute_that_the_bank_decides_first_is_not_given_up(bazaar: Bazaar) -> None:
    await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    dispute = bazaar.sim.dispute(await bazaar.charge(order))["id"]
    await bazaar.settle()
    bazaar.sim.close_dispute(dispute, "lost")
    for _ in range(2):
        late = await bazaar.post(f"disputes/{dispute}/accept")
        assert (late.status_code, late.json()["dispute_status"]) == (409, "lost"), late.text
        await bazaar.settle()


@ON_SQLITE
async def test_what_the_back_office_was_refused_stands_in_its_record(bazaar: Bazaar) -> None:
    await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    dispute = bazaar.sim.dispute(await bazaar.charge(order))["id"]
    await bazaar.settle()
    bazaar.sim.close_dispute(dispute, "lost")
    late = await bazaar.post(f"admin/disputes/{dispute}/accept", WHY, OFFICE)
    assert late.status_code == 409
    done = (await bazaar.get("admin/actions", OFFICE))["data"]
    assert {one["kind"] for one in done} == {"dispute.accept", "dispute.accept.refused"}
    assert {one["subject"] for one in done} == {f"dispute/{dispute}"}


async def test_case_39_a_refund_and_a_lost_dispute_never_take_more_than_the_share(
    bazaar: Bazaar,
) -> None:
    await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    await bazaar.settle()
    await bazaar.post(f"sellers/orders/{order.id}/refund", {"amount_minor": 300})
    await bazaar.settle()
    assert await bazaar.has() == 630
    bazaar.sim.dispute(await bazaar.charge(order))
    await bazaar.settle()
    (dispute,) = (await bazaar.get("disputes"))["data"]
    lost = await bazaar.post(f"disputes/{dispute['id']}/accept")
    assert (lost.status_code, lost.json()["status"]) == (200, "lost")
    await bazaar.settle()
    assert await bazaar.has() == 0
    (row,) = (await bazaar.get("sellers/report"))["data"]
    assert (row["given_back_minor"], row["net_minor"]) == (900, 0)


@ON_SQLITE
async def test_a_seller_captures_a_part_or_lets_go(bazaar: Bazaar) -> None:
    await bazaar.opened()
    held = await bazaar.bought(capture="manual", transfers="separate")
    (sale,) = (await bazaar.get("sellers/orders"))["data"]
    assert (sale["status"], sale["authorized_minor"]) == ("processing", 1_000)
    path = f"sellers/orders/{held.id}"
    assert (await bazaar.post(f"{path}/capture", {"amount_minor": 1_001})).status_code == 400
    taken = await bazaar.post(f"{path}/capture", {"amount_minor": 600})
    assert (taken.status_code, taken.json()["captured_minor"]) == (200, 600)
    assert (await bazaar.post(f"{path}/capture")).status_code == 409
    await bazaar.settle()
    assert await bazaar.has() == 500
    other = await bazaar.bought(capture="manual")
    canceled = await bazaar.post(f"sellers/orders/{other.id}/cancel")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    first = await bazaar.get("sellers/orders?limit=1")
    second = await bazaar.get(f"sellers/orders?limit=1&cursor={first['next_cursor']}")
    assert [one["id"] for one in (*first["data"], *second["data"])] == [other.id, held.id]


@ON_SQLITE
async def test_nobody_else_s_sales_disputes_and_money_are_to_be_had(bazaar: Bazaar) -> None:
    await bazaar.opened()
    order = await bazaar.bought(transfers="separate")
    bazaar.sim.dispute(await bazaar.charge(order))
    await bazaar.settle()
    (dispute,) = (await bazaar.get("disputes"))["data"]
    sale, dispute_path = f"sellers/orders/{order.id}", f"disputes/{dispute['id']}"
    evidence = {"evidence": {"uncategorized_text": "mine"}}
    for who in (OTHER, {"x-customer": "ada"}):
        assert (await bazaar.get("disputes", who))["data"] == []
        assert (await bazaar.get("sellers/orders", who))["data"] == []
        for path in (
            *("sellers/me", "sellers/balance", "sellers/payouts", "sellers/report"),
            *(sale, dispute_path),
        ):
            answer = await bazaar.web.get(f"/billing/{path}", headers=who)
            assert answer.status_code == 404, path
        for path, body in (
            ("sellers/onboarding", {}),
            ("sellers/dashboard", {}),
            (f"{sale}/capture", {}),
            (f"{sale}/refund", {}),
            (f"{sale}/cancel", {}),
            (f"{dispute_path}/evidence", evidence),
            (f"{dispute_path}/accept", {}),
        ):
            assert (await bazaar.post(path, body, who)).status_code == 404, path
    for path in ("admin/transfers", "admin/report"):
        assert (await bazaar.web.get(f"/billing/{path}", headers=SELLER)).status_code == 403
    elsewhere = {"return_url": "https://evil.test/"}
    assert (await bazaar.post("sellers/onboarding", elsewhere)).status_code == 400
    assert (await bazaar.post("sellers", {"country": "FR"})).status_code == 409


@ON_SQLITE
async def test_reports_and_payouts_add_up(bazaar: Bazaar) -> None:
    account = await bazaar.opened()
    assert (await bazaar.post("sellers/dashboard")).json()["url"].startswith(bazaar.sim.url)
    order = await bazaar.bought()
    await bazaar.bought(currency="jpy", amount_minor=500)
    await bazaar.post(f"sellers/orders/{order.id}/refund", {"amount_minor": 100})
    await bazaar.settle()
    euros, yen = (await bazaar.get("sellers/report"))["data"]
    assert (euros["currency"], euros["sales"], euros["net_minor"]) == ("eur", 1, 810)
    assert (yen["currency"], yen["net_minor"]) == ("jpy", 400)
    answer = await bazaar.web.get("/billing/sellers/report?format=csv", headers=SELLER)
    assert answer.headers["content-type"].startswith("text/csv")
    lines = answer.text.splitlines()
    assert lines[0].startswith("month,currency,sales,sold_minor")
    assert lines[1].endswith("eur,1,1000,100,900,100,90,810")
    rows = (await bazaar.get("admin/report", OFFICE))["data"]
    shown = {one["currency"]: one for one in rows}
    assert (shown["eur"]["charges_minor"], shown["eur"]["refunds_minor"]) == (1_000, -100)
    assert (shown["eur"]["transfers_minor"], shown["eur"]["commissions_minor"]) == (-900, 90)
    assert shown["jpy"]["charges_minor"] == 500
    for one in rows:
        parts = sum(one[f"{name}_minor"] for name in PARTS)
        assert one["net_minor"] == parts
    office = {**OFFICE, "accept": "text/csv"}
    answer = await bazaar.web.get("/billing/admin/report?since=2020-01", headers=office)
    assert answer.status_code == 400  # more than three years
    answer = await bazaar.web.get("/billing/admin/report", headers=office)
    assert answer.text.splitlines()[0].split(",")[:2] == ["month", "currency"]
    client: Any = bazaar.sim.client()
    bazaar.sim.advance(days=9)
    for amount in (100, 200):
        client.v1.payouts.create({"amount": amount, "currency": "eur"}, {"stripe_account": account})
    first = await bazaar.get("sellers/payouts?limit=1")
    second = await bazaar.get(f"sellers/payouts?limit=1&cursor={first['next_cursor']}")
    assert [one["amount_minor"] for one in (*first["data"], *second["data"])] == [200, 100]
    assert second["next_cursor"] is None


PARTS = ("charges", "refunds", "disputes", "fees", "commissions", "transfers", "other")
