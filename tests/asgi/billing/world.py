"""A world in which there is one of everything that the billing API knows."""

from typing import Any

import httpx

from gatekeeper import OrderRequest, Quote
from tests.asgi.subscribing.conftest import Page

BUYER, SELLER, STRANGER = "ada", "sam", "eve"
TOP_UP = {"threshold": 10, "pack": "credits_100", "cap_minor": 5_000}


class World:
    """Ada has bought all there is to buy, some of it from Sam; Eve buys and sells too."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.ids: dict[str, str] = {"unit": "credits"}
        self.quote: dict[str, Any] = {}
        self.asked: list[str] = []
        """What Stripe was asked to change."""
        page.gate.orders.priced(self._price)
        page.sim.on_exchange(
            lambda one: self.asked.append(one.operation) if one.method != "GET" else None
        )

    async def _price(self, request: OrderRequest) -> Quote:
        return Quote(amount_minor=1_000, currency="eur", **self.quote)

    async def fill(self) -> None:
        for customer in (BUYER, STRANGER):
            await self.subscribed(customer)
        for customer in (SELLER, STRANGER):
            await self._sells(customer)
        await self.page.ask("PUT", "/top-ups/credits", TOP_UP, status=200, customer=BUYER)
        self.ids["order"], _ = await self.order(pay=False)
        _, self.ids["payment_intent"] = await self.order(pay=False)
        self.ids["paid_order"], _ = await self.order()
        self.quote = {"seller": SELLER, "commission_minor": 100, "capture": "manual"}
        self.ids["sale"], self.ids["held"] = await self.order()
        self.quote = {"seller": SELLER, "commission_minor": 100}
        order, _ = await self.order()
        (payment,) = await self.page.gate.orders.payments(order, BUYER)
        assert payment.charge_id is not None
        self.page.sim.dispute(payment.charge_id)
        await self.page.settle()
        (dispute,) = (await self.page.get("/disputes", customer=SELLER))["data"]
        self.ids["dispute"] = dispute["id"]

    async def subscribed(self, customer: str) -> None:
        page = self.page
        body = {"price": "team_monthly"}
        started = await page.post("/subscriptions", body, customer=customer, status=201)
        page.confirm(started["secret"])
        await page.settle()
        setup = await page.post("/payment-methods/setup", customer=customer, status=201)
        page.confirm(setup["secret"], "pm_card_mastercard")
        await page.settle()
        saved = (await page.get("/payment-methods", customer=customer))["data"]
        (invoice,) = (await page.get("/invoices", customer=customer))["data"]
        if customer == BUYER:
            self.ids |= {
                "subscription": started["subscription"]["id"],
                "checkout": started["checkout"],
                "invoice": invoice["id"],
                "payment_method": saved[0]["id"],
            }

    async def _sells(self, customer: str) -> None:
        page = self.page
        await page.post("/sellers", {"country": "IE"}, customer=customer)
        link = await page.post("/sellers/onboarding", {}, customer=customer)
        async with httpx.AsyncClient(verify=False) as browser:
            await browser.post(link["url"], data={"action": "submit"})
        seller = await page.get("/sellers/me?refresh=true", customer=customer)
        assert seller["ready"]

    async def order(self, customer: str = BUYER, *, pay: bool = True) -> tuple[str, str]:
        """An order and its payment."""
        page = self.page
        body = {"items": {"pot": 1}}
        order = (await page.post("/orders", body, customer=customer, status=201))["order"]
        intent = await page.post("/payment-intents", {"order": order}, customer=customer)
        if pay:
            page.confirm({**intent, "confirms": "payment"})
            await page.settle()
        return order, intent["id"]
