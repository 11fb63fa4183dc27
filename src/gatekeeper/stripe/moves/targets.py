"""Which prices are replaced, and by which: from the catalogue, or as the operator says."""

from collections.abc import Callable
from functools import partial

from gatekeeper.catalog import Catalog, PriceEntry
from gatekeeper.errors import ConfigurationError, InvalidInputError
from gatekeeper.services.prices import stands_for
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.moves.judging import amount_of, terms_of
from gatekeeper.stripe.moves.values import Target
from gatekeeper.stripe.price_check import differences_of

Choosing = Callable[[Transaction, str], Target | None]
"""The price that the price of this id is replaced by; None if it is not."""


class Targets:
    """Finds the prices at Stripe, and checks that the catalogue knows what they buy."""

    def __init__(self, gateway: StripeGateway, store: Store, catalog: Catalog) -> None:
        self._gateway = gateway
        self._store = store
        self._catalog = catalog

    async def of_catalog(self) -> Choosing:
        """Whoever bought one of the catalogue's prices by a price id that has since given its
        lookup key to another, is moved to that one. An id that is declared in `Price(ids=...)` is
        as good as the current one and stays.

        Raises:
            ConfigurationError: a price at Stripe is not as the catalogue has it.
            StripeUnavailableError, StripeRequestError.
        """
        entries = {
            price.lookup_key: PriceEntry(price, plan=plan)
            for plan in self._catalog.plans.values()
            for price in plan.prices
        }
        found = await self._gateway.prices_by_lookup_key(list(entries))
        current = {
            lookup_key: await self._target(entry, found[lookup_key])
            for lookup_key, entry in entries.items()
            if lookup_key in found
        }

        def choose(tx: Transaction, price_id: str) -> Target | None:
            record = tx.subscriptions.price(price_id)
            entry = None if record is None else entries.get(record.lookup_key)
            if record is None or entry is None or not stands_for(record, entry):
                return None
            target = current.get(record.lookup_key)
            keeps = {*entry.price.ids, *(() if target is None else (target.price_id,))}
            return None if price_id in keeps else target

        return choose

    async def of_operator(self, old: str, new: str) -> Choosing:
        """From one price to another, each by its id or lookup key.

        Raises:
            InvalidInputError: Stripe has no such price, or they are the same.
            ConfigurationError: the new one buys no plan of the catalogue.
            StripeUnavailableError, StripeRequestError.
        """
        before, after = await self._price(old), await self._price(new)
        if before["id"] == after["id"]:
            raise InvalidInputError(f"{old} and {new} are the same price.")
        entry = self._catalog.find_price(after["id"]) or self._catalog.find_price(
            after.get("lookup_key") or ""
        )
        if entry is None or entry.plan is None:
            raise ConfigurationError(
                f"{new} buys no plan of the catalogue: whoever is moved to it would lose access."
            )
        target = await self._target(entry, after)
        return partial(_only, before["id"], target)

    async def _price(self, reference: str) -> Obj:
        found = await self._gateway.fetch("price", reference)
        found = found or (await self._gateway.prices_by_lookup_key([reference])).get(reference)
        if found is None:
            raise InvalidInputError(f"Stripe has no price of the id or lookup key {reference!r}.")
        if found.get("recurring") is None:
            raise InvalidInputError(f"{reference} is not a recurring price.")
        return found

    async def _target(self, entry: PriceEntry, found: Obj) -> Target:
        price_id = found["id"]
        faults = differences_of(entry.price, found)
        record = await self._store.read(lambda tx: tx.subscriptions.price(price_id))
        if record is not None and not stands_for(record, entry):
            faults.append("it was sold as something else before")
        if faults or entry.plan is None:
            raise ConfigurationError(
                f"Stripe's price {entry.price.lookup_key!r} is not the catalogue's: "
                f"{', '.join(faults)}. Run `gatekeeper stripe setup`."
            )
        return Target(
            price_id=price_id,
            plan=entry.plan.key,
            unit_amount_minor=amount_of(found),
            terms=terms_of(found),
        )


def _only(old: str, target: Target, tx: Transaction, price_id: str) -> Target | None:
    return target if price_id == old else None
