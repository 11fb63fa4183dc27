"""What an account looks like from outside."""

from datetime import datetime

import msgspec

from gatekeeper.ledger.burn import has_expired, total_headroom
from gatekeeper.ledger.values import Account


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """An account at one moment, in the unit's steps.

    Attributes:
        available: what can be spent without overage; None is without bound.
        overage: what can be used beyond that and is billed later; None is without bound.
        held: what open holds claim.
        debt: what has to be repaid before anything can be spent.
    """

    customer: str
    unit: str
    available: int | None
    overage: int | None
    held: int
    debt: int


def balance_of(account: Account, now: datetime) -> Balance:
    """The balance of an account that is up to date."""
    live = [grant for grant in account.grants if not has_expired(grant, now)]
    return Balance(
        customer=account.customer,
        unit=account.unit,
        available=total_headroom(grant for grant in live if grant.meter is None),
        overage=total_headroom(grant for grant in live if grant.meter is not None),
        held=account.held,
        debt=account.debt,
    )
