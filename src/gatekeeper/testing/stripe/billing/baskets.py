"""What is in a checkout session, and what discounts take of it.

Source: Stripe's page "Discounts" of Checkout: one discount at most, given with the session or typed
by the customer as a promotion code.
"""

from typing import Any

from gatekeeper.testing.stripe.billing import amounts, discounts, reductions
from gatekeeper.testing.stripe.billing.discounts import Reduction, Sale
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def sale(state: State, session: Obj, due: int) -> Sale:
    """The session as restrictions see it, with what is `due` before discounts."""
    customer = state.store.find("customer", session["customer"])
    return Sale(customer=customer, amount=due, currency=session["currency"])


def give(state: State, session: Obj, wanted: list[dict[str, Any]], due: int) -> None:
    """The discounts that a session is made with."""
    reduce(state, session, discounts.resolve(state, wanted, sale(state, session, due)))


def enter(state: State, session: Obj, code: str, due: int) -> None:
    """The customer types a promotion code; an ApiError says why it does not hold."""
    if not session["allow_promotion_codes"]:
        raise invalid("This checkout takes no promotion codes.", "promotion_code")
    reduce(state, session, [discounts.typed(state, code, sale(state, session, due))])
    try:
        check_total(session)
    except ApiError:
        reduce(state, session, [])
        raise


def check_total(session: Obj) -> None:
    """Refuse an order of which too little is left, unless nothing is."""
    if session["mode"] == "payment" and session["amount_total"]:
        what = "The Checkout Session's total amount due must"
        amounts.check(session["amount_total"], session["currency"], "line_items", what)


def reduce(state: State, session: Obj, found: list[Reduction]) -> None:
    """Let these reductions hold, in place of others."""
    hidden = state.store.hidden(session)
    rows: list[Obj] = hidden["line_items"]
    parts = [reductions.Part(row["amount_subtotal"], row["price"]["product"]) for row in rows]
    taken = reductions.taken(discounts.terms(found), parts)
    for row, shares in zip(rows, taken, strict=True):
        row["amount_discount"] = sum(shares)
        row["amount_total"] = row["amount_subtotal"] - row["amount_discount"]
    off = sum(row["amount_discount"] for row in rows)
    hidden["reductions"] = found
    session.update(
        amount_total=session["amount_subtotal"] - off,
        discounts=[
            {
                "coupon": None if one.promotion_code else one.coupon["id"],
                "promotion_code": one.promotion_code,
            }
            for one in found
        ],
    )
    session["total_details"]["amount_discount"] = off
