"""One customer's whole picture, read at one moment."""

from collections.abc import Sequence
from typing import Final

import msgspec

from gatekeeper.entitlements import Explanation
from gatekeeper.errors import CustomerNotFoundError
from gatekeeper.ledger import Balance, Grant, Hold
from gatekeeper.services import accounts, upcoming
from gatekeeper.services.resolver import explained
from gatekeeper.services.rules import Rules
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.storage.actions import Action, ActionQuery
from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.orders import Order
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer, Purchase
from gatekeeper.topping_up import TopUp

MOST: Final = 50
"""How many of each there are in a picture at most: the newest."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is of a customer; of what is many, the newest.

    Attributes:
        explanation: what they may use, and why.
        grants: the last, spent ones included; what is left of them is in the balances.
        holds: those that are open.
        invoices: copies of Stripe's.
        freezes: lifted ones included.
        actions: what the back office has done.
    """

    customer: Customer
    explanation: Explanation
    balances: Sequence[Balance]
    grants: Sequence[Grant]
    holds: Sequence[Hold]
    subscriptions: Sequence[SubscriptionView]
    invoices: Sequence[MirrorObject]
    purchases: Sequence[Purchase]
    orders: Sequence[Order]
    top_ups: Sequence[TopUp]
    freezes: Sequence[Freeze]
    actions: Sequence[Action]


def picture(tx: Transaction, rules: Rules, customer: str) -> Picture:
    """Read it.

    Raises:
        CustomerNotFoundError: nobody of this id is known, or they were deleted.
    """
    known = tx.customers.get(customer)
    if known is None or known.deleted_at is not None:
        raise CustomerNotFoundError(f"Customer {customer!r} is not known.", customer=customer)
    units = sorted(rules.catalog.units)
    holds = [one for unit in units for one in tx.ledger.open_holds(customer, unit)]
    holds.sort(key=lambda one: (one.created_at, one.id), reverse=True)
    return Picture(
        customer=known,
        explanation=explained(tx, rules, customer),
        balances=[accounts.balance(tx, rules, customer, unit) for unit in units],
        grants=tx.ledger.newest_grants(customer, MOST),
        holds=holds[:MOST],
        subscriptions=upcoming.subscriptions_of(tx, rules=rules, customer=customer)[:MOST],
        invoices=tx.mirror.of_customer(customer, "invoice", MOST),
        purchases=tx.purchases.newest(customer, MOST),
        orders=tx.orders.of_customer(customer, MOST),
        top_ups=tx.top_ups.of(customer),
        freezes=tx.freezes.of(customer)[-MOST:],
        actions=tx.actions.listed(ActionQuery(customer=customer), MOST),
    )
