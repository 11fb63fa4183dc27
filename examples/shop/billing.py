"""What this shop sells, and what a basket of it costs. A browser is never asked for a price."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from gatekeeper import Catalog, Feature, Gatekeeper, OrderRequest, Plan, Price, Quote
from gatekeeper.errors import FeatureRequiredError, InvalidInputError

CURRENCY = "eur"
CLUB_PERCENT = 10
"""What members of the club get off."""

club_pieces = Feature("club_pieces")

catalog = Catalog(
    plans=[
        Plan("guest", default=True),
        Plan(
            "club",
            name="Pottery Club",
            includes="guest",
            prices=[Price("club_monthly", amount_minor=499, currency=CURRENCY, every="month")],
            features=[club_pieces],
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class Product:
    """Something on the shelf; `club` is for members alone."""

    name: str
    amount_minor: int
    club: bool = False


SHELF = {
    "cup": Product("Espresso cup", 625),
    "bowl": Product("Breakfast bowl", 1_450),
    "teapot": Product("Teapot", 4_800),
    "raku": Product("Raku vase", 8_900, club=True),
}

Basket = dict[str, Annotated[int, Meta(ge=1, le=20)]]
"""How many of what."""


def sell(gate: Gatekeeper) -> None:
    """Have orders priced from the shelf."""

    @gate.orders.priced
    async def price(request: OrderRequest) -> Quote:
        try:
            basket = msgspec.convert(request.items, Basket)
            lines = [(SHELF[key], count) for key, count in basket.items()]
        except (msgspec.ValidationError, KeyError):
            raise InvalidInputError(
                "There is something in the basket that we don't sell."
            ) from None
        member = await gate.allows(request.identity.customer, "club_pieces")
        if not member and any(product.club for product, _ in lines):
            raise FeatureRequiredError("The Raku vase is for members of the club.")
        full = sum(product.amount_minor * count for product, count in lines)
        return Quote(
            amount_minor=full - full * CLUB_PERCENT // 100 if member else full,
            currency=CURRENCY,
            description=", ".join(f"{count} {product.name}" for product, count in lines),
            metadata={"shelf": "web"},
        )
