"""Erasure: a customer's history stays, and nothing in it tells any more whose it was.

The customer's id becomes a pseudonym made at random, and who did what and why is wiped; amounts,
kinds, times, units and features stay, so that every sum over all customers is what it was. This is
for https://gdpr-info.eu/art-17-gdpr/; what Stripe knows is Stripe's to erase.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gatekeeper.errors import CustomerActiveError, CustomerNotFoundError
from gatekeeper.ledger import Account, Expire, Release, settle
from gatekeeper.services.outbox.caches import Invalidate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.audit import Ties
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_id

logger = logging.getLogger("gatekeeper")

PSEUDONYM_PREFIX: Final = "erased_"
"""How every pseudonym begins; 32 random hexadecimal digits follow."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure came to.

    Attributes:
        pseudonym: in whose name the history goes on.
        released: how many open holds were given back first.
        unbilled: how much metered usage was not told to Stripe, and never will be: uses and sums.
    """

    pseudonym: str
    released: int
    unbilled: int


class Erasure:
    """Erases customers of one gate."""

    def __init__(self, store: Store, rules: Rules, invalidate: Invalidate) -> None:
        self._store = store
        self._units = sorted(rules.catalog.units)
        self._invalidate = invalidate

    async def erase(
        self,
        customer: str,
        *,
        force: bool = False,
        note: Callable[[Transaction, Erased], object] | None = None,
    ) -> Erased:
        """Erase a customer for good, in one transaction. Their id can't be used again.

        Args:
            force: although something is not finished. Open holds are given back; overage that was
                not reported to Stripe yet is never billed; subscriptions go on at Stripe, and what
                becomes of them has no effect here.
            note: writes down that it was done, in the same transaction.

        Raises:
            CustomerNotFoundError: nothing is known of them, or they were erased before.
            CustomerActiveError: something is not finished; nothing changes.
        """
        check_id(customer, "customer")
        pseudonym = f"{PSEUDONYM_PREFIX}{uuid.uuid4().hex}"

        def work(tx: Transaction) -> tuple[Erased, int]:
            # Every account that a command could lock, though it be made for this: a command that
            # comes meanwhile waits here, and finds the customer gone.
            there = {account.unit for account in tx.ledger.accounts(customer)}
            keys = [(customer, unit) for unit in sorted(there.union(self._units))]
            accounts = tx.ledger.lock(keys, wait=True)
            known = tx.customers.get(customer, lock=True)
            if known is None and not there:
                raise CustomerNotFoundError(f"Customer {customer!r} is not known.")
            ties = tx.audit.ties(customer)
            if not force:
                _check_finished(ties)
            for account in accounts.values():
                _release_all(tx, account)
            tx.audit.erase(customer, pseudonym, tx.now())
            version = 0 if known is None else known.version + 1
            done = Erased(pseudonym, ties.open_holds, ties.untold)
            if note is not None:
                note(tx, done)
            return done, version

        erased, version = await self._store.write(work)
        await self._invalidate(customer, version)
        logger.info("a customer was erased; their history goes on as %s", erased.pseudonym)
        return erased


def _check_finished(ties: Ties) -> None:
    unfinished = [
        text
        for is_there, text in (
            (ties.open_holds, f"{ties.open_holds} open hold(s)"),
            (ties.subscriptions, f"running subscription(s) {', '.join(ties.subscriptions)}"),
            (ties.untold, f"{ties.untold} use(s) of meters that are not billed yet"),
        )
        if is_there
    ]
    if unfinished:
        raise CustomerActiveError(
            f"There is something that is not finished: {'; '.join(unfinished)}. Finish it, or "
            "erase with force.",
            open_holds=ties.open_holds,
            subscriptions=list(ties.subscriptions),
            unbilled=ties.untold,
        )


def _release_all(tx: Transaction, account: Account) -> None:
    """Give the open holds of an account back; those whose time is over have expired."""
    holds = tx.ledger.open_holds(account.customer, account.unit)
    if not holds:
        return
    now = tx.now()
    latest = now if account.last_entry_at is None else max(now, account.last_entry_at)
    for hold in holds:
        command = Expire() if hold.expires_at <= latest else Release()
        scoped = tuple(tx.ledger.caps(account.customer, account.unit))
        change = settle(account, hold, command, now, scoped=scoped)
        tx.ledger.save(account, change)
        account = change.account
