"""What a customer should know of. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import structs

from gatekeeper.ledger import UnitPolicy
from gatekeeper.services.standing.values import Running, StandingWarning, UnitStanding

TRIAL_NOTICE: Final = timedelta(days=3)
"""How long before its end a trial is warned of, as Stripe does by
`customer.subscription.trial_will_end` (https://docs.stripe.com/billing/subscriptions/trials)."""


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest open invoice of a subscription, as `StandingWarning` says of it."""

    invoice: str
    amount_minor: int
    currency: str
    next_attempt_at: datetime | None = None


def warnings_of(
    subscriptions: Sequence[Running],
    units: Iterable[UnitStanding],
    policies: Mapping[str, UnitPolicy],
    unpaid: Mapping[str, Owed],
    *,
    is_frozen: bool,
    now: datetime,
) -> tuple[StandingWarning, ...]:
    """All warnings: what stops everything first, then subscriptions, then credits.

    Args:
        unpaid: by subscription, what is known of its oldest open invoice.
    """
    found = [StandingWarning(kind="frozen")] if is_frozen else []
    for one in subscriptions:
        found += _of_subscription(one, unpaid.get(one.id), now)
    for unit in units:
        found += _of_unit(unit, policies[unit.unit], now)
    return tuple(found)


def _of_subscription(one: Running, owed: Owed | None, now: datetime) -> Iterator[StandingWarning]:
    if one.status in ("past_due", "unpaid", "incomplete"):
        yield StandingWarning(
            kind="payment_failing" if one.status == "past_due" else "unpaid",
            at=one.grace_until,
            subscription=one.id,
            **({} if owed is None else structs.asdict(owed)),
        )
    if one.collection_paused or one.status == "paused":
        yield StandingWarning(kind="paused", subscription=one.id)
    if one.cancel_at is not None:
        yield StandingWarning(kind="cancel_scheduled", subscription=one.id, at=one.cancel_at)
    elif one.trial_end is not None and now >= one.trial_end - TRIAL_NOTICE:
        yield StandingWarning(kind="trial_ending", subscription=one.id, at=one.trial_end)


def _of_unit(unit: UnitStanding, policy: UnitPolicy, now: datetime) -> Iterator[StandingWarning]:
    left = unit.available
    if unit.debt:
        yield StandingWarning(kind="debt", unit=unit.unit, amount=unit.debt)
    if left is not None and unit.spent and unit.overage == 0:
        if left == 0:
            yield StandingWarning(
                kind="credits_exhausted", unit=unit.unit, amount=0, at=unit.renews_at
            )
        elif policy.low is not None and left + unit.held <= policy.low:
            yield StandingWarning(kind="credits_low", unit=unit.unit, amount=left)
    if policy.expiry_notice is not None:
        for soon in unit.expiring:
            if soon.at - policy.expiry_notice <= now:
                yield StandingWarning(
                    kind="credits_expiring", unit=unit.unit, amount=soon.amount, at=soon.at
                )
