"""What time does to accounts: overdue holds are ended, and it is told of grants that are about to
expire. One account in each transaction, so that a locked or damaged one keeps no other waiting.
"""

import logging
from functools import partial

from gatekeeper.errors import GatekeeperError, StoreUnavailableError
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.commands import ExpireCommand, NoticeCommand
from gatekeeper.services.ledger.overdue import SWEEP_BATCH
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.postings import AccountKey

logger = logging.getLogger("gatekeeper")


async def expire_holds(store: Store, rules: Rules) -> int:
    """End the holds whose time is over; returns how many.

    An account that can't be swept now is logged.

    Raises:
        StoreUnavailableError.
    """
    ended = 0
    while accounts := await store.read(_overdue_accounts):
        before = ended
        for customer, unit in accounts:
            work = partial(expire_account, rules=rules, customer=customer, unit=unit)
            try:
                ended += await store.write(work)
            except StoreUnavailableError:
                raise
            except GatekeeperError:
                logger.exception("holds of %s in %s were not expired", customer, unit)
        if ended == before:
            break
    return ended


async def send_notices(store: Store, batcher: Batcher) -> int:
    """Tell of the grants that are about to expire; returns of how many.

    An account that can't be looked at now is logged.

    Raises:
        StoreUnavailableError.
    """
    told = 0
    while keys := await store.read(lambda tx: tx.ledger.notices_due(tx.now(), 200)):
        before = told
        for key in keys:
            try:
                told += await batcher.run(NoticeCommand(key))
            except StoreUnavailableError:
                raise
            except GatekeeperError:
                logger.exception("notices of %s in %s were not sent", *key)
        if told == before:
            break
    return told


def expire_account(tx: Transaction, rules: Rules, customer: str, unit: str) -> int:
    """End the overdue holds of one account, at most SWEEP_BATCH of them; returns how many."""
    return carry_out(tx, rules, ExpireCommand((customer, unit)))


def _overdue_accounts(tx: Transaction) -> list[AccountKey]:
    """The accounts of holds whose time is over, the longest overdue first."""
    holds = tx.ledger.expired_holds(tx.now(), SWEEP_BATCH)
    return list(dict.fromkeys((hold.customer, hold.unit) for hold in holds))
