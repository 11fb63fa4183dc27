"""Coupons and promotion codes: whether they can be redeemed, and the discounts that they become.

A coupon says what is taken off and for how long; a promotion code is a word that a customer types
for one; a discount is a coupon that somebody has redeemed. Sources: Stripe's pages "Coupons and
promotion codes" and "Error codes" (`coupon_expired`, `promotion_code_customer_missing_first_time`,
`promotion_code_customer_not_first_time`).
Simplified: a customer has no discount of their own, and an item of a subscription neither.
"""

from dataclasses import dataclass
from typing import Any

from gatekeeper.testing.stripe.billing.calendar import boundary
from gatekeeper.testing.stripe.core.errors import ApiError, invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import Fields, Many, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

KIND = "discount"
CODE = "promotion_code"

GIVEN = Many(Fields({"coupon": Text(), "discount": Text(), "promotion_code": Text()}), 20)
"""How an API call names discounts."""

NEW = Many(Fields({"coupon": Text(), "promotion_code": Text()}), 1)
"""How a checkout session names them: one at most."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """A coupon (as it was when it was named, with its products) that may be redeemed, or (`kept`) a
    discount that is there already."""

    coupon: Obj
    promotion_code: str | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """What is bought, as far as restrictions ask: by whom, for how much in which currency."""

    customer: Obj | None
    amount: int
    currency: str


def resolve(
    state: State, wanted: list[dict[str, Any]], sale: Sale, path: str = "discounts"
) -> list[Reduction]:
    """The reductions that a call names; an ApiError for one that cannot be redeemed."""
    return [_one(state, one, sale, f"{path}[{index}]") for index, one in enumerate(wanted)]


def _one(state: State, given: dict[str, Any], sale: Sale, path: str) -> Reduction:
    named = [key for key in ("coupon", "discount", "promotion_code") if given.get(key)]
    if len(named) > 1:
        both = ", ".join(named)
        raise invalid(f"You may only specify one of these parameters: {both}.", path)
    if not named:
        raise missing_parameter(f"{path}[coupon]")
    key = named[0]
    param, identifier = f"{path}[{key}]", given[key]
    if key == "discount":
        kept = state.store.need(KIND, identifier, param)
        return Reduction(coupon_of(state, kept), kept["promotion_code"], kept["id"])
    if key == "coupon":
        found = state.store.need("coupon", identifier, param)
        check_coupon(found, sale.currency, param)
        return Reduction(_named(state, found))
    code = state.store.need(CODE, identifier, param)
    if code["restrictions"]["first_time_transaction"] and sale.customer is None:
        raise invalid(
            "This promotion code is restricted to first-time customers: specify a customer.",
            param,
            "promotion_code_customer_missing_first_time",
        )
    return of_code(state, code, sale, param)


def of_code(state: State, code: Obj, sale: Sale, param: str) -> Reduction:
    """The reduction of a promotion code, with its restrictions."""
    coupon = state.store.get("coupon", code["promotion"]["coupon"])
    if not code["active"]:
        raise invalid(
            "This promotion code is not active: it cannot be redeemed.", param, "coupon_expired"
        )
    check_coupon(coupon, sale.currency, param)
    reason: tuple[str, str | None] | None = None
    if code["customer"] is not None and (sale.customer or {}).get("id") != code["customer"]:
        reason = ("the code is not associated with this customer", None)
    elif code["restrictions"]["first_time_transaction"] and has_bought(state, sale.customer):
        reason = (
            "the associated customer has prior transactions",
            "promotion_code_customer_not_first_time",
        )
    elif sale.amount < _minimum(state, code, sale.currency):
        reason = ("the associated purchase does not meet the minimum amount requirement", None)
    if reason is not None:
        raise invalid(
            f"This promotion code cannot be redeemed because {reason[0]}.", param, reason[1]
        )
    return Reduction(_named(state, coupon), code["id"])


def typed(state: State, code: str, sale: Sale) -> Reduction:
    """The reduction of a code that a customer typed, in whichever case; the active one counts."""
    found = [one for one in state.store.all(CODE) if one["code"].lower() == code.strip().lower()]
    found.sort(key=lambda one: not one["active"])
    if not found:
        raise ApiError(400, "This promotion code is invalid.", param="promotion_code")
    return of_code(state, found[0], sale, "promotion_code")


def terms(reductions: list[Reduction]) -> list[Obj]:
    """The coupons of reductions, with the products that each is for."""
    return [one.coupon for one in reductions]


def _named(state: State, coupon: Obj) -> Obj:
    return {**coupon, "applies_to": state.store.hidden(coupon).get("applies_to")}


def check_coupon(coupon: Obj, currency: str, param: str) -> None:
    """Refuse a coupon that is over, or that is of another currency."""
    if not coupon["valid"]:
        raise invalid(f"Coupon expired: {coupon['id']}", param, "coupon_expired")
    if coupon["amount_off"] is not None and coupon["currency"] != currency:
        raise invalid(
            f"The coupon `{coupon['id']}` is in {coupon['currency']} and cannot be applied to an"
            f" amount in {currency}.",
            param,
        )


def has_bought(state: State, customer: Obj | None) -> bool:
    """Whether a customer has a successful payment or an invoice that is not a draft or void."""
    if customer is None:
        return False
    paid = state.store.where("charge", customer=customer["id"], status="succeeded")
    invoices = state.store.where("invoice", customer=customer["id"])
    return bool(paid) or any(one["status"] not in ("draft", "void") for one in invoices)


def _minimum(state: State, code: Obj, currency: str) -> int:
    """In minor units; a minimum in another currency cannot be met."""
    terms = code["restrictions"]
    least: int | None = terms["minimum_amount"]
    if least is None:
        return 0
    return least if terms["minimum_amount_currency"] == currency else 10**12


def redeem(
    state: State, reductions: list[Reduction], *, customer: Obj | None, **owner: str | None
) -> list[str]:
    """Make discounts of what is new, count it, and give the ids of all; `owner` is a
    `subscription` or a `checkout_session`."""
    return [
        one.kept or _redeem(state, one, customer["id"] if customer else None, owner)
        for one in reductions
    ]


def _redeem(state: State, one: Reduction, customer: str | None, owner: dict[str, Any]) -> str:
    made = new(state, one, customer, **owner)
    coupon = state.store.get("coupon", one.coupon["id"])
    if not coupon.get("deleted"):  # a checkout began before that, and goes on
        _count(state, coupon)
    code = state.store.find(CODE, one.promotion_code)
    if code is not None:
        with state.changing(code, "promotion_code.updated"):
            code["times_redeemed"] += 1
            if code["times_redeemed"] >= (code["max_redemptions"] or 10**12):
                code["active"] = False
    if not coupon.get("valid"):
        close_codes(state, coupon["id"])
    if owner.get("subscription") is not None:
        state.emit("customer.discount.created", made)
        if made["end"] is not None:
            state.agenda.at(made["end"], lambda: _ended(state, made))
    return str(made["id"])


def _count(state: State, coupon: Obj) -> None:
    with state.changing(coupon, "coupon.updated"):
        coupon["times_redeemed"] += 1
        over = coupon["times_redeemed"] >= (coupon["max_redemptions"] or 10**12)
        coupon["valid"] = coupon["valid"] and not over


def _ended(state: State, made: Obj) -> None:
    """The months are over: the subscription loses it."""
    subscription = state.store.find("subscription", made["subscription"])
    if subscription is not None and made["id"] in subscription["discounts"]:
        with state.changing(subscription, "customer.subscription.updated"):
            remove(state, subscription, [made["id"]])


def new(state: State, one: Reduction, customer: str | None, **owner: str | None) -> Obj:
    """A discount object, which nobody has counted."""
    now, months = state.now(), one.coupon["duration_in_months"]
    made: Obj = {
        "id": state.ids.new("di"),
        "object": KIND,
        "checkout_session": None,
        "customer": customer,
        "customer_account": None,
        "end": boundary(now, "month", months, 1) if months else None,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": one.promotion_code,
        "source": {"coupon": one.coupon["id"], "type": "coupon"},
        "start": now,
        "subscription": None,
        "subscription_item": None,
        **owner,
    }
    return state.store.add(KIND, made, coupon=one.coupon)


def close_codes(state: State, coupon_id: str) -> None:
    """A coupon is over: so are its promotion codes."""
    for code in state.store.where(CODE, active=True):
        if code["promotion"]["coupon"] == coupon_id:
            with state.changing(code, "promotion_code.updated"):
                code["active"] = False


def coupon_of(state: State, discount: Obj) -> Obj:
    """The coupon behind a discount, as it was redeemed: deleting it changes nothing."""
    kept: Obj = state.store.hidden(discount)["coupon"]
    return kept


def active(state: State, subscription: Obj | None, at: int) -> list[Obj]:
    """The subscription's discounts that still run at a second."""
    ids: list[str] = (subscription or {}).get("discounts") or []
    found = [state.store.get(KIND, identifier) for identifier in ids]
    return [one for one in found if one["end"] is None or at < one["end"]]


def remove(state: State, subscription: Obj, ids: list[str]) -> None:
    """Take discounts off a subscription and say so."""
    for identifier in ids:
        subscription["discounts"].remove(identifier)
        gone = state.store.get(KIND, identifier)
        gone["end"] = min(gone["end"] or state.now(), state.now())
        state.emit("customer.discount.deleted", gone)
