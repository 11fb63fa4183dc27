"""Freezes: credits that are not to be spent while a payment of the customer's is in doubt.

While a freeze is in force, new holds are refused; what was held before may be settled. It is kept
in what the customer's accounts know of themselves (`Fresh.frozen`), so that no command reads more
by it: freezing moves the customer's version on, which makes what anybody has in mind of their
accounts out of date. It locks none of them, and waits for nobody who does.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gatekeeper.services import customers
from gatekeeper.services.outbox import tell
from gatekeeper.services.outbox.caches import Invalidate, outdate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_id

logger = logging.getLogger("gatekeeper")

_FRAUD: Final = ("disputed", "refunded_as_fraud")
"""Why a review was closed that leaves the payment in doubt."""


def freeze(tx: Transaction, customer: str, key: str, reason: str) -> int | None:
    """Freeze a customer's credits; the new version, or None if there is, or was, a freeze of this
    key: what was lifted by hand stays lifted.

    Raises:
        InvalidIdError, CustomerNotFoundError.
    """
    check_id(key, "key of a freeze")
    customers.ensure(tx, customer)
    made = Freeze(customer=customer, key=key, reason=reason, since=tx.now())
    if not tx.freezes.add(made):
        return None
    logger.warning("the credits of %s are frozen: %s (%s)", customer, reason, key)
    tell(tx, "credits.frozen", customer, {"key": key, "reason": reason}, made.since)
    return outdate(tx, customer)


def unfreeze(tx: Transaction, customer: str, actor: str, *, key: str | None = None) -> int | None:
    """Lift a customer's freezes, or the one of `key`; the new version, or None if none was in
    force."""
    check_id(customer, "customer")
    if not tx.freezes.lift(customer, tx.now(), actor, key=key):
        return None
    if all(one.lifted_at is not None for one in tx.freezes.of(customer)):
        logger.info("the credits of %s are free again, by %s", customer, actor)
        tell(tx, "credits.unfrozen", customer, {"key": key, "actor": actor}, tx.now())
    return outdate(tx, customer)


def follow_review(tx: Transaction, rules: Rules, copy: MirrorObject) -> tuple[str, int] | None:
    """Freeze while a payment is under review, by policy; and beyond it, if it was found to be a
    fraud (https://docs.stripe.com/api/radar/reviews/object#review_object-closed_reason). Returns
    the customer and their new version, if that changed anything."""
    facts = msgspec.json.decode(copy.facts, type=dict[str, Any])
    paid = tx.payments.get(str(facts.get("payment_intent")))
    named = copy.customer or (None if paid is None else paid.customer)
    known = None if named is None else tx.customers.get(named)
    if not rules.freezes.on_review or known is None or known.deleted_at is not None:
        return None
    customer = known.id
    key = f"review/{copy.id}"
    version = None
    if facts.get("open"):
        reason = f"a review of payment {facts.get('payment_intent')}"
        version = freeze(tx, customer, key, reason)
    elif facts.get("closed_reason") not in _FRAUD:
        version = unfreeze(tx, customer, "stripe", key=key)
    return None if version is None else (customer, version)


class FreezeDesk:
    """The freezes of one gate's customers, for the host's support desk."""

    def __init__(self, store: Store, invalidate: Invalidate) -> None:
        self._store = store
        self._invalidate = invalidate

    async def freeze(self, customer: str, reason: str, *, key: str) -> bool:
        """See `freeze`; False if there is, or was, a freeze of this key."""
        version = await self._store.write(lambda tx: freeze(tx, customer, key, reason))
        return await self._told(customer, version)

    async def unfreeze(self, customer: str, actor: str, *, key: str | None = None) -> bool:
        """See `unfreeze`; False if none was in force."""
        version = await self._store.write(lambda tx: unfreeze(tx, customer, actor, key=key))
        return await self._told(customer, version)

    async def freezes(self, customer: str) -> Sequence[Freeze]:
        """The freezes of a customer, lifted ones included, the oldest first."""
        return await self._store.read(lambda tx: tx.freezes.of(customer))

    async def _told(self, customer: str, version: int | None) -> bool:
        if version is None:
            return False
        await self._invalidate(customer, version)
        return True
