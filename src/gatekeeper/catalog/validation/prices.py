"""Checking prices, and finding them again by whatever names them."""

from typing import Final, get_args

from gatekeeper.catalog.currencies import MAX_PRICE_MINOR, find_currency
from gatekeeper.catalog.plans import Price, PriceEntry, PriceInterval
from gatekeeper.catalog.validation.faults import Faults, shown

MAX_LOOKUP_KEY_CHARS: Final = 200
"""Stripe's bound (https://docs.stripe.com/api/prices/create)."""
MAX_INTERVALS: Final[dict[str, int]] = {"day": 1095, "week": 156, "month": 36, "year": 3}
"""Stripe bills at least every three years (https://docs.stripe.com/api/prices/create)."""


class PriceBook:
    """Prices by lookup key and by price id: one space of names, since either may be asked for."""

    __slots__ = ("_faults", "_places", "entries")

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._places: dict[str, str] = {}
        self.entries: dict[str, PriceEntry] = {}

    def add(self, place: str, entry: PriceEntry) -> bool:
        """Check a price and note what it buys; False if anything is wrong with it."""
        faults, before, price = self._faults, len(self._faults), entry.price
        for where, reference in self._references(place, price):
            if reference in self.entries:
                faults.add(
                    where, f"{reference!r} is the price at {self._places[reference]} already"
                )
            else:
                self.entries[reference] = entry
                self._places[reference] = place
        self._amount(place, price, for_plan=entry.plan is not None)
        self._recurrence(place, price, for_plan=entry.plan is not None)
        return len(faults) == before

    def _references(self, place: str, price: Price) -> list[tuple[str, str]]:
        """The valid lookup key and price ids, with their places."""
        found: list[tuple[str, str]] = []
        where = f"{place}.lookup_key"
        if self._faults.text(where, price.lookup_key, at_most=MAX_LOOKUP_KEY_CHARS):
            found.append((where, price.lookup_key))
        for where, price_id in self._faults.items(f"{place}.ids", price.ids, str):
            if self._faults.text(where, price_id, at_most=MAX_LOOKUP_KEY_CHARS):
                found.append((where, price_id))
        return found

    def _amount(self, place: str, price: Price, *, for_plan: bool) -> None:
        # A plan may cost nothing (Stripe invoices 0, and that covers the period); a pack that
        # costs nothing would be credits for the asking.
        where = f"{place}.amount_minor"
        sound = self._faults.whole(
            where, price.amount_minor, minimum=0 if for_plan else 1, maximum=MAX_PRICE_MINOR
        )
        currency = find_currency(price.currency)
        if currency is None:
            self._faults.add(
                f"{place}.currency",
                f"{shown(price.currency)} is no currency of Stripe's in three lower-case letters",
            )
        elif sound and price.amount_minor % currency.step:
            self._faults.add(
                where,
                f"Stripe takes {currency.code} only in multiples of {currency.step} minor units",
            )

    def _recurrence(self, place: str, price: Price, *, for_plan: bool) -> None:
        most = 1
        if price.every is None:
            if for_plan:
                self._faults.add(f"{place}.every", "a plan's price recurs: say how often")
        elif not for_plan:
            self._faults.add(f"{place}.every", "a pack is bought once: its price does not recur")
        elif self._faults.choice(f"{place}.every", price.every, get_args(PriceInterval)):
            most = MAX_INTERVALS[price.every]
        self._faults.whole(f"{place}.every_count", price.every_count, maximum=most)
