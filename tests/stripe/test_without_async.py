"""A host without async sells: the synchronous face of a gate, with the simulator."""

from functools import partial

from gatekeeper import Gatekeeper, Settings, SyncGatekeeper
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.stripe.setup import apply_setup, plan_setup
from gatekeeper.testing.stripe import Simulator
from tests.stripe.shop import URLS
from tests.stripe.world import CATALOG


def test_buying_without_an_event_loop(stripe_sim: Simulator, migrated_sqlite_url: str) -> None:
    settings = Settings.load(
        database_url=migrated_sqlite_url,
        stripe_secret_key=stripe_sim.settings.api_key,
        stripe_api_base=stripe_sim.url,
    )
    gate = Gatekeeper(CATALOG, settings, clock=lambda: stripe_sim.now)
    with SyncGatekeeper(gate) as billing:
        billing.call(apply_setup, billing.call(plan_setup, CATALOG, gate.stripe), gate.stripe)
        buy = partial(billing.checkout, "org_1", "topup_100", idempotency_key="click_1")
        first = buy(success_url=URLS["success_url"], cancel_url=URLS["cancel_url"])
        assert buy(success_url=URLS["success_url"], cancel_url=URLS["cancel_url"]) == first
        assert billing.checkout_status(first.purchase_id, "org_1").status is PurchaseStatus.PENDING
        stripe_sim.pay_checkout(first.session_id)
        assert billing.checkout_status(first.purchase_id, "org_1").status is PurchaseStatus.PAID
        assert billing.balance("org_1", "credits").available == 105
        assert billing.portal("org_1", return_url="https://app.test/").startswith(stripe_sim.url)
        now = stripe_sim.now
        (compared,) = billing.compare_usage("org_1", now.replace(hour=0, minute=0), now)
        assert (compared.meter, compared.told, compared.agrees) == ("overage", 0, True)
