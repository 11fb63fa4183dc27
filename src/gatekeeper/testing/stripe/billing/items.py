"""Changes of a subscription's items: what they would be, and the lines that this costs.

A proposal changes nothing by itself, so that a refusal, or a payment that fails, leaves everything
as it was. In the flexible billing mode a credit is for what was debited, in the classic one for
what the price says now. Source: Stripe's pages "Prorations" and "Compare classic and flexible
billing mode".
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gatekeeper.testing.stripe.billing import debits, discounts, reductions
from gatekeeper.testing.stripe.billing.calendar import following
from gatekeeper.testing.stripe.billing.lines import (
    Period,
    cost,
    is_metered,
    licensed_line,
    proration_line,
)
from gatekeeper.testing.stripe.billing.subscriptions import new_item, period_of
from gatekeeper.testing.stripe.core.errors import invalid, missing
from gatekeeper.testing.stripe.core.params import merge_metadata
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


@dataclass(slots=True)
class Proposal:
    """Items as they would be; `lines` of the change, billed `at_once` or with the next period;
    `anchor` is the new one, if it moves."""

    items: list[Obj]
    lines: list[Obj]
    at_once: bool
    anchor: int | None = None


def propose(
    state: State,
    subscription: Obj,
    wanted: list[dict[str, Any]],
    behavior: str,
    *,
    restart: bool = False,
    at: int | None = None,
    coupons: list[Obj] | None = None,
) -> Proposal:
    """The items of `wanted` changed; `restart` begins a period now whatever they are, and `at` is
    the second by which time is shared out. `coupons` are those that will hold: the subscription's
    own, unless they are given."""
    at = state.now() if at is None else at
    if coupons is None:
        found = discounts.active(state, subscription, at)
        coupons = [discounts.coupon_of(state, one) for one in found]
    change = _Change(state, subscription, at, coupons)
    for index, one in enumerate(wanted):
        change.take(one, index)
    items, trialing = change.items, subscription["status"] == "trialing"
    if not items:
        raise invalid("A subscription must have at least one active item.", "items")
    if len({_interval(item["price"]) for item in items}) > 1:
        raise invalid("All prices on a subscription must share an interval.", "items")
    if len({item["price"]["currency"] for item in items}) > 1:
        raise invalid("All prices on a subscription must share a currency.", "items")
    if restart and not trialing:
        change.credit_the_rest()
    lines = [] if behavior == "none" or trialing else change.lines
    if (restart or change.restarts) and not trialing:
        return _restarted(state, items, lines)
    return Proposal(items, lines, behavior == "always_invoice" and bool(lines))


def adopt(state: State, subscription: Obj, proposal: Proposal) -> None:
    """Let the subscription have the proposed items."""
    subscription["items"]["data"] = proposal.items
    if proposal.anchor is not None:
        subscription["billing_cycle_anchor"] = proposal.anchor
    if not proposal.at_once:
        pending: list[Obj] = state.store.hidden(subscription)["pending_lines"]
        pending.extend(proposal.lines)
        debits.note(state, proposal.lines)


def resumption(state: State, subscription: Obj, anchor: str, behavior: str) -> Proposal:
    """The items of a paused subscription as they are to go on."""
    rows: list[Obj] = [dict(item) for item in subscription["items"]["data"]]
    if anchor == "now":
        return _restarted(state, rows, [])
    now = state.now()
    interval, count = _interval(rows[0]["price"])
    end = following(subscription["billing_cycle_anchor"], interval, count, now)
    start = max(row["current_period_end"] for row in rows)
    start = start if start <= now else period_of(subscription).start
    lines = []
    for row in rows:
        row.update(current_period_start=start, current_period_end=end)
        if not is_metered(row) and behavior != "none":
            lines.append(proration_line(state, row, Period(start, end), now, credit=False))
    return Proposal(rows, lines, behavior == "always_invoice" and bool(lines))


class _Change:
    """One change of the items, in the making."""

    def __init__(self, state: State, subscription: Obj, at: int, coupons: list[Obj]) -> None:
        self._state, self._subscription, self._at = state, subscription, at
        self._coupons = coupons
        self._period = period_of(subscription)
        self._interval = _interval(subscription["items"]["data"][0]["price"])
        self._touched: set[str] = set()
        self._flexible = subscription["billing_mode"]["type"] == "flexible"
        # Copies, so that a refusal half-way has changed nothing.
        self.items: list[Obj] = [dict(item) for item in subscription["items"]["data"]]
        self.lines: list[Obj] = []
        self.restarts = False

    def take(self, change: dict[str, Any], index: int) -> None:
        """Change, add or remove one item."""
        item = _find_item(self.items, change, index)
        if item is not None and change.get("deleted"):
            self.items.remove(item)
            self._prorate(item, credit=True)
            return
        price = _price_of(self._state, change, item, index)
        quantity = change.get("quantity")
        if item is None:
            self.restarts = self.restarts or _interval(price) != self._interval
            added = self._added(change, price, quantity)
            self.items.append(added)
            self._prorate(added, credit=False)
            return
        before, old = _terms(item), dict(item)
        self.restarts = self.restarts or _interval(price) != _interval(item["price"])
        item["price"] = price
        if quantity is not None:
            item["quantity"] = quantity
        if "metadata" in change:
            item["metadata"] = merge_metadata(item["metadata"], change["metadata"])
        if before != _terms(item):
            self._prorate(old, credit=True)
            self._prorate(item, credit=False)

    def credit_the_rest(self) -> None:
        """A period begins anew: what was paid for the running one is credited."""
        for item in self.items:
            if item["id"] not in self._touched:
                self._prorate(item, credit=True)

    def _added(self, change: dict[str, Any], price: Obj, quantity: int | None) -> Obj:
        return new_item(
            self._state,
            self._subscription["id"],
            price,
            quantity,
            merge_metadata({}, change.get("metadata")),
            self._period,
        )

    def _prorate(self, item: Obj, *, credit: bool) -> None:
        self._touched.add(item["id"])
        if is_metered(item):
            return
        state, period, at = self._state, self._period, self._at
        share = self._share(item)
        if not credit:
            self.lines.append(proration_line(state, item, period, at, credit=False, share=share))
            return
        line = proration_line(state, item, period, at, credit=True, share=share)
        if self._flexible:
            left, details = debits.unused(state, item, at)
            line.update(amount=-left, subtotal=-left)
            line["parent"]["subscription_item_details"]["proration_details"] = details
        self.lines.append(line)

    def _share(self, item: Obj) -> Decimal:
        """What the coupons leave of the item's price, beside the other items."""
        rows = [item] + [
            other for other in self.items if other["id"] != item["id"] and not is_metered(other)
        ]
        parts = [
            reductions.Part(cost(row["price"], row["quantity"]), row["price"]["product"])
            for row in rows
        ]
        return reductions.left_of(self._coupons, parts, 0)


