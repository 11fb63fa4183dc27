"""Automatic top-ups, as functions over a transaction: rows, and what `topping_up` says of them.

A top-up's row is the last that a transaction locks, after payments, customers and accounts; and
whoever decides on it reads the balance after that lock. So a balance that falls meanwhile is either
seen, or its signal finds the row as it was left.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from gatekeeper import topping_up
from gatekeeper.errors import ConflictError, CustomerNotFoundError, NotFoundError, UnknownNameError
from gatekeeper.services import accounts
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import WatchCommand
from gatekeeper.services.outbox import tell
from gatekeeper.services.outbox.signals import BETWEEN
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import OutboxMessage, Purchase, PurchaseStatus
from gatekeeper.topping_up import Seen, TopUp, TopUpState, Wish

logger = logging.getLogger("gatekeeper.stripe")

DUE: Final = "top_up.due"
FAILED: Final = "top_up.failed"
BLOCKED: Final = "top_up.blocked"

RECEIVER: Final = "gatekeeper.top_ups"
"""The name in the outbox of what pays them."""

Step = Callable[[TopUp, datetime], TopUp]


# -- what customers want --------------------------------------------------------------------------


def agree(tx: Transaction, rules: Rules, customer: str, unit: str, wish: Wish) -> TopUp:
    """Turn a top-up on, or change it. If too little is there already it is due at once, or when the
    wait after a decline is over.

    Raises:
        CustomerNotFoundError: the customer was deleted.
        ConflictError: a payment in another currency is under way, or was made in this month: the
            month's cap counts in one currency.
    """
    balance = carry_out(tx, rules, WatchCommand((customer, unit), wish.threshold))
    now = tx.now()
    before = tx.top_ups.get(customer, unit, lock=True)
    if before is not None and before.currency != wish.currency:
        _check_currency_may_change(before, now)
    wanted = topping_up.agreed(before, customer, unit, wish, now)
    after = topping_up.noticed(wanted, balance.available, now)
    if before is None:
        tx.top_ups.insert(after)
    else:
        tx.top_ups.save(after)
    if after.state is TopUpState.DUE and wanted.state is not TopUpState.DUE:
        body = {"unit": unit, "left": balance.available, "threshold": after.threshold}
        tell(tx, DUE, customer, body, now)
    else:
        _wake(tx, after, now)
    return after


def _check_currency_may_change(top_up: TopUp, now: datetime) -> None:
    if top_up.state is TopUpState.PAYING:
        raise ConflictError(
            f"A top-up in {top_up.currency} is being paid: change the currency once it is through."
        )
    if topping_up.in_month(top_up, now).spent_minor:
        raise ConflictError(
            f"Top-ups were paid in {top_up.currency} in this month, and count to its cap: change "
            "the currency with the next."
        )


def turn_off(tx: Transaction, rules: Rules, customer: str, unit: str) -> TopUp:
    """Have nothing more bought; what is being paid ends as it will.

    Raises:
        NotFoundError: there is no top-up of this unit.
    """
    carry_out(tx, rules, WatchCommand((customer, unit), None))
    found = tx.top_ups.get(customer, unit, lock=True)
    if found is None:
        raise NotFoundError(f"There is no top-up of {unit!r}.")
    return _save(tx, found, topping_up.turned_off(found, tx.now()))


# -- looking, and beginning to pay ----------------------------------------------------------------


def take_up(tx: Transaction, rules: Rules, customer: str, unit: str) -> TopUp | None:
    """The top-up, for this caller alone for a while, if it is due and nobody else is at it."""
    found = tx.top_ups.get(customer, unit, lock=True)
    if found is None:
        return None
    now = tx.now()
    seen = look(tx, rules, found)
    noticed = topping_up.noticed(found, seen.available, now)
    if noticed.state is TopUpState.PAYING or noticed.due_at is None or noticed.due_at > now:
        return None
    return _save(tx, found, replace(noticed, due_at=now + topping_up.LEASE))


def begin(
    tx: Transaction, rules: Rules, claimed: TopUp, card: tuple[str, str] | None
) -> TopUp | None:
    """Decide on a top-up that this caller has claimed; None if it has changed since. If it comes to
    a payment, its purchase is written, and the answer is being paid.

    Args:
        card: the default card's id and mark.
    """
    found = tx.top_ups.get(claimed.customer, claimed.unit, lock=True)
    if found is None or found != claimed:
        return None
    now = tx.now()
    seen = look(tx, rules, found)
    if card is not None:
        seen = replace(seen, card=card[0], card_mark=card[1])
    after = topping_up.decided(found, seen, f"pur_{uuid7().hex}", now)
    if after.state is TopUpState.PAYING and after.purchase_id is not None:
        purchase = Purchase(
            id=after.purchase_id,
            customer=after.customer,
            price_lookup_key=after.price,
            quantity=1,
            mode="payment",
            status=PurchaseStatus.PENDING,
            created_at=now,
        )
        tx.purchases.insert(purchase)
    return _save(tx, found, after)


def look(tx: Transaction, rules: Rules, top_up: TopUp) -> Seen:
    """What there is to be seen, but for the card."""
    sold = rules.catalog.find_price(top_up.price)
    amount = None
    if sold is not None and sold.pack is not None and sold.pack.key == top_up.pack:
        amount = sold.price.amount_minor
    try:
        balance = accounts.balance(tx, rules, top_up.customer, top_up.unit)
    except CustomerNotFoundError:
        return Seen(available=0, amount_minor=amount, frozen=True)
    except UnknownNameError:
        return Seen(available=0)
    frozen = any(one.lifted_at is None for one in tx.freezes.of(top_up.customer))
    return Seen(available=balance.available, amount_minor=amount, debt=balance.debt, frozen=frozen)


def watch_again(tx: Transaction, rules: Rules, top_up: TopUp) -> None:
    """Have the account watched that has forgotten it: it was made anew, or an older release has
    written it."""
    account = tx.ledger.account(top_up.customer, top_up.unit, lock=False)
    known = rules.catalog.units.get(top_up.unit)
    if not top_up.is_on or known is None or account.top_up_below == top_up.threshold:
        return
    try:
        carry_out(tx, rules, WatchCommand((top_up.customer, top_up.unit), top_up.threshold))
    except CustomerNotFoundError:
        return  # deleted: `look` says so


# -- what came of a payment -----------------------------------------------------------------------


def note_paid(tx: Transaction, purchase: Purchase, amount_minor: int) -> None:
    """Note that the purchase of a top-up was paid. Call it after the credits were granted."""
    _change(tx, purchase, lambda one, now: topping_up.paid(one, purchase.id, amount_minor, now))


def note_declined(tx: Transaction, purchase: Purchase, error: str, *, final: bool) -> None:
    """Note that the payment of a top-up was refused."""

    def step(one: TopUp, now: datetime) -> TopUp:
        return topping_up.declined(one, purchase.id, error, now, final=final)

    _change(tx, purchase, step)


def note_waiting(tx: Transaction, purchase: Purchase) -> None:
    """Note that the payment of a top-up takes its time."""
    _change(tx, purchase, lambda one, now: topping_up.waiting(one, purchase.id, now))


def note_given_up(tx: Transaction, purchase: Purchase) -> None:
    """Note that the payment of a top-up was never made, and won't be."""
    _change(tx, purchase, lambda one, now: topping_up.given_up(one, purchase.id, now))


