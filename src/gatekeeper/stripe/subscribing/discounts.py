"""Coupons, which the host hands out, and promotion codes, which people type.

A coupon's id is worth money: one is taken only if the settings name it. A promotion code is made
for the public: it is looked up, and Stripe holds its restrictions against the purchase
(https://docs.stripe.com/billing/subscriptions/coupons).
"""

from datetime import datetime
from typing import Any, Final

from gatekeeper.errors import DiscountError, InvalidInputError, StripeRequestError
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.subscribing.means import moment
from gatekeeper.stripe.subscribing.values import PromotionCode

MAX_CODE_CHARS: Final = 500
"""The longest code that a promotion code can have."""

Discount = dict[str, str] | None
"""A discount as a request to Stripe names it."""

_OF_DISCOUNTS: Final = ("discounts", "coupon", "promotion_code")


class Discounts:
    """Finds what a discount is, and whether it may be asked for."""

    def __init__(self, gateway: StripeGateway, coupons: frozenset[str]) -> None:
        self._gateway = gateway
        self._coupons = coupons

    async def asked(self, coupon: str | None, promotion_code: str | None) -> Discount:
        """The discount as a request to Stripe names it; None without one.

        Raises:
            InvalidInputError: both were given.
            DiscountError: the settings name no such coupon, or there is no such code.
        """
        if coupon is not None and promotion_code is not None:
            raise InvalidInputError("Give a coupon or a promotion code, not both.")
        if coupon is not None:
            if coupon not in self._coupons:
                raise DiscountError
            return {"coupon": coupon}
        if promotion_code is None:
            return None
        return {"promotion_code": str((await self._found(promotion_code))["id"])}

    async def look_up(self, code: str) -> PromotionCode:
        """What an active promotion code takes off.

        Raises:
            DiscountError: there is none.
        """
        found = await self._found(code)
        coupon, limits = _coupon_of(found), found.get("restrictions") or {}
        return PromotionCode(
            code=found["code"],
            percent_off=coupon.get("percent_off"),
            amount_off_minor=coupon.get("amount_off"),
            currency=coupon.get("currency"),
            duration=coupon.get("duration") or "once",
            duration_in_months=coupon.get("duration_in_months"),
            expires_at=_ends(found),
            minimum_amount_minor=limits.get("minimum_amount"),
            minimum_currency=limits.get("minimum_amount_currency"),
            first_time_only=bool(limits.get("first_time_transaction")),
        )

    async def _found(self, code: str) -> Obj:
        if not code or len(code) > MAX_CODE_CHARS or not code.isprintable():
            raise DiscountError
        found = await self._gateway.listed(
            "/v1/promotion_codes",
            {"code": code, "active": True, "expand": ["data.promotion.coupon"]},
            what="listing promotion codes",
        )
        for one in found:
            if one.get("active") and _coupon_of(one).get("valid", True):
                return one
        raise DiscountError


def _coupon_of(found: Obj) -> Obj:
    """The coupon of a promotion code: inside `promotion` since 2025-09-30 (clover)."""
    coupon = (found.get("promotion") or {}).get("coupon") or found.get("coupon")
    return coupon if isinstance(coupon, dict) else {}


def _ends(found: Obj) -> datetime | None:
    at = found.get("expires_at")
    return None if at is None else moment(at)


def is_alike(found: Obj, asked: Discount) -> bool:
    """Whether a subscription (with its discounts expanded) or a checkout session has the discount
    that is asked for, and no other."""
    has: list[dict[str, Any]] = [one for one in found.get("discounts") or [] if one]
    if asked is None or len(has) != 1 or not isinstance(has[0], dict):
        return asked is None and not has
    if "promotion_code" in asked:
        return _id(has[0].get("promotion_code")) == asked["promotion_code"]
    source = has[0].get("source") or {}
    coupon = _id(source.get("coupon") or has[0].get("coupon"))
    return coupon == asked["coupon"] and has[0].get("promotion_code") is None


def _id(value: Any) -> str | None:
    return value.get("id") if isinstance(value, dict) else value


def refused(error: StripeRequestError) -> bool:
    """Whether Stripe has refused a request for its discount: that is over, or not for this."""
    param = str(error.params.get("stripe_param") or "")
    code = str(error.params.get("stripe_code") or "")
    return param.startswith(_OF_DISCOUNTS) or code.startswith(("coupon", "promotion_code"))
