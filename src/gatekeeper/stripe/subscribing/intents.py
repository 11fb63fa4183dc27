"""What a change of a subscription comes to: from what, to what, when, and as which parameters."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gatekeeper.catalog import PriceEntry
from gatekeeper.errors import ConflictError, InvalidInputError
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.checkout_params import check_quantity
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.moves.judging import reason_against
from gatekeeper.stripe.subscribing.direction import is_more
from gatekeeper.stripe.subscribing.means import Means, moment
from gatekeeper.stripe.subscribing.values import When

PREVIEW_LIFE: Final = timedelta(minutes=15)
"""For how long the instant of a preview may be billed: nobody may choose their own proration."""

_CLOCKS: Final = timedelta(seconds=30)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A change that can be made.

    Attributes:
        found: the subscription as Stripe has it.
        item: the item that is changed.
        price_id: Stripe's id of the new price.
        metered: Stripe's ids of the prices of the new plan's overage.
        is_more: whether it is paid for now.
        as_of: the instant that is billed; None is Stripe's now.
    """

    found: Obj
    item: Obj
    old: PriceEntry
    entry: PriceEntry
    quantity: int
    price_id: str
    metered: tuple[str, ...]
    is_more: bool
    when: When
    as_of: datetime | None

    @property
    def is_nothing(self) -> bool:
        """Whether the subscription is so already."""
        has = (self.item["price"]["id"], self.item.get("quantity", 1))
        return has == (self.price_id, self.quantity)

    @property
    def bills_now(self) -> bool:
        """Whether an invoice is made at once: of more, or of a period that begins now because it
        has another length. A credit for less is on the next invoice."""
        if self.is_nothing or self.found["status"] == "trialing" or self.when != "now":
            return False
        old, new = self.old.price, self.entry.price
        return self.is_more or (old.every, old.every_count) != (new.every, new.every_count)

    @property
    def schedule(self) -> str | None:
        """The id of the schedule that directed the subscription when this was judged."""
        named = self.found.get("schedule")
        return named["id"] if isinstance(named, dict) else named

    @property
    def period_end(self) -> datetime:
        """When the present period ends."""
        return moment(self.item["current_period_end"])

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of an update: the one that is changed, and those that bill its overage. The
        quantity is said, since Stripe sets it to 1 with another price otherwise
        (https://docs.stripe.com/api/subscription_items/update)."""
        beside = [one for one in _rows(self.found) if _is_metered(one)]
        has = {one["price"]["id"] for one in beside}
        return [
            {"id": self.item["id"], "price": self.price_id, "quantity": self.quantity},
            *(
                {"id": one["id"], "deleted": True}
                for one in beside
                if one["price"]["id"] not in self.metered
            ),
            *({"price": one} for one in self.metered if one not in has),
        ]

    @property
    def whole(self) -> list[dict[str, Any]]:
        """All items as they are to be."""
        return [
            {"price": self.price_id, "quantity": self.quantity},
            *({"price": one} for one in self.metered),
        ]


class Intents:
    """Judges changes."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def judged(
        self,
        customer: str,
        subscription_id: str,
        *,
        price: str | None,
        quantity: int | None,
        when: When | None,
        as_of: datetime | None,
    ) -> Intent:
        """What a change comes to.

        Raises:
            NotFoundError: the subscription is not this customer's.
            UnknownNameError, InvalidInputError, InvalidAmountError.
            ConflictError: it can't be changed just now, or not so: another currency, several plans.
            ConfigurationError: Stripe has another price than the catalogue.
        """
        means = self._means
        found = await means.owned(customer, subscription_id)
        _refuse_what_is_not_running(found)
        item, old = await means.store.read(lambda tx: self._sold(tx, found))
        has: int = item.get("quantity", 1)
        wanted = has if quantity is None else quantity
        entry = old if price is None else means.rules.catalog.price(price)
        if entry.plan is None:
            raise InvalidInputError(f"{price!r} is not the price of a plan.")
        check_quantity(entry, wanted)
        if entry.price.currency != found["currency"]:
            raise ConflictError(f"The subscription is billed in {found['currency']}.")
        keeps = price is None or entry == old
        # Who keeps a price keeps the one that they bought, and that of its overage.
        price_id = item["price"]["id"] if keeps else await means.prices.price_id(entry)
        metered = (
            [one["price"]["id"] for one in _rows(found) if _is_metered(one)]
            if keeps
            else await means.prices.metered_ids(entry)
        )
        more = is_more(means.rules.catalog, old, entry, has, wanted)
        intent = Intent(
            found=found,
            item=item,
            old=old,
            entry=entry,
            quantity=wanted,
            price_id=price_id,
            metered=tuple(metered),
            is_more=more,
            when=self._when(found, entry, when, is_more=more),
            as_of=await means.store.read(lambda tx: _billable(tx, as_of)),
        )
        return replace(intent, when="now") if intent.is_nothing else intent

    def _sold(self, tx: Transaction, found: Obj) -> tuple[Obj, PriceEntry]:
        """The one item that sells a plan of the catalogue."""
        sold = []
        for item in _rows(found):
            record = tx.subscriptions.price(item["price"]["id"])
            name = item["price"]["id"] if record is None else record.lookup_key
            entry = self._means.rules.catalog.find_price(name)
            if entry is not None and entry.plan is not None and not _is_metered(item):
                sold.append((item, entry))
        if len(sold) != 1:
            raise ConflictError("The subscription is not of one plan: it is changed by hand.")
        return sold[0]

    def _when(self, found: Obj, entry: PriceEntry, when: When | None, *, is_more: bool) -> When:
        """Less is never given at once but by the host's policy, since it gives money back; and a
        trial is not carried over to a plan that has none."""
        assert entry.plan is not None
        if when == "period_end":
            return when
        if found["status"] == "trialing":
            return "now" if entry.plan.trial_days is not None else "period_end"
        if not is_more and self._means.policy.downgrades == "period_end":
            return "period_end"
        return when or "now"


def _rows(found: Obj) -> Sequence[Obj]:
    rows: Sequence[Obj] = found["items"]["data"]
    return rows


def _is_metered(item: Obj) -> bool:
    return bool((item["price"].get("recurring") or {}).get("usage_type") == "metered")


def _refuse_what_is_not_running(found: Obj) -> None:
    """A schedule is no hindrance here: one of ours is replaced, and `schedules` refuses others. A
    change that waits for its payment is replaced by the next one, as Stripe does it."""
    bare = {**found, "schedule": None, "pending_update": None}
    reason = reason_against(bare)
    if reason is not None:
        raise ConflictError(f"The subscription can't be changed: {reason}.")
    if found.get("pause_collection") is not None:
        raise ConflictError("The subscription can't be changed: it is paused.")


def _billable(tx: Transaction, as_of: datetime | None) -> datetime | None:
    if as_of is None:
        return None
    if as_of.tzinfo is None:
        raise InvalidInputError("An instant needs a time zone.")
    now = tx.now()
    if not now - PREVIEW_LIFE <= as_of <= now + _CLOCKS:
        raise ConflictError("The preview is out of date: make another.")
    return as_of
