"""Automatic top-ups, as a state machine of values: when one is bought, and when no more.

A customer's top-up of a unit is idle, due, being paid, or blocked. Whoever calls these has locked
its row, tells what is seen at that moment, and writes what comes back; nothing else decides that
money is asked for. One payment at a time: only a top-up that is due can begin one, and only the end
of that one lets another begin. No payment begins that would go beyond the cap of the month.

What blocks is either over by itself (the month's cap, a freeze, a debt: it is looked at again) or a
breaker, which stays until the card is another or a payment has succeeded.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.periods import CALENDAR, window_at

LOOK_AGAIN: Final = timedelta(hours=1)
"""When a top-up is looked at for which nothing is due, or that something stands in the way of: the
signal of the balance comes at once, and may be missed."""

LEASE: Final = timedelta(minutes=5)
"""For how long whoever has taken one up has it alone; a payment whose end was not heard of is
followed up after it."""

MAX_DECLINES: Final = 3
"""So many declines in a row block, though each by itself might have passed."""

WAITS: Final = (timedelta(hours=1), timedelta(hours=12))
"""The waits after the first decline, and after the second."""

HARD: Final = frozenset(
    {
        "authentication_not_handled",
        "authentication_required",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "highest_risk_level",
        "incorrect_number",
        "invalid_account",
        "lost_card",
        "mobile_device_authentication_required",
        "merchant_blacklist",
        "new_account_information_available",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
"""The decline codes by which the same card is not tried again
(https://docs.stripe.com/declines/codes,
https://docs.stripe.com/billing/revenue-recovery/smart-retries#non-retryable-decline-codes)."""

AUTHENTICATION: Final = frozenset(
    {
        "authentication_not_handled",
        "authentication_required",
        "mobile_device_authentication_required",
    }
)
"""The codes that ask for the person
(https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method)."""


class TopUpState(StrEnum):
    """How far a top-up is on its way."""

    IDLE = "idle"
    DUE = "due"
    PAYING = "paying"
    BLOCKED = "blocked"


class BlockReason(StrEnum):
    """Why nothing is bought."""

    DECLINED = "declined"
    """The bank will not have this card charged."""

    TOO_MANY_DECLINES = "too_many_declines"
    """It was declined again and again."""

    AUTHENTICATION_REQUIRED = "authentication_required"
    """The bank asks for the person: they have to pay once themselves."""

    NO_CARD = "no_card"
    """The customer has no saved card that is the default."""

    REFUSED = "refused"
    """Stripe refused the payment for another reason than the card."""

    MONTHLY_CAP = "monthly_cap"
    """Another one would be more than is to be spent in a month."""

    NOT_SOLD = "not_sold"
    """The catalogue has the pack no more, or at a higher price than was agreed to."""

    DEBT = "debt"
    """Credits are owed."""

    FROZEN = "frozen"
    """The customer's credits are frozen, or the customer is gone."""


BREAKERS: Final = frozenset(
    {
        BlockReason.DECLINED,
        BlockReason.TOO_MANY_DECLINES,
        BlockReason.AUTHENTICATION_REQUIRED,
        BlockReason.NO_CARD,
        BlockReason.REFUSED,
    }
)
"""The reasons that only another card, or a payment that succeeds, does away with."""


class TopUp(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's automatic top-up of one unit.

    Attributes:
        threshold: it is due when less than this can be spent, in the unit's steps.
        pack, price: what is bought, by its key, and the lookup key of its price.
        amount_minor, currency: what the price was when the customer agreed to it.
        cap_minor: the most that is spent in a calendar month (UTC).
        is_on: whether the customer wants it. What is being paid when it is turned off ends.
        agreed_at, agreed_by: when it was turned on as it is, and by whom.
        due_at: when it is looked at next; None: when something happens.
        month: the beginning of the month that `spent_minor` is of.
        spent_minor: what was paid in it, or is being paid.
        purchase_id: the purchase that is being paid, or was last.
        paying_minor: how much of `spent_minor` is being paid.
        begun_at: when that payment began.
        card: the payment method of it.
        card_mark: what tells that card apart from the one that replaces it.
        declines: how many payments in a row were declined.
        reason: what it is blocked by; `error` is Stripe's word for the last decline.
    """

    customer: str
    unit: str
    threshold: int
    pack: str
    price: str
    amount_minor: int
    currency: str
    cap_minor: int
    agreed_at: datetime
    updated_at: datetime
    is_on: bool = True
    agreed_by: str | None = None
    state: TopUpState = TopUpState.IDLE
    due_at: datetime | None = None
    month: datetime | None = None
    spent_minor: int = 0
    purchase_id: str | None = None
    paying_minor: int = 0
    begun_at: datetime | None = None
    card: str | None = None
    card_mark: str | None = None
    declines: int = 0
    reason: BlockReason | None = None
    error: str | None = None


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer agrees to; see `TopUp`."""

    threshold: int
    pack: str
    price: str
    amount_minor: int
    currency: str
    cap_minor: int
    by: str | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be seen when a top-up is decided on.

    Attributes:
        available: what can be spent; None is without bound.
        amount_minor: what the catalogue asks for the pack now; None if it is not sold any more.
        card: the default card's id, and `card_mark` its mark; None if there is none.
    """

    available: int | None
    amount_minor: int | None = None
    debt: int = 0
    frozen: bool = False
    card: str | None = None
    card_mark: str | None = None


def agreed(before: TopUp | None, customer: str, unit: str, wish: Wish, now: datetime) -> TopUp:
    """A top-up as the customer now wants it. What was spent, what is being paid, and a breaker
    stay; what was spent in another currency is counted no more. While a payment is under way, or
    was made in this month, the currency can't be another (the caller refuses that)."""
    if before is None:
        return TopUp(
            customer=customer,
            unit=unit,
            threshold=wish.threshold,
            pack=wish.pack,
            price=wish.price,
            amount_minor=wish.amount_minor,
            currency=wish.currency,
            cap_minor=wish.cap_minor,
            agreed_at=now,
            agreed_by=wish.by,
            updated_at=now,
            due_at=now + LOOK_AGAIN,
        )
    same = before.currency == wish.currency
    after = replace(
        before,
        threshold=wish.threshold,
        pack=wish.pack,
        price=wish.price,
        amount_minor=wish.amount_minor,
        currency=wish.currency,
        cap_minor=wish.cap_minor,
        agreed_at=now,
        agreed_by=wish.by,
        updated_at=now,
        is_on=True,
        spent_minor=before.spent_minor if same else 0,
    )
    if before.state is TopUpState.PAYING:
        return after
    if is_broken(before):
        return replace(after, due_at=now)  # the card may be another by now
    return _idle(after, now)


def turned_off(top_up: TopUp, now: datetime) -> TopUp:
    """No further payment begins. A breaker is kept, and what is being paid ends as it will."""
    off = replace(top_up, is_on=False, updated_at=now)
    if top_up.state is TopUpState.PAYING:
        return off
    if is_broken(top_up):
        return replace(off, due_at=None)
    return replace(off, state=TopUpState.IDLE, reason=None, due_at=None)


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


def was_asked(top_up: TopUp) -> bool:
    """Whether a payment may still wait for the customer, whom their bank has asked for."""
    is_blocked = top_up.reason is BlockReason.AUTHENTICATION_REQUIRED
    return is_blocked or (
        top_up.state in (TopUpState.IDLE, TopUpState.DUE) and top_up.error in AUTHENTICATION
    )


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
    rolled = _in_month(top_up, now)
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
    rolled = _in_month(top_up, now)
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
    if not free.is_on:
        return replace(_idle(free, now), error=error)
    due_at = now + WAITS[free.declines - 1]
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


def is_paying(top_up: TopUp, purchase_id: str) -> bool:
    """Whether it is this purchase that is being paid."""
    return top_up.state is TopUpState.PAYING and top_up.purchase_id == purchase_id


def is_broken(top_up: TopUp) -> bool:
    """Whether a breaker blocks it."""
    return top_up.state is TopUpState.BLOCKED and top_up.reason in BREAKERS


def is_below(top_up: TopUp, available: int | None) -> bool:
    """Whether so little can be spent that it is due."""
    return available is not None and available < top_up.threshold


def shown(top_up: TopUp, now: datetime) -> TopUp:
    """The top-up as it is to be shown: `spent_minor` is of the month of `now`."""
    return _in_month(top_up, now)


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """The calendar month (UTC) of an instant: its beginning, and that of the next."""
    window = window_at(CALENDAR, "month", now)
    return window.start, window.end


def _in_month(top_up: TopUp, now: datetime) -> TopUp:
    """With what was spent in the month of `now`. A payment counts to the month that it was begun
    in; what is under way when a month begins is counted to the new one too."""
    start, _ = month_of(now)
    if top_up.month is not None and top_up.month >= start:
        return top_up
    return replace(top_up, month=start, spent_minor=top_up.paying_minor)


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