def closing(state: State, subscription: Obj, at: int) -> list[Obj]:
    """The credits for what is left of the period of a subscription that ends."""
    found = discounts.active(state, subscription, at)
    coupons = [discounts.coupon_of(state, one) for one in found]
    change = _Change(state, subscription, at, coupons)
    if subscription["status"] != "trialing":
        change.credit_the_rest()
    return change.lines


def _restarted(state: State, items: list[Obj], lines: list[Obj]) -> Proposal:
    """Only the credits remain, and a full new period is billed from now on."""
    now = state.now()
    credits = [line for line in lines if line["amount"] <= 0]
    interval, count = _interval(items[0]["price"])
    period = Period(now, following(now, interval, count, now))
    for item in items:
        item.update(current_period_start=period.start, current_period_end=period.end)
    full = [licensed_line(state, item, period) for item in items if not is_metered(item)]
    return Proposal(items, credits + full, True, now)


def _find_item(items: list[Obj], change: dict[str, Any], index: int) -> Obj | None:
    if change.get("id") is None:
        return None
    for item in items:
        if item["id"] == change["id"]:
            return item
    raise missing("subscription_item", change["id"], f"items[{index}][id]")


def _price_of(state: State, change: dict[str, Any], item: Obj | None, index: int) -> Obj:
    if change.get("price") is not None:
        price = state.store.need("price", change["price"], f"items[{index}][price]")
        if price["recurring"] is None or not price["active"]:
            raise invalid(
                f"The price specified is not an active recurring price: {price['id']}",
                f"items[{index}][price]",
            )
        return price
    if item is None:
        raise invalid(
            f"Missing required param: items[{index}][price].",
            f"items[{index}][price]",
            "parameter_missing",
        )
    found: Obj = item["price"]
    return found


def _terms(item: Obj) -> tuple[Obj, int]:
    return item["price"], item.get("quantity", 0)


def _interval(price: Obj) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]
