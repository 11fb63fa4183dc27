"""`/v1/coupons` and `/v1/promotion_codes`."""

from decimal import Decimal
from typing import Any

from gatekeeper.testing.stripe.billing.discounts import CODE, close_codes
from gatekeeper.testing.stripe.core.errors import invalid, missing_parameter
from gatekeeper.testing.stripe.core.params import (
    Amount,
    Choice,
    Currency,
    Fields,
    Flag,
    Integer,
    Kind,
    Many,
    Metadata,
    Moment,
    Text,
    merge_metadata,
)
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import list_params, page
from gatekeeper.testing.stripe.routing import Api, listed, one_of
from gatekeeper.testing.stripe.state import State

PATH, CODES = "/v1/coupons", "/v1/promotion_codes"

_CHANGE: dict[str, Kind] = {"metadata": Metadata(), "name": Text(40)}

_CREATE: dict[str, Kind] = {
    **_CHANGE,
    "amount_off": Integer(1),
    "applies_to": Fields({"products": Many(Text())}),
    "currency": Currency(),
    "duration": Choice(("forever", "once", "repeating")),
    "duration_in_months": Integer(1),
    "id": Text(200),
    "max_redemptions": Integer(1),
    "percent_off": Amount(),
    "redeem_by": Moment(),
}

_RESTRICTIONS = Fields(
    {
        "first_time_transaction": Flag(),
        "minimum_amount": Integer(1),
        "minimum_amount_currency": Currency(),
    }
)

_NEW_CODE: dict[str, Kind] = {
    "active": Flag(),
    "code": Text(500),
    "customer": Text(),
    "expires_at": Moment(),
    "max_redemptions": Integer(1),
    "metadata": Metadata(),
    "promotion": Fields({"coupon": Text(), "type": Choice(("coupon",))}, ("coupon", "type")),
    "restrictions": _RESTRICTIONS,
}