def note_paid_otherwise(tx: Transaction, customer: str, at: datetime) -> None:
    """A customer has paid for something else, by a payment that was begun then: that opens the
    breakers that have blocked before it."""

    def step(one: TopUp, now: datetime) -> TopUp:
        return topping_up.paid_otherwise(one, now) if one.updated_at <= at else one

    _change_broken(tx, customer, step)


def note_card(tx: Transaction, customer: str) -> None:
    """A customer's cards have changed, or which is the default."""
    _change_broken(tx, customer, topping_up.card_changed)


def _change_broken(tx: Transaction, customer: str, step: Step) -> None:
    for seen in tx.top_ups.of(customer):
        if not topping_up.is_broken(seen):
            continue
        found = tx.top_ups.get(customer, seen.unit, lock=True)
        if found is not None:
            _save(tx, found, step(found, tx.now()))


def _change(tx: Transaction, purchase: Purchase, step: Step) -> None:
    """Change the top-up that a purchase is of: the one that names it, else the one that buys the
    same."""
    rows = tx.top_ups.of(purchase.customer)
    own = [one for one in rows if one.purchase_id == purchase.id]
    like = [one for one in rows if one.price == purchase.price_lookup_key]
    for seen in (*own, *like)[:1]:
        found = tx.top_ups.get(seen.customer, seen.unit, lock=True)
        if found is not None:
            _save(tx, found, step(found, tx.now()))


def _save(tx: Transaction, before: TopUp, after: TopUp) -> TopUp:
    """Write a top-up that has changed, and tell what its customer has to hear of."""
    if after == before:
        return after
    tx.top_ups.save(after)
    _wake(tx, after, tx.now())
    body = {
        "unit": after.unit,
        "pack": after.pack,
        "amount_minor": after.amount_minor,
        "currency": after.currency,
        "error": after.error,
    }
    if after.declines > before.declines:
        retry_at = after.due_at if after.state is TopUpState.DUE else None
        told = {**body, "declines": after.declines, "next_attempt_at": retry_at}
        tell(tx, FAILED, after.customer, told, after.updated_at)
    if after.state is TopUpState.BLOCKED and after.reason is not before.reason:
        logger.warning(
            "the top-up of %s for %s is blocked: %s", after.unit, after.customer, after.reason
        )
        told = {**body, "reason": after.reason, "until": after.due_at}
        tell(tx, BLOCKED, after.customer, told, after.updated_at)
    return after


def _wake(tx: Transaction, top_up: TopUp, now: datetime) -> None:
    """Have a top-up looked at before the next sweep: a message to who pays them, and to no host."""
    if top_up.state is not TopUpState.PAYING and top_up.due_at is not None and top_up.due_at <= now:
        wake(tx, top_up.customer, {"unit": top_up.unit})


def wake(tx: Transaction, customer: str, body: Mapping[str, str]) -> None:
    """Write a message to who pays top-ups: to look at the one of a `unit`, or at an `intent`."""
    now = tx.now()
    message = OutboxMessage(
        id=f"{uuid7()}{BETWEEN}{RECEIVER}",
        customer=customer,
        topic=DUE,
        body=msgspec.json.encode(body).decode(),
        created_at=now,
        due_at=now,
        receiver=RECEIVER,
    )
    tx.outbox.add([message])
