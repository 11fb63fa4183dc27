"""A stateful stand-in for Stripe, for tests and demos: the real `stripe` client talks to it.

In a test suite::

    # conftest.py
    pytest_plugins = ["gatekeeper.testing.stripe.fixtures"]

    def test_subscribing(stripe_sim):
        client = stripe_sim.client()                        # a stripe.StripeClient
        endpoint = stripe_sim.webhook_endpoint("http://app.test/stripe", app=my_asgi_app)
        price = client.v1.prices.create({
            "currency": "eur", "unit_amount": 999, "recurring": {"interval": "month"},
            "product_data": {"name": "Pro"}, "lookup_key": "pro_monthly",
        })
        session = client.v1.checkout.sessions.create({
            "mode": "subscription", "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "http://app.test/welcome?session={CHECKOUT_SESSION_ID}",
        })
        stripe_sim.pay_checkout(session.id, card="4242424242424242")
        stripe_sim.drain()                                  # signed with endpoint["secret"]
        stripe_sim.advance(days=31)                         # renews; drain() again to deliver

In asynchronous tests: `await sim.complete_checkout(...)`, `await sim.deliver_pending()` and
`await sim.play(days=31)`, which moves the clock and delivers at every moment on the way.

As a process: `gatekeeper stripe-sim`, or `run()` here; its controls are under `/_sim/` (see
`control`). Without the fixture::

    with ServerThread() as server:
        sim = server.mount(Simulator(seed=1))

What it holds: customers, products, prices, payment methods and Stripe's test cards, checkout
sessions with hosted pages, coupons, promotion codes and discounts, subscriptions with trials,
renewals, retries, proration, pending updates and schedules, invoices and their previews, payment
and setup intents, charges, refunds, disputes, fraud warnings, reviews, the balance and payouts,
meters with events and error reports, events of both APIs, webhook endpoints with signed and retried
deliveries, a stand-in for Stripe.js (`/v3/`), portal sessions, idempotency keys, `expand[]`,
connected accounts with their onboarding and objects of their own, transfers and fees. What
customers, banks and sellers do, a test does by `Simulator`'s methods of `actions`. It speaks the
API version of `settings.API_VERSION` and refuses every parameter that it does not know. What it
gets wrong about Stripe's shapes, `openapi` finds out: in the tests every request and every object
is validated against Stripe's published OpenAPI document.

What that document cannot show, and this simplifies: all items of a subscription share one interval;
a checkout in subscription mode takes recurring prices alone, and always asks for a payment method;
there are no taxes, tiers or customer credit (an invoice of less than nothing counts as
nothing); events come in the order in which things happened,
which Stripe does not promise (`shuffle`, `hold` and `drop` are there to not rely on it).
"""

from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.delivery import Attempt, Delivery
from gatekeeper.testing.stripe.endpoint import Call, Exchange
from gatekeeper.testing.stripe.faults import Fault, WebhookFault
from gatekeeper.testing.stripe.openapi import OpenApi, SpecViolation
from gatekeeper.testing.stripe.server import ServerThread, listener_on, run
from gatekeeper.testing.stripe.settings import API_VERSION, Settings
from gatekeeper.testing.stripe.simulator import Simulator

__all__ = [
    "API_VERSION",
    "ApiError",
    "Attempt",
    "Call",
    "Delivery",
    "Exchange",
    "Fault",
    "OpenApi",
    "ServerThread",
    "Settings",
    "Simulator",
    "SpecViolation",
    "WebhookFault",
    "listener_on",
    "run",
]
