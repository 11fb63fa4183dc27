"""What the projectors share: a ticket, a fetch, one transaction, and the caches afterwards."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gatekeeper.errors import ProjectionError
from gatekeeper.projection import InvoiceFacts
from gatekeeper.services.outbox.caches import Invalidate
from gatekeeper.services.rules import Rules
from gatekeeper.services.subscriptions import ShownPrice, owner_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.stamp import DatabaseStamp
from gatekeeper.stripe.webhooks.projecting import object_key

logger = logging.getLogger("gatekeeper.webhooks")

MAX_STRANGERS = 10_000
"""How many Stripe customers that are nobody's are remembered, so as not to be logged again."""


class Touched(NamedTuple):
    """The customer whose entitlements a transaction has changed, and the version it made."""

    customer: str
    version: int


def nothing(tx: Transaction) -> None:
    """The `Complete` of a projection that no event has asked for."""


@dataclass(frozen=True, slots=True)
class Ticketed:
    """An object as fetched (None: Stripe has it no more), under the ticket taken before."""

    key: str
    ticket: int
    found: Obj | None

    def may_write(self, tx: Transaction, *, terminal: bool) -> bool:
        """Whether nothing newer has been written. Call it first in the write's transaction."""
        return tx.inbox.use_ticket(self.key, self.ticket, terminal=terminal)


class Context:
    """The shell around the projections of one gate."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        rules: Rules,
        invalidate: Invalidate,
    ) -> None:
        self.gateway = gateway
        self.store = store
        self.rules = rules
        self.stamp = DatabaseStamp(store, gateway)
        self._invalidate = invalidate
        self._strangers: set[str] = set()

    def key(self, object_type: str, object_id: str, account: str | None = None) -> str:
        """The name under which the object's tickets are taken."""
        return object_key(object_type, object_id, livemode=self.gateway.livemode, account=account)

    async def fetch(
        self, object_type: str, object_id: str, *, account: str | None = None
    ) -> Ticketed:
        """Take a ticket, commit it, and fetch the object, outside of any transaction; of a
        connected account, if one is named.

        Raises:
            StripeUnavailableError, StripeRequestError.
            DatabaseStampError: the key is another account's: what it can't see, says nothing.
        """
        await self.stamp.confirm()
        key = self.key(object_type, object_id, account)
        ticket = await self.store.write(lambda tx: tx.inbox.take_ticket(key))
        found = await self.gateway.fetch(object_type, object_id, account=account)
        if found is not None and found.get("livemode", self.gateway.livemode) != (
            self.gateway.livemode
        ):
            raise ProjectionError(f"{object_type}.livemode", "is not the mode of the key")
        return Ticketed(key, ticket, found)

    async def commit(self, work: Callable[[Transaction], Touched | None]) -> None:
        """Run `work` in one transaction; afterwards the caches forget whom it touched."""
        touched = await self.store.write(work)
        if touched is not None:
            await self._invalidate(touched.customer, touched.version)

    async def shown_prices(
        self, invoice: InvoiceFacts, shown: Mapping[str, ShownPrice]
    ) -> Mapping[str, ShownPrice]:
        """What Stripe says of the prices of paid lines that are not known here: an invoice names
        its prices by their ids alone. Nothing is asked for a stranger's invoice, nor of the prices
        in `shown`, which are returned with the rest."""
        ids = sorted({str(line.price_id) for line in invoice.paid_lines}.difference(shown))

        def unknown(tx: Transaction) -> list[str]:
            if owner_of(tx, invoice.customer, invoice.subscription_id) is None:
                return []
            return [
                price_id
                for price_id in ids
                if self.rules.catalog.find_price(price_id) is None
                and tx.subscriptions.price(price_id) is None
            ]

        asked = {}
        for price_id in await self.store.read(unknown):
            found = await self.gateway.fetch("price", price_id) or {}
            asked[price_id] = ShownPrice(found.get("lookup_key"), found.get("currency"))
        return {**shown, **asked}

    def note_stranger(self, stripe_customer: str | None, what: str) -> None:
        """Say, once for each, that an object belongs to nobody whom the host knows."""
        stranger = stripe_customer or "nobody"
        if stranger not in self._strangers and len(self._strangers) < MAX_STRANGERS:
            self._strangers.add(stranger)
            logger.warning(
                "%s belongs to Stripe customer %s, who is not one of ours: no effect",
                what,
                stranger,
            )
