"""Sellers: one connected account each, and what may be done with it."""

import asyncio
from typing import Any

import pytest

from gatekeeper.errors import (
    ConflictError,
    CustomerNotFoundError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    SellerNotReadyError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.services import customers, sellers
from gatekeeper.services.sellers import SellerState
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.selling.sellers import SellerDesk
from gatekeeper.stripe.webhooks import Projections
from tests.stripe.shop import Shop
from tests.stripe.test_transfers import next_request

pytestmark = pytest.mark.anyio

PAGES = {"refresh_url": "https://a.test/again", "return_url": "https://a.test/back"}


class Fair:
    """A shop where customers sell."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.sim = shop.sim
        self.outgoing = OutgoingRequests(shop.gateway, shop.store)
        copies = Projections(shop.gateway, shop.store, shop.rules, shop._invalidate).copies
        self.desk = SellerDesk(shop.gateway, shop.store, self.outgoing, copies["account"])

    def hear_of_accounts(self) -> None:
        """Have the events of connected accounts delivered too."""
        state = self.sim.state
        (known,) = state.store.all("webhook_endpoint")
        secret = state.store.hidden(known)["secret"]
        self.sim.webhook_endpoint(known["url"], secret=secret, connect=True)

    def accounts(self) -> list[Any]:
        return list(self.sim.client().v1.accounts.list().data)

    async def opened(self, customer: str = "seller_1") -> SellerState:
        """A seller who has been through the onboarding."""
        made = await self.desk.ensure(customer, "IE")
        assert made.account_id is not None
        self.sim.onboard(made.account_id)
        return await self.desk.state(customer, refresh=True)

    async def check(self, **terms: Any) -> str:
        asked: dict[str, Any] = {"amount_minor": 1_000, "commission_minor": 100, "currency": "eur"}
        asked |= terms
        return await self.shop.store.read(lambda tx: sellers.check_sale(tx, "seller_1", **asked))


@pytest.fixture
async def fair(shop: Shop) -> Fair:
    return Fair(shop)


async def test_two_requests_at_once_make_one_account(durable_shop: Shop) -> None:
    """As hard case 40, of sellers."""
    fair = Fair(durable_shop)
    one, two = await asyncio.gather(*(fair.desk.ensure("seller_1", "IE") for _ in range(2)))
    assert one.account_id is not None
    assert one.account_id == two.account_id == (await fair.desk.ensure("seller_1", "IE")).account_id
    (account,) = fair.accounts()
    assert account.id == one.account_id
    assert account.controller.stripe_dashboard.type == "express"
    assert account.controller.losses.payments == "application"
    assert (one.country, one.may_be_charged_for, one.seen_at is None) == ("IE", False, False)
    assert one.currently_due
    found = await fair.shop.store.read(lambda tx: sellers.account_of(tx, "seller_1"))
    assert found == account.id
    with pytest.raises(ConflictError, match="of IE"):
        await fair.desk.ensure("seller_1", "FR")


@pytest.mark.parametrize("hours", [0, 48])
async def test_an_answer_that_was_lost_makes_no_second_account(
    hours: int, fair: Fair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As hard case 41: within the life of its key by the key, after it Stripe is asked."""
    next_request(fair.shop, monkeypatch, StripeUnavailableError("The answer was lost."))
    with pytest.raises(StripeUnavailableError):
        await fair.desk.ensure("seller_1", "IE")
    with pytest.raises(SellerNotReadyError):
        await fair.desk.onboarding_link("seller_1", **PAGES)
    with pytest.raises(SellerNotReadyError):
        await fair.check()
    fair.shop.clock.advance(hours=hours, minutes=2)
    assert await fair.outgoing.resume() == 1
    (account,) = fair.accounts()
    assert (await fair.desk.ensure("seller_1", "IE")).account_id == account.id


async def test_whom_stripe_refuses_is_no_seller(
    fair: Fair, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = StripeRequestError("No accounts from there.", stripe_status=400)

    async def refuse(*args: Any, **options: Any) -> Any:
        raise refused

    with monkeypatch.context() as patch:
        patch.setattr(fair.shop.gateway, "post", refuse)
        with pytest.raises(StripeRequestError):
            await fair.desk.ensure("seller_1", "XX")
    with pytest.raises(NotFoundError):
        await fair.desk.state("seller_1")
    assert (await fair.desk.ensure("seller_1", "IE")).country == "IE"


@pytest.mark.parametrize("country", ["ie", "IRL", "", None])
async def test_a_country_is_two_capital_letters(country: Any, fair: Fair) -> None:
    with pytest.raises(InvalidInputError):
        await fair.desk.ensure("seller_1", country)
    assert fair.accounts() == []


async def test_a_seller_comes_through_the_onboarding(fair: Fair) -> None:
    made = await fair.desk.ensure("seller_1", "IE")
    url = await fair.desk.onboarding_link("seller_1", **PAGES)
    assert url.startswith(fair.sim.url)
    assert url != await fair.desk.onboarding_link("seller_1", **PAGES)
    with pytest.raises(InvalidInputError):
        await fair.desk.onboarding_link("seller_1", refresh_url="no url", return_url="/back")
    with pytest.raises(SellerNotReadyError):
        await fair.desk.login_link("seller_1")
    assert made.account_id is not None
    fair.sim.onboard(made.account_id)
    assert not (await fair.desk.state("seller_1")).may_be_charged_for  # nobody has told us
    state = await fair.desk.state("seller_1", refresh=True)
    assert state.may_be_charged_for
    assert (state.payouts_enabled, state.currently_due) == (True, ())
    assert (await fair.desk.login_link("seller_1")).startswith(fair.sim.url)


async def test_a_webhook_tells_what_a_seller_may(durable_shop: Shop) -> None:
    """Also what Stripe takes away: no buyer pays for whom no money can reach."""
    fair = Fair(durable_shop)
    fair.hear_of_accounts()
    state = await fair.opened()
    assert state.account_id is not None
    assert state.account_id == await fair.check(commission_minor=1_000)
    fair.sim.set_capability(state.account_id, "transfers", "inactive", reason="rejected.other")
    await fair.shop.settle()
    with pytest.raises(SellerNotReadyError):
        await fair.check()
    fair.sim.deauthorize(state.account_id)
    await fair.shop.settle()
    left = await fair.desk.state("seller_1")
    assert (left.has_left, left.may_be_charged_for) == (True, False)


async def test_what_a_buyer_may_not_be_charged(fair: Fair) -> None:
    with pytest.raises(NotFoundError):
        await fair.check()
    await fair.opened()
    for terms in ({"commission_minor": 1_001}, {"commission_minor": -1}, {"amount_minor": 0}):
        with pytest.raises(InvalidAmountError):
            await fair.check(**terms)
    with pytest.raises(InvalidInputError):
        await fair.check(currency="xxx")


async def test_nobody_sells_who_was_deleted(fair: Fair) -> None:
    await fair.opened()
    await fair.check()
    await fair.shop.store.write(lambda tx: customers.delete(tx, "seller_1"))
    with pytest.raises(SellerNotReadyError):
        await fair.check()
    with pytest.raises(CustomerNotFoundError):
        await fair.desk.ensure("seller_1", "IE")
