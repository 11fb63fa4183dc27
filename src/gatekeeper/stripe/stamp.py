"""The stamp: a database belongs to one Stripe account in one mode, for good.

Test data in a live database would open doors, and a key of another account would find none of the
objects and so seem to end every subscription. The mode is known from the key; the account has to be
asked for, which must not keep an app from starting while Stripe is away.
"""

import logging

from gatekeeper.errors import DatabaseStampError, StripeUnavailableError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Stamp
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.reconciled import expect, state_in

logger = logging.getLogger("gatekeeper")


class DatabaseStamp:
    """Holds the key against the database's stamp, and stamps a database that has none."""

    def __init__(self, store: Store, gateway: StripeGateway) -> None:
        self._store = store
        self._gateway = gateway
        self._confirmed: Stamp | None = None

    async def check(self) -> Stamp | None:
        """At start: compare what can be known; None if Stripe can't be asked and nothing is wrong.

        Raises:
            DatabaseStampError: the database belongs to another account or mode.
            ConfigurationError: Stripe does not accept the key.
        """
        try:
            return await self.confirm()
        except StripeUnavailableError:
            stored = await self._store.read(lambda tx: tx.stamp())
            if stored is not None and stored.livemode != self._gateway.livemode:
                raise _mismatch(stored, None, self._gateway.livemode) from None
            logger.warning(
                "Stripe can't be reached: which account the key belongs to will be checked before "
                "anything is written for it"
            )
            return None

    async def confirm(self) -> Stamp:
        """Compare all of it, once. Called before the first effect of anything that Stripe says.

        Raises:
            StripeUnavailableError: the account can't be asked for.
            DatabaseStampError, ConfigurationError: as `check`.
        """
        if self._confirmed is None:
            account = await self._gateway.account()
            wanted = Stamp(account=account.id, livemode=account.livemode)

            def work(tx: Transaction) -> Stamp | None:
                if tx.stamp() is None:
                    tx.put_stamp(wanted)
                stored = tx.stamp()
                if stored == wanted:
                    expect(tx)  # health says so if nobody reconciles
                return stored

            stored, reconciled = await self._store.read(lambda tx: (tx.stamp(), state_in(tx)))
            if stored is None or (stored == wanted and not reconciled):
                stored = await self._store.write(work)
            if stored != wanted:
                raise _mismatch(stored, wanted.account, wanted.livemode)
            self._confirmed = wanted
        return self._confirmed


async def check_stamp(store: Store, gateway: StripeGateway) -> Stamp | None:
    """See `DatabaseStamp.check`."""
    return await DatabaseStamp(store, gateway).check()


def _mismatch(stored: Stamp | None, account: str | None, livemode: bool) -> DatabaseStampError:
    """The error, naming both sides. Account ids and modes are no secrets."""
    theirs = "none" if stored is None else f"{stored.account} ({_mode(stored.livemode)})"
    ours = f"{account or 'an account not yet known'} ({_mode(livemode)})"
    return DatabaseStampError(
        f"This database belongs to the Stripe account {theirs}; the key belongs to {ours}. "
        "Use the key that fits, or another database."
    )


def _mode(livemode: bool) -> str:
    return "live mode" if livemode else "test mode"
