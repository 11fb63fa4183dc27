"""Automatic top-ups, as a state machine of values: when one is bought, and when no more.

A customer's top-up of a unit is idle, due, being paid, or blocked. Whoever calls these has locked
its row, tells what is seen at that moment, and writes what comes back; nothing else decides that
money is asked for. One payment at a time: only a top-up that is due can begin one, and only the end
of that one lets another begin. No payment begins that would go beyond the cap of the month.

What blocks is either over by itself (the month's cap, a freeze, a debt: it is looked at again) or a
breaker, which stays until the card is another or a payment has succeeded. Neither a breaker nor the
wait after a decline is shortened by the customer's changing what they have agreed to.
"""

from gatekeeper.topping_up.declines import (
    AUTHENTICATION,
    HARD,
    MAX_DECLINES,
    WAITS,
)
from gatekeeper.topping_up.steps import (
    LEASE,
    LOOK_AGAIN,
    agreed,
    card_changed,
    decided,
    declined,
    given_up,
    noticed,
    paid,
    paid_otherwise,
    turned_off,
    waiting,
)
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

__all__ = [
    "AUTHENTICATION",
    "BREAKERS",
    "HARD",
    "LEASE",
    "LOOK_AGAIN",
    "MAX_DECLINES",
    "WAITS",
    "BlockReason",
    "Seen",
    "TopUp",
    "TopUpState",
    "Wish",
    "agreed",
    "card_changed",
    "decided",
    "declined",
    "given_up",
    "in_month",
    "is_below",
    "is_broken",
    "is_paying",
    "month_of",
    "noticed",
    "paid",
    "paid_otherwise",
    "turned_off",
    "waiting",
    "waits_after_decline",
    "was_asked",
]
