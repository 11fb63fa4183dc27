"""Orders at Stripe: payment intents, checkout sessions and receipts of what customers pay once.

`desk` is what hosts use; `intents` makes payments and goes on with them, `sessions` leads to
Stripe's own page, `params` says what is asked for.
"""

from gatekeeper.stripe.orders.desk import OrderDesk
from gatekeeper.stripe.orders.intents import OrderIntents
from gatekeeper.stripe.orders.sessions import OrderSessions
from gatekeeper.stripe.orders.values import OrderCheckout, OrderIntent, PayOptions, Receipt

__all__ = [
    "OrderCheckout",
    "OrderDesk",
    "OrderIntent",
    "OrderIntents",
    "OrderSessions",
    "PayOptions",
    "Receipt",
]
