"""What becomes of a top-up, step by step: of what is wanted, seen and heard."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.topping_up.declines import AUTHENTICATION, HARD, MAX_DECLINES, WAITS
from gatekeeper.topping_up.values import (
    BREAKERS,
    BlockReason,
    Seen,
    TopUp,
    TopUpState,
    Wish,
    in_month,
    is_below,
    is_broken,
    is_paying,
    month_of,
    waits_after_decline,
    was_asked,
)

LOOK_AGAIN: Final = timedelta(hours=1)
"""When a top-up is looked at for which nothing is due, or that something stands in the way of: the
signal of the balance comes at once, and may be missed."""

LEASE: Final = timedelta(minutes=5)
"""For how long whoever has taken one up has it alone; a payment whose end was not heard of is
followed up after it."""


def agreed(before: TopUp | None, customer: str, unit: str, wish: Wish, now: datetime) -> TopUp:
    """A top-up as the customer now wants it. What was spent, what is being paid, a breaker and the
    wait after a decline stay; what was spent in another currency is counted no more. While a
    payment is under way, or was made in this month, the currency can't be another (the caller
    refuses that)."""
    terms = msgspec.structs.asdict(wish)
    if before is None:
        return TopUp(
            customer=customer,
            unit=unit,
            agreed_at=now,
            updated_at=now,
            due_at=now + LOOK_AGAIN,
            **terms,
        )
    same = before.currency == wish.currency
    after = replace(
        before,
        agreed_at=now,
        updated_at=now,
        is_on=True,
        spent_minor=before.spent_minor if same else 0,
        **terms,
    )
    if before.state is TopUpState.PAYING:
        return after
    if is_broken(before):
        return replace(after, due_at=now)  # the card may be another by now
    if waits_after_decline(before, now):
        return replace(after, state=TopUpState.DUE)
    return _idle(after, now)


def turned_off(top_up: TopUp, now: datetime) -> TopUp:
    """No further payment begins. A breaker and the wait after a decline are kept, should it be
    turned on again, and what is being paid ends as it will."""
    off = replace(top_up, is_on=False, updated_at=now)
    if top_up.state is TopUpState.PAYING:
        return off
    if is_broken(top_up):
        return replace(off, due_at=None)
    due_at = top_up.due_at if waits_after_decline(top_up, now) else None
    return replace(off, state=TopUpState.IDLE, reason=None, due_at=due_at)


def noticed(top_up: TopUp, available: int | None, now: datetime) -> TopUp:
    """After a look at the balance: what is idle becomes due when there is too little."""
    if top_up.is_on and top_up.state is TopUpState.IDLE and is_below(top_up, available):
        return replace(top_up, state=TopUpState.DUE, due_at=now, updated_at=now)
    return top_up


def card_changed(top_up: TopUp, now: datetime) -> TopUp:
    """The card may be another: a breaker is looked at. It does not open by this."""
    if not top_up.is_on or not is_broken(top_up) or top_up.due_at is not None:
        return top_up
    return replace(top_up, due_at=now)


def paid_otherwise(top_up: TopUp, now: datetime) -> TopUp:
    """The customer has paid for something else: that opens a breaker. A payment that still waits
    for them is to be taken back (`was_asked`)."""
    if not is_broken(top_up):
        return top_up
    opened = _idle(replace(top_up, declines=0), now, soon=True)
    return replace(opened, error=top_up.error) if was_asked(top_up) else opened


def decided(top_up: TopUp, seen: Seen, purchase_id: str, now: datetime) -> TopUp:
    """What becomes of a top-up that is looked at: `purchase_id` is what begins to be paid, if it
    comes to that (the state is PAYING, and was not)."""
    if top_up.state is TopUpState.PAYING:
        return replace(top_up, due_at=now + LEASE)
    if not top_up.is_on:
        return replace(top_up, due_at=None)
    if is_broken(top_up) and seen.card_mark in (None, top_up.card_mark):
        return replace(top_up, due_at=None)
    if not is_below(top_up, seen.available):
        return _idle(top_up, now)
    rolled = in_month(top_up, now)
    if seen.card_mark not in (None, top_up.card_mark):
        rolled = replace(rolled, declines=0)
    reason = _in_the_way(rolled, seen)
    amount = seen.amount_minor
    if reason is not None or amount is None:
        return _blocked(rolled, reason or BlockReason.NOT_SOLD, None, now)
    return replace(
        rolled,
        state=TopUpState.PAYING,
        reason=None,
        error=None,
        spent_minor=rolled.spent_minor + amount,
        paying_minor=amount,
        purchase_id=purchase_id,
        begun_at=now,
        card=seen.card,
        card_mark=seen.card_mark,
        due_at=now + LEASE,
        updated_at=now,
    )


def paid(top_up: TopUp, purchase_id: str, amount_minor: int, now: datetime) -> TopUp:
    """A purchase of this top-up has been paid: the one that was being paid, or an earlier one that
    the customer has seen to since, which is then counted to this month."""
    if top_up.state is TopUpState.PAYING:
        if top_up.purchase_id == purchase_id:
            done = replace(top_up, paying_minor=0, declines=0)
            return _idle(done, now, soon=True)
        return replace(top_up, spent_minor=top_up.spent_minor + amount_minor, updated_at=now)
    rolled = in_month(top_up, now)
    counted = replace(rolled, spent_minor=rolled.spent_minor + amount_minor, declines=0)
    return _idle(counted, now, soon=True)


def declined(top_up: TopUp, purchase_id: str, error: str, now: datetime, *, final: bool) -> TopUp:
    """The payment was refused: it is tried again later, or not any more.

    Args:
        error: the decline code, or Stripe's code of the error.
        final: that it was no decline of the card, and would be refused again.
    """
    if not is_paying(top_up, purchase_id):
        return top_up
    free = replace(
        top_up,
        spent_minor=top_up.spent_minor - top_up.paying_minor,
        paying_minor=0,
        declines=top_up.declines + 1,
    )
    if error in AUTHENTICATION:
        return _blocked(free, BlockReason.AUTHENTICATION_REQUIRED, error, now)
    if final:
        return _blocked(free, BlockReason.REFUSED, error, now)
    if error in HARD:
        return _blocked(free, BlockReason.DECLINED, error, now)
    if free.declines >= MAX_DECLINES:
        return _blocked(free, BlockReason.TOO_MANY_DECLINES, error, now)
    due_at = now + WAITS[free.declines - 1]
    if not free.is_on:
        return replace(_idle(free, now), error=error, due_at=due_at)
    return replace(free, state=TopUpState.DUE, error=error, due_at=due_at, updated_at=now)


def waiting(top_up: TopUp, purchase_id: str, now: datetime) -> TopUp:
    """The payment is on its way, as a debit from a bank account is for days: its event will tell,
    and it is looked at less often."""
    if not is_paying(top_up, purchase_id):
        return top_up
    return replace(top_up, due_at=now + LOOK_AGAIN)


def given_up(top_up: TopUp, purchase_id: str, now: datetime) -> TopUp:
    """The payment was never made, and is not made any more: it is decided anew."""
    if not is_paying(top_up, purchase_id):
        return top_up
    spent = top_up.spent_minor - top_up.paying_minor
    return _idle(replace(top_up, spent_minor=spent, paying_minor=0), now, soon=True)


def _in_the_way(top_up: TopUp, seen: Seen) -> BlockReason | None:
    ways: Mapping[BlockReason, bool] = {
        BlockReason.FROZEN: seen.frozen,
        BlockReason.DEBT: seen.debt > 0,
        BlockReason.NOT_SOLD: seen.amount_minor is None or seen.amount_minor > top_up.amount_minor,
        BlockReason.MONTHLY_CAP: top_up.spent_minor + (seen.amount_minor or 0) > top_up.cap_minor,
        BlockReason.NO_CARD: seen.card is None or seen.card_mark is None,
    }
    return next((reason for reason, stands in ways.items() if stands), None)


def _blocked(top_up: TopUp, reason: BlockReason, error: str | None, now: datetime) -> TopUp:
    due_at: datetime | None = now + LOOK_AGAIN
    if reason is BlockReason.MONTHLY_CAP:
        due_at = month_of(now)[1]
    elif reason in BREAKERS:
        due_at = None
    mark = None if reason is BlockReason.NO_CARD else top_up.card_mark
    return replace(
        top_up,
        state=TopUpState.BLOCKED,
        reason=reason,
        error=error,
        card_mark=mark,
        due_at=due_at if top_up.is_on else None,
        updated_at=now,
    )


def _idle(top_up: TopUp, now: datetime, *, soon: bool = False) -> TopUp:
    """Nothing is due as far as is known; `soon`: the balance is to be looked at at once."""
    due_at = (now if soon else now + LOOK_AGAIN) if top_up.is_on else None
    return replace(
        top_up,
        state=TopUpState.IDLE,
        reason=None,
        error=None,
        due_at=due_at,
        updated_at=now,
    )
