"""Whatever changes something at Stripe is stored first, or named as safe without; and an outage
gives nobody anything."""

import ast
from pathlib import Path
from typing import Any

import pytest

import gatekeeper
from gatekeeper.errors import StripeUnavailableError
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.stripe.checkout import Checkout
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.setup import REQUESTS
from tests.stripe.shop import Shop
from tests.stripe.test_moves import changed
from tests.stripe.test_outgoing import Crash, dying
from tests.stripe.test_reconciliation import (
    memory_shop,  # noqa: F401 -- fixture
    nobody,
    shop,  # noqa: F401 -- fixture
    subscribe,
)
from tests.stripe.world import RULES

SOURCES = Path(gatekeeper.__file__).parent

SAFE_WITHOUT = {
    "stripe/checkout.py": {"create_portal_session"},
    "stripe/duplicates.py": {"cancel_subscription"},
    "stripe/meters.py": {"post"},
    "stripe/outgoing.py": {"post"},
    "stripe/selling/sellers.py": {"create_account_link", "create_login_link"},
    "stripe/subscribing/ending.py": {"cancel_subscription"},
    "stripe/subscribing/previews.py": {"preview_invoice"},
    "stripe/subscribing/starting.py": {"cancel_subscription"},
    "stripe/setup.py": {"post"},  # the requests of its table
}
"""The calls of the gateway that change something, by module; outgoing.py sends what is stored. Each
of the others has its reason in docs/guides/stripe-requests.md."""


def changing(source: str) -> set[str]:
    """The methods of a gateway that the module calls, and that change something."""
    reading = {"fetch", "get", "pages", "listed", "account", "aclose", "meters"}
    reading |= {"prices_by_lookup_key"}
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            holder = node.func.value
            name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
            if name in {"gateway", "_gateway"} and node.func.attr not in reading:
                found.add(node.func.attr)
    return found


def test_every_request_that_changes_something_is_stored_or_named_as_safe_without() -> None:
    found = {
        path.relative_to(SOURCES).as_posix(): calls
        for path in sorted(SOURCES.rglob("*.py"))
        if "testing" not in path.parts and (calls := changing(path.read_text()))
    }
    assert found == SAFE_WITHOUT
    assert {path for path, _ in REQUESTS.values()} == {
        "/v1/billing/meters",
        "/v1/prices",
        "/v1/products",
        "/v1/webhook_endpoints",
        "/v1/webhook_endpoints/{id}",
    }
    named = {name for names in SAFE_WITHOUT.values() for name in names}
    assert {name for name in named if not hasattr(StripeGateway, name)} == set()


@pytest.mark.anyio
async def test_an_outage_sells_and_changes_nothing_and_asks_nobody(
    memory_shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = memory_shop  # noqa: F811
    await subscribe(shop, "org_2")
    move = await changed(shop)
    link = await shop.start("topup_100")
    gateway, asked = shop.gateway, 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        raise AssertionError

    for _ in range(5):
        gateway.circuit.failed(OSError("nobody"))
    monkeypatch.setattr(gateway._connection, "_connected", counted)
    with pytest.raises(StripeUnavailableError):
        await shop.start("topup_100", "org_3")
    with pytest.raises(StripeUnavailableError):
        await shop.checkout.portal("org_1", "https://app.test/")
    with pytest.raises(StripeUnavailableError):
        await shop.checkout.status(link.purchase_id, "org_1")
    with pytest.raises(StripeUnavailableError):
        await move.run()
    assert asked == 0
    assert await shop.available() == 5
    assert await shop.available(customer="org_3") == 5
    purchase = await shop.store.read(lambda tx: tx.purchases.get(link.purchase_id))
    assert purchase is not None
    assert purchase.status is PurchaseStatus.PENDING
    assert "pro" in (await shop.entitlements("org_2")).plans  # who has paid, has it


@pytest.mark.anyio
@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("hours", [0, 23.5])
async def test_case_41_a_checkout_whose_making_crashed_is_made_once_and_found(
    sent: bool,
    hours: float,
    shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await shop.checkout.portal("org_1", return_url="https://app.test/")  # Stripe knows them
    dying(shop.gateway, monkeypatch, sent=sent)
    with pytest.raises(Crash):
        await shop.start("topup_100", idempotency_key="key")
    shop.clock.now = shop.sim.advance(hours=hours, minutes=2)
    outgoing = OutgoingRequests(shop.gateway, shop.store)
    Checkout(shop.gateway, shop.store, RULES, nobody, outgoing)
    assert await outgoing.resume() == 1
    made = shop.sim.state.store.all("checkout.session")
    is_made = sent or hours == 0  # what nobody asks for any more is not made a day later
    assert len(made) == is_made
    link = await shop.start("topup_100", idempotency_key="key")
    assert len(shop.sim.state.store.all("checkout.session")) == 1
    if is_made:
        assert link.session_id == made[0]["id"]
