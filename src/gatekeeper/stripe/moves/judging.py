"""Whether a subscription can be moved, and to what: decided from Stripe's object alone."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from gatekeeper.entitlements import TERMINAL
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.moves.values import ItemMove, Move, Skipped, Target, Terms

Choose = Callable[[str], Target | None]
"""The price that the price of this id is replaced by; None if it is not."""

_RUNNING: Final = frozenset({"active", "trialing"})
"""The statuses in which a subscription is moved: the others owe something, wait or are over."""


def judge(found: Obj, customer: str, choose: Choose) -> Move | Skipped | None:
    """What to do with a subscription; None if it is over, or none of its prices is replaced."""
    if found["status"] in TERMINAL:
        return None
    items = [(item, choose(item["price"]["id"])) for item in found["items"]["data"]]
    wanted = [(item, target) for item, target in items if target is not None]
    if not wanted:
        return None
    reason = reason_against(found) or _mismatch(found, wanted)
    if reason is not None:
        return Skipped(subscription_id=found["id"], customer=customer, reason=reason)
    return Move(
        subscription_id=found["id"],
        customer=customer,
        is_trialing=found["status"] == "trialing",
        items=tuple(_item_move(item, target) for item, target in wanted),
    )


def reason_against(found: Obj) -> str | None:
    """Why a subscription must not be changed just now, whatever its prices are.

    A schedule would set its own prices again at its next phase, and Stripe refuses or drops a
    pending update when the items change (https://docs.stripe.com/billing/subscriptions/pending-updates).
    """
    if found["status"] not in _RUNNING:
        return f"it is {found['status']}"
    if found.get("schedule") is not None:
        return "a schedule directs it"
    if found.get("pending_update") is not None:
        return "an update of it waits for a payment"
    if found.get("cancel_at_period_end") or found.get("cancel_at") is not None:
        return "it is about to end"
    return None


def terms_of(price: Obj) -> Terms:
    """How a recurring price bills."""
    recurring = price["recurring"]
    count = recurring.get("interval_count") or 1
    every = recurring["interval"]
    return Terms(
        currency=price["currency"],
        interval=f"every {every}" if count == 1 else f"every {count} {every}s",
        metered=recurring.get("usage_type") == "metered",
    )


def amount_of(price: Obj) -> int | None:
    """What one of it costs, if that is one whole amount."""
    amount = price.get("unit_amount")
    return amount if isinstance(amount, int) else None


def _mismatch(found: Obj, wanted: list[tuple[Obj, Target]]) -> str | None:
    """Why a change of these prices would be more than a change of their amounts."""
    held = {item["price"]["id"] for item in found["items"]["data"]}
    for item, target in wanted:
        has, gets = terms_of(item["price"]), target.terms
        if target.price_id in held:
            return f"it has {target.price_id} already, beside {item['price']['id']}"
        if has.currency != gets.currency:
            return f"it is billed in {has.currency}, and the new price is in {gets.currency}"
        if has.interval != gets.interval:
            return f"it is billed {has.interval}, and the new price {gets.interval}"
        if has.metered != gets.metered:
            return "only one of the two prices is metered"
    if len({target.price_id for _, target in wanted}) < len(wanted):
        return "two of its items would have the same price"
    return None


def _item_move(item: Obj, target: Target) -> ItemMove:
    return ItemMove(
        item_id=item["id"],
        old_price_id=item["price"]["id"],
        old_amount_minor=amount_of(item["price"]),
        quantity=None if target.terms.metered else item.get("quantity", 1),
        period_start=_moment(item["current_period_start"]),
        period_end=_moment(item["current_period_end"]),
        target=target,
    )


def params_of(move: Move, proration: str) -> dict[str, Any]:
    """The body of the request that moves it. The quantity is said, since Stripe sets it to 1 with
    another price otherwise (https://docs.stripe.com/api/subscription_items/update)."""
    params: dict[str, Any] = {
        "items": [
            {
                "id": item.item_id,
                "price": item.target.price_id,
                "metadata": {MOVED_FROM: item.old_price_id},
                **({} if item.quantity is None else {"quantity": item.quantity}),
            }
            for item in move.items
        ],
        "proration_behavior": proration,
    }
    if proration == "always_invoice":
        params["off_session"] = True  # nobody is there to confirm a payment
    return params


MOVED_FROM: Final = "gatekeeper_moved_from"
"""The key of an item's metadata that says, for people, which price it had."""


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
