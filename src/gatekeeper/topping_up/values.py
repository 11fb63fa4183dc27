"""A top-up as a value: what was agreed to, how far it is, and what can be said of it."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.periods import CALENDAR, window_at
from gatekeeper.topping_up.declines import AUTHENTICATION


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
        due_at: when it is looked at next; None: when something happens. Of one that is off, until
            when a decline would be waited out.
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
    agreed_by: str | None = None


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


def is_paying(top_up: TopUp, purchase_id: str) -> bool:
    """Whether it is this purchase that is being paid."""
    return top_up.state is TopUpState.PAYING and top_up.purchase_id == purchase_id


def is_broken(top_up: TopUp) -> bool:
    """Whether a breaker blocks it."""
    return top_up.state is TopUpState.BLOCKED and top_up.reason in BREAKERS


def is_below(top_up: TopUp, available: int | None) -> bool:
    """Whether so little can be spent that it is due."""
    return available is not None and available < top_up.threshold


def waits_after_decline(top_up: TopUp, now: datetime) -> bool:
    """Whether the wait after a decline, until `due_at`, is not over; it goes on while the top-up is
    turned off, which is idle then."""
    is_waiting = top_up.state is (TopUpState.DUE if top_up.is_on else TopUpState.IDLE)
    due_at = top_up.due_at
    return is_waiting and top_up.declines > 0 and due_at is not None and due_at > now


def was_asked(top_up: TopUp) -> bool:
    """Whether a payment may still wait for the customer, whom their bank has asked for."""
    is_blocked = top_up.reason is BlockReason.AUTHENTICATION_REQUIRED
    return is_blocked or (
        top_up.state in (TopUpState.IDLE, TopUpState.DUE) and top_up.error in AUTHENTICATION
    )


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """The calendar month (UTC) of an instant: its beginning, and that of the next."""
    window = window_at(CALENDAR, "month", now)
    return window.start, window.end


def in_month(top_up: TopUp, now: datetime) -> TopUp:
    """With what was spent in the month of `now`. A payment counts to the month that it was begun
    in; what is under way when a month begins is counted to the new one too."""
    start, _ = month_of(now)
    if top_up.month is not None and top_up.month >= start:
        return top_up
    return replace(top_up, month=start, spent_minor=top_up.paying_minor)
