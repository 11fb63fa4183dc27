"""What things cost, whose the money is, and what the platform keeps.

The page says which thing is wanted, and with which coupon. What that costs, and who gets how much
of it, is computed here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gatekeeper import Catalog, Feature, Gatekeeper, Plan, Price
from gatekeeper.errors import InvalidInputError
from gatekeeper.services.orders import OrderRequest, Quote

COMMISSION_PERCENT = 10
CURRENCIES = ("eur", "usd", "jpy")
COUPONS = {"WELCOME": 5}
"""Percent off the price. The platform gives them out, and they come off its commission."""

made_to_order = Feature("made_to_order")

catalog = Catalog(
    plans=[
        Plan("member", default=True),
        Plan(
            "workshop",
            includes="member",
            prices=[Price("workshop_monthly", amount_minor=900, currency="eur", every="month")],
            features=[made_to_order],
        ),
    ]
)


class Wanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a buyer's page asks for."""

    thing: str
    coupon: str | None = None


@dataclass(frozen=True, slots=True)
class Thing:
    """Something for sale. What is made to order is paid when the seller takes the order on."""

    id: str
    seller: str
    seller_name: str
    name: str
    amount_minor: int
    currency: str
    made_to_order: bool = False


def quoted(thing: Thing, coupon: str | None) -> Quote:
    """The price of a thing. The seller gets the same share with a coupon and without."""
    if coupon is not None and coupon not in COUPONS:
        raise InvalidInputError("There is no such coupon.")
    off = thing.amount_minor * COUPONS.get(coupon or "", 0) // 100
    share = thing.amount_minor - thing.amount_minor * COMMISSION_PERCENT // 100
    amount = thing.amount_minor - off
    return Quote(
        amount_minor=amount,
        currency=thing.currency,
        description=thing.name,
        seller=thing.seller,
        commission_minor=amount - share,
        capture="manual" if thing.made_to_order else "automatic",
        transfers="separate" if thing.made_to_order else "destination",
    )


def sell(gate: Gatekeeper, things: Mapping[str, Thing]) -> None:
    """Price the orders of a gate."""

    @gate.orders.priced
    async def price(request: OrderRequest) -> Quote:
        wanted = _wanted(request.items)
        thing = things.get(wanted.thing)
        if thing is None:
            raise InvalidInputError("That is not for sale.")
        if thing.seller == request.identity.customer:
            raise InvalidInputError("Nobody buys from themselves.")
        return quoted(thing, wanted.coupon)


def _wanted(items: Any) -> Wanted:
    try:
        return msgspec.convert(items, Wanted)
    except msgspec.ValidationError as error:
        raise InvalidInputError(str(error)) from None
