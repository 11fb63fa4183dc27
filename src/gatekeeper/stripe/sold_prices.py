"""Stripe's prices for what the catalogue sells: found, compared, and recorded before a sale."""

from gatekeeper.catalog import PriceEntry
from gatekeeper.errors import ConfigurationError
from gatekeeper.services import prices
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import PriceRecord
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.metered_prices import is_as_declared
from gatekeeper.stripe.price_check import differences_of


class SoldPrices:
    """Finds them. Raises `ConfigurationError` where Stripe has none, or another one than the
    catalogue declares; `gatekeeper stripe setup` mends it."""

    def __init__(self, gateway: StripeGateway, store: Store, rules: Rules) -> None:
        self._gateway = gateway
        self._store = store
        self._rules = rules

    async def price_id(self, entry: PriceEntry) -> str:
        """Stripe's id of the price, recorded as what it stands for now."""
        declared = entry.price
        found = (await self._gateway.prices_by_lookup_key([declared.lookup_key])).get(
            declared.lookup_key
        )
        for price_id in declared.ids:
            found = found or await self._gateway.fetch("price", price_id)
        faults = ["it is missing"] if found is None else differences_of(declared, found)
        if found is None or faults:
            raise ConfigurationError(
                f"Stripe's price {declared.lookup_key!r} is not the catalogue's: "
                f"{', '.join(faults)}. Run `gatekeeper stripe setup`."
            )
        price_id = str(found["id"])

        def record(tx: Transaction) -> PriceRecord:
            known = tx.subscriptions.price(price_id)
            return known or prices.record_price(tx, entry, price_id, tx.now())

        if not prices.stands_for(await self._store.write(record), entry):
            raise ConfigurationError(
                f"Stripe's price {price_id} was sold as something else before: make another price "
                f"for {declared.lookup_key!r} and transfer the lookup key to it."
            )
        return price_id

    async def metered_ids(self, entry: PriceEntry) -> list[str]:
        """Stripe's ids of the prices that bill the plan's overage: lines without a quantity."""
        declared = self._rules.catalog.metered_beside(entry)
        if not declared:
            return []
        keys = [price.lookup_key for price in declared]
        found = await self._gateway.prices_by_lookup_key(keys)
        for price in declared:
            if price.lookup_key not in found or not is_as_declared(price, found[price.lookup_key]):
                raise ConfigurationError(
                    f"Stripe's price {price.lookup_key!r} is not the catalogue's, or is missing. "
                    "Run `gatekeeper stripe setup`."
                )
        return [str(found[key]["id"]) for key in keys]