def create(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/coupons`."""
    identifier = params.get("id") or state.ids.token(8)
    if state.store.find("coupon", identifier) is not None:
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
    duration = params.get("duration") or "once"
    _check(params, duration)
    percent = params.get("percent_off")
    for name in (params.get("applies_to") or {}).get("products") or []:
        state.store.need("product", name, "applies_to[products]")
    made: Obj = {
        "id": identifier,
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": state.now(),
        "currency": params.get("currency") if percent is None else None,
        "duration": duration,
        "duration_in_months": params.get("duration_in_months"),
        "livemode": state.settings.livemode,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merge_metadata({}, params.get("metadata")),
        "name": params.get("name"),
        "percent_off": None if percent is None else float(percent),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    state.store.add("coupon", made, applies_to=params.get("applies_to"))
    state.emit("coupon.created", made)
    if made["redeem_by"] is not None:
        state.agenda.at(made["redeem_by"], lambda: _too_late(state, made))
    return made


def _check(params: dict[str, Any], duration: str) -> None:
    amount, percent = params.get("amount_off"), params.get("percent_off")
    if (amount is None) == (percent is None):
        raise invalid("You must pass either `percent_off` or `amount_off`.", "percent_off")
    if percent is not None and not 0 < Decimal(percent) <= 100:
        raise invalid("`percent_off` must be greater than 0 and at most 100.", "percent_off")
    if amount is not None and params.get("currency") is None:
        raise missing_parameter("currency")
    if (duration == "repeating") != (params.get("duration_in_months") is not None):
        raise invalid(
            "`duration_in_months` is required when `duration` is `repeating`, and only then.",
            "duration_in_months",
        )


def _too_late(state: State, coupon: Obj) -> None:
    _over(state, coupon, "valid", "coupon.updated")
    close_codes(state, coupon["id"])


def _over(state: State, found: Obj, field: str, event: str) -> None:
    if found.get(field):
        with state.changing(found, event):
            found[field] = False


def update(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/coupons/{coupon}`: what it takes off never changes."""
    found = state.store.need("coupon", identifier)
    with state.changing(found, "coupon.updated"):
        if "name" in params:
            found["name"] = params["name"]
        if "metadata" in params:
            found["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    return found


def delete(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`DELETE /v1/coupons/{coupon}`: who has redeemed it keeps the discount."""
    found = state.store.need("coupon", identifier)
    close_codes(state, identifier)
    state.emit("coupon.deleted", found)
    state.store.hidden(found)["was"] = {**found, "valid": False}
    return state.store.bury("coupon", found)


def create_code(state: State, params: dict[str, Any]) -> Obj:
    """`POST /v1/promotion_codes`: a code that nobody else has who is active."""
    coupon = state.store.need("coupon", params["promotion"]["coupon"], "promotion[coupon]")
    code = params.get("code") or state.ids.token(8).upper()
    taken = [c for c in state.store.where(CODE, active=True) if c["code"].lower() == code.lower()]
    if taken:
        raise invalid("An active promotion code with this code already exists.", "code")
    if not coupon["valid"]:
        raise invalid(f"Coupon expired: {coupon['id']}", "promotion[coupon]", "coupon_expired")
    if params.get("customer") is not None:
        state.store.need("customer", params["customer"], "customer")
    expires = params.get("expires_at")
    if expires is not None and expires <= state.now():
        raise invalid("`expires_at` must be in the future.", "expires_at")
    terms = params.get("restrictions") or {}
    if (terms.get("minimum_amount") is None) != (terms.get("minimum_amount_currency") is None):
        raise missing_parameter("restrictions[minimum_amount_currency]")
    active = params.get("active")
    made: Obj = {
        "id": state.ids.new("promo"),
        "object": CODE,
        "active": True if active is None else active,
        "code": code,
        "created": state.now(),
        "customer": params.get("customer"),
        "customer_account": None,
        "expires_at": expires,
        "livemode": state.settings.livemode,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merge_metadata({}, params.get("metadata")),
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {
            "first_time_transaction": bool(terms.get("first_time_transaction")),
            "minimum_amount": terms.get("minimum_amount"),
            "minimum_amount_currency": terms.get("minimum_amount_currency"),
        },
        "times_redeemed": 0,
    }
    state.store.add(CODE, made)
    state.emit("promotion_code.created", made)
    if expires is not None:
        state.agenda.at(expires, lambda: _over(state, made, "active", "promotion_code.updated"))
    return made


def update_code(state: State, params: dict[str, Any], identifier: str) -> Obj:
    """`POST /v1/promotion_codes/{promotion_code}`."""
    found = state.store.need(CODE, identifier)
    coupon = state.store.get("coupon", found["promotion"]["coupon"])
    if params.get("active") and not coupon.get("valid"):
        raise invalid("The coupon of this promotion code is over.", "active", "coupon_expired")
    with state.changing(found, "promotion_code.updated"):
        if params.get("active") is not None:
            found["active"] = params["active"]
        if "metadata" in params:
            found["metadata"] = merge_metadata(found["metadata"], params["metadata"])
    return found


def list_codes(state: State, params: dict[str, Any]) -> Obj:
    """`GET /v1/promotion_codes`."""
    names = ("active", "customer")
    exact = {name: params[name] for name in names if params.get(name) is not None}
    code, coupon = params.get("code"), params.get("coupon")
    rows = [
        one
        for one in state.store.where(CODE, **exact)
        if (code is None or one["code"].lower() == code.lower())
        and coupon in (None, one["promotion"]["coupon"])
    ]
    return page(CODES, rows, params)


def register(api: Api) -> None:
    """Declare the operations."""

    def products(state: State, coupon: Obj) -> Any:
        return state.store.hidden(coupon).get("applies_to") or {"products": []}

    own, own_code = f"{PATH}/{{coupon}}", f"{CODES}/{{promotion_code}}"
    api.add("POST", PATH, create, Fields(_CREATE))
    api.add("GET", PATH, listed("coupon", PATH), list_params())
    api.add("GET", own, one_of("coupon"))
    api.add("POST", own, update, Fields(_CHANGE))
    api.add("DELETE", own, delete)
    api.add("POST", CODES, create_code, Fields(_NEW_CODE, ("promotion",)))
    filters: dict[str, Kind] = dict.fromkeys(("code", "coupon", "customer"), Text())
    api.add("GET", CODES, list_codes, list_params(active=Flag(), **filters))
    api.add("GET", own_code, one_of(CODE))
    change: dict[str, Kind] = {"active": Flag(), "metadata": Metadata()}
    api.add("POST", own_code, update_code, Fields(change))
    api.expander.includable("coupon", "applies_to", products)
