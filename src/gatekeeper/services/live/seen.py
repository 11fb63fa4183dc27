"""What there is to see of a customer, and by what a change of it is noticed."""

from collections.abc import Collection
from typing import Final

import msgspec

from gatekeeper.services.rules import Rules
from gatekeeper.services.standing import Standing, standing_of
from gatekeeper.services.statements import PaymentRow, payments_of
from gatekeeper.storage.mirror import Tally
from gatekeeper.storage.port import Transaction

SETTLED: Final = ("failed", "succeeded")
"""The statuses of a charge that it does not leave
(https://docs.stripe.com/api/charges/object#charge_object-status)."""

LATEST: Final = 20
"""How many of a customer's payments are looked at."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """How a customer stands, and their latest payments, the newest first."""

    standing: Standing
    payments: tuple[PaymentRow, ...]


class Mark(msgspec.Struct, frozen=True):
    """What moves on with whatever may have changed of a customer: of their entitlements, their
    accounts and their charges. None of it says what has changed."""

    version: int | None
    accounts: tuple[tuple[str, int], ...]
    charges: Tally | None


def marks_of(tx: Transaction, customers: Collection[str]) -> dict[str, Mark]:
    """The marks of customers: three statements, however many they are."""
    versions = tx.customers.versions(customers)
    accounts = tx.ledger.revisions(customers)
    charges = tx.mirror.tallies(customers, "charge", SETTLED)
    return {
        customer: Mark(versions.get(customer), accounts.get(customer, ()), charges.get(customer))
        for customer in customers
    }


def seen_of(tx: Transaction, rules: Rules, customer: str) -> Seen:
    """A customer, looked at closely.

    Raises:
        CustomerNotFoundError: the customer was deleted.
    """
    standing = standing_of(tx, rules, customer)
    return Seen(standing=standing, payments=tuple(payments_of(tx, customer, LATEST)))
