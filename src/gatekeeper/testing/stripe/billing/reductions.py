"""What discounts take of amounts: of an invoice's lines, a session's rows, a proration.

Each discount takes from what the one before it left. A percentage is taken of each amount and
rounded half up; a fixed amount is shared out in proportion, and never makes an amount negative.
Prorations are discounted in themselves (`proration_discounts: included`), so they carry no discount
amounts. Source: Stripe's pages "Coupons and promotion codes" and "Compare classic and flexible
billing mode".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from gatekeeper.testing.stripe.billing import discounts
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Part:
    """An amount in minor units, of a product (or of nothing that is one)."""

    amount: int
    product: str | None = None


def taken(coupons: Sequence[Obj], parts: Sequence[Part]) -> list[list[int]]:
    """For each part, what each coupon takes of it."""
    left = [max(0, part.amount) for part in parts]
    took: list[list[int]] = [[] for _ in parts]
    for coupon in coupons:
        only = (coupon.get("applies_to") or {}).get("products")
        open_ = [
            0 if only and p.product not in only else n for n, p in zip(left, parts, strict=True)
        ]
        for index, share in enumerate(_shares(coupon, open_)):
            took[index].append(share)
            left[index] -= share
    return took


def _shares(coupon: Obj, amounts: list[int]) -> list[int]:
    if coupon["percent_off"] is not None:
        part = Decimal(str(coupon["percent_off"])) / 100
        return [int((n * part).quantize(ONE, ROUND_HALF_UP)) for n in amounts]
    whole = sum(amounts)
    off = min(int(coupon["amount_off"]), whole)
    shares, gone, seen = [], 0, 0
    for amount in amounts:  # what is rounded away of one goes to the next: the sum is exact
        seen += amount
        share = (off * seen // whole if whole else 0) - gone
        shares.append(share)
        gone += share
    return shares


def left_of(coupons: Sequence[Obj], parts: Sequence[Part], index: int) -> Decimal:
    """Which share of one part the coupons leave."""
    amount = parts[index].amount
    if not coupons or amount <= 0:
        return ONE
    return Decimal(amount - sum(taken(coupons, parts)[index])) / Decimal(amount)


def on_lines(state: State, lines: list[Obj], found: list[Obj]) -> list[Obj]:
    """Write the amounts of these discounts on an invoice's lines; the invoice's
    `total_discount_amounts`. A credit and a proration are not discountable."""
    open_ = [line for line in lines if line["discountable"]]
    coupons = [discounts.coupon_of(state, one) for one in found]
    parts = [Part(line["amount"], line["pricing"]["price_details"]["product"]) for line in open_]
    totals = dict.fromkeys((one["id"] for one in found), 0)
    for line, shares in zip(open_, taken(coupons, parts), strict=True):
        named = zip(found, shares, strict=True)
        line["discount_amounts"] = [{"amount": n, "discount": d["id"]} for d, n in named if n]
        for share in line["discount_amounts"]:
            totals[share["discount"]] += share["amount"]
    return [{"amount": amount, "discount": name} for name, amount in totals.items()]


def due(lines: list[Obj], coupons: Sequence[Obj]) -> int:
    """What lines come to, less what the coupons take."""
    open_ = [line for line in lines if line["discountable"]]
    parts = [Part(line["amount"], line["pricing"]["price_details"]["product"]) for line in open_]
    off = sum(sum(shares) for shares in taken(coupons, parts))
    return sum(int(line["amount"]) for line in lines) - off


def net(line: Obj) -> int:
    """What a line costs after its discounts."""
    return int(line["amount"]) - sum(int(one["amount"]) for one in line["discount_amounts"])
