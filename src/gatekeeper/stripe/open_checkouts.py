"""Subscription checkouts that a customer has open: one trial for all of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from gatekeeper.catalog import PriceEntry
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Purchase
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.webhooks.handlers.checkout import CheckoutProjector

_STARTING: Final = timedelta(minutes=10)
"""How long a purchase without a session may still be getting one; its process may have died."""


def trial_days_of(entry: PriceEntry | None) -> int | None:
    """The trial that a price of the catalogue begins with."""
    return None if entry is None or entry.plan is None else entry.plan.trial_days


def may_try(tx: Transaction, rules: Rules, purchase: Purchase) -> bool:
    """Whether this checkout may begin with a trial. Call it with the customer's row locked.

    A trial is for customers who never had a subscription, and who have no other checkout open that
    could bring them one: two tabs are not two trials.
    """
    state = tx.customers.state(purchase.customer)
    if state is not None and state.items:
        return False
    return not any(
        trial_days_of(rules.catalog.find_price(other.price_lookup_key)) is not None
        and (
            other.checkout_session_id is not None
            or other.subscription_id is not None
            or tx.now() - other.created_at < _STARTING
        )
        for other in _subscriptions(tx, purchase.customer)
        if other.id != purchase.id
    )


async def find_open(
    gateway: StripeGateway,
    store: Store,
    sessions: CheckoutProjector,
    customer: str,
) -> Sequence[tuple[Purchase, Obj]]:
    """The customer's subscription checkouts that are open at Stripe, the oldest first.

    What is over there, and whose event has not come, is projected on the way.

    Raises:
        StripeUnavailableError, StripeRequestError.
    """
    found = []
    for purchase in await store.read(lambda tx: _subscriptions(tx, customer)):
        if purchase.checkout_session_id is None:
            continue
        session = await gateway.fetch("checkout.session", purchase.checkout_session_id)
        if session is not None and session["status"] == "open":
            found.append((purchase, session))
        else:
            await sessions.refresh(purchase.checkout_session_id)
    return found


def _subscriptions(tx: Transaction, customer: str) -> list[Purchase]:
    return [one for one in tx.purchases.pending(customer) if one.mode != "payment"]
