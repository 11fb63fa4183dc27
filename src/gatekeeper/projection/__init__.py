"""From Stripe's objects, in any API version that we meet, to values of our own. Pure.

What a price means is not decided here: the shell looks up the terms that were recorded for it.
"""

from gatekeeper.projection.checkout import CheckoutFacts, project_checkout_session
from gatekeeper.projection.customer import CustomerFacts, project_customer
from gatekeeper.projection.invoice import InvoiceFacts, LineFacts, project_invoice
from gatekeeper.projection.subscription import ItemFacts, SubscriptionFacts, project_subscription

__all__ = [
    "CheckoutFacts",
    "CustomerFacts",
    "InvoiceFacts",
    "ItemFacts",
    "LineFacts",
    "SubscriptionFacts",
    "project_checkout_session",
    "project_customer",
    "project_invoice",
    "project_subscription",
]
