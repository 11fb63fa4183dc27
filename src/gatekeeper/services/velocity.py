"""Velocity rules: what customers do too fast is told, and freezes their credits by the rule.

Charges are counted as their copies have them, top-ups by their purchases. A burst is acted on once:
what was lifted by hand stays lifted, until another burst.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from gatekeeper.projection.velocity import Sighting, VelocityRule, breaks
from gatekeeper.services import customers, freezes
from gatekeeper.services.outbox import tell
from gatekeeper.services.rules import Rules
from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase

TOPIC: Final = "velocity.exceeded"

CARD: Final = "payment_method_details.card.fingerprint"
"""The fact of a charge that tells cards apart, and nothing of them."""

LATE: Final = timedelta(days=3)
"""How late Stripe may tell of something (https://docs.stripe.com/webhooks#automatic-retries)."""

_MOST: Final = 1_000
"""How many of a customer's latest charges are looked at."""


def check(
    tx: Transaction, rules: Rules, customer: str, *, buying: Purchase | None = None
) -> int | None:
    """Look at what a customer has done of late; their new version, if that froze them.

    Args:
        buying: the purchase of a pack that is being given now.
    """
    now = tx.now()
    version = None
    for rule in rules.velocity:
        since = now - rule.within - LATE
        seen = [one for one in _sightings(tx, rule, customer, since, buying) if one.at > since]
        for burst in breaks(rule, seen):
            version = _act(tx, customer, rule, burst, now) or version
    return version


def _act(
    tx: Transaction, customer: str, rule: VelocityRule, burst: Sighting, now: datetime
) -> int | None:
    key = f"velocity/{rule.counts}/{burst.id}"
    hours = rule.within / timedelta(hours=1)
    reason = f"more than {rule.more_than} {rule.counts} within {hours:g} h"
    version = None
    if rule.then == "freeze":
        version = freezes.freeze(tx, customer, key, reason)
        is_new = version is not None
    else:  # noted as a freeze that was lifted at once, so that it is told once
        customers.ensure(tx, customer)
        noted = Freeze(
            customer=customer, key=key, reason=reason, since=now, lifted_at=now, actor="rule"
        )
        is_new = tx.freezes.add(noted)
    if is_new:
        body = {
            "counts": rule.counts,
            "more_than": rule.more_than,
            "within_seconds": int(rule.within.total_seconds()),
            "frozen": rule.then == "freeze",
        }
        tell(tx, TOPIC, customer, body, now)
    return version


def _sightings(
    tx: Transaction,
    rule: VelocityRule,
    customer: str,
    since: datetime,
    buying: Purchase | None,
) -> Iterator[Sighting]:
    if rule.counts == "top_ups":
        # By when each was begun: all of a day may be heard of at once, after an outage.
        bought = [*tx.purchases.paid(customer, since=since), *([buying] if buying else [])]
        for one in bought:
            if one.mode == "payment":
                yield Sighting(one.created_at, one.id)
        return
    for charge in tx.mirror.of_customer(customer, "charge", _MOST):
        if charge.created_at is None or charge.account:
            continue
        if rule.counts == "failed_payments" and charge.status == "failed":
            yield Sighting(charge.created_at, charge.id)
        facts = msgspec.json.decode(charge.facts, type=dict[str, Any])
        if rule.counts == "cards" and facts.get(CARD):
            yield Sighting(charge.created_at, charge.id, facts[CARD])
