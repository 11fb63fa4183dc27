"""What invoices of subscriptions have granted goes back with their money, and returns with it.

The paid lines of an invoice know how much of its money has gone back: from then on they grant less,
or nothing (`entitlements/kept.py`). What windows were granted before is taken back here, as an
absolute target (`entitlements/returns.py`). What was taken is kept in one row of each customer's
among the payments: it is the lock that two returns meet on.

Locks are taken in the order: invoice's ticket, subscription, payments, customer, accounts.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from gatekeeper.catalog import Terms
from gatekeeper.entitlements import CustomerState
from gatekeeper.entitlements.returns import once_return, window_return
from gatekeeper.entitlements.state import counted
from gatekeeper.ledger import Grant, GrantKind
from gatekeeper.services.clawbacks import grant_ids, move
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import NoticeCommand
from gatekeeper.services.outbox.caches import outdate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.payments import Payment, Share, plans_of
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Invoice

logger = logging.getLogger("gatekeeper.webhooks")

_KINDS: Final = (GrantKind.PLAN, GrantKind.TRIAL, GrantKind.ROLLOVER)


class Window(NamedTuple):
    """A window, or what is granted once (`start` None), with the grants that it has received."""

    key: str
    item_id: str
    series: str
    start: datetime | None
    grants: tuple[Grant, ...]

    @property
    def given(self) -> int:
        """What its purchases have granted, a trial's part aside."""
        return sum(one.amount or 0 for one in self.grants if one.kind is GrantKind.PLAN)

    @property
    def total(self) -> int:
        """What it has received."""
        return sum(one.amount or 0 for one in self.grants)


def returned_of(tx: Transaction, rules: Rules, invoice: Invoice) -> int:
    """How much of what was paid for an invoice has gone back, in minor units.

    Refunds and disputes are known by its payments, credit notes by the invoice itself. A credit
    note that is paid out makes a refund: the larger of the two is what has gone back.
    """
    refunded = sum(one.returned_minor for one in tx.payments.of_invoice(invoice.id))
    returned = min(max(refunded, invoice.credited_minor), invoice.amount_paid_minor)
    if rules.partial_refunds == "keep" and returned < invoice.amount_paid_minor:
        return 0
    return returned


def lock(tx: Transaction, customer: str) -> Payment:
    """The row of what was taken back of a customer's plans, locked."""
    return replace(tx.payments.lock(plans_of(customer)), customer=customer)


def note_invoice(tx: Transaction, rules: Rules, invoice_id: str) -> tuple[str, int] | None:
    """Bring an invoice's lines, and what was taken back of their grants, to what has gone back of
    its money. Returns the customer and the version that this made, if anything changed.

    The invoice's ticket is held, so that its lines are not added meanwhile.
    """
    invoice = tx.subscriptions.invoice(invoice_id)
    if invoice is None:
        return None  # its lines will know when they come
    changed = tx.subscriptions.note_returned(
        invoice.customer,
        invoice_id,
        paid_minor=invoice.amount_paid_minor,
        returned_minor=returned_of(tx, rules, invoice),
    )
    if not changed:
        return None
    return invoice.customer, settle(tx, rules, invoice.customer)


def settle(tx: Transaction, rules: Rules, customer: str) -> int:
    """Bring what was taken back of a customer's plans to the target; the customer's new version.

    Call it after a change of what the targets depend on, in its transaction.
    """
    book = lock(tx, customer)
    version = outdate(tx, customer)
    state = tx.customers.state(customer)
    if state is not None:  # else they were deleted: nothing more is granted or spent
        _settle(tx, rules, book, state)
    return version


def _settle(tx: Transaction, rules: Rules, book: Payment, state: CustomerState) -> None:
    customer = state.customer
    lines = [
        line
        for item in state.items
        for line in item.paid_lines
        if line.returned_minor or item.duplicate_of is not None
    ]
    units = {grant.unit for line in lines for grant in line.terms.grants}
    units |= {share.unit for share in book.shares}
    shares = {(share.unit, share.key): share for share in book.shares}
    for unit in sorted(units):  # accounts are locked in the order in which everybody locks them
        # Locked first: a window that somebody grants just now is seen below.
        carry_out(tx, rules, NoticeCommand((customer, unit)))
        given = tx.ledger.grants(customer, unit, _KINDS)
        windows = list(_windows(given))
        for window in windows:
            share = shares.get((unit, window.key)) or _share(rules, unit, window)
            target = _target(state, rules, unit, window)
            if share is None or target == share.taken:
                continue
            own = {one.id for one in window.grants}.union(grant_ids(share))
            gone = _gone(tx, customer, unit, own, window, windows, given)
            moved = move(tx, rules, book, share, target, own=own, gone=gone)
            shares[unit, window.key] = moved
    tx.payments.save(replace(book, shares=tuple(shares.values()), updated_at=tx.now()))


def _share(rules: Rules, unit: str, window: Window) -> Share | None:
    if not window.given:
        return None
    first = next(one for one in window.grants if one.kind is GrantKind.PLAN)
    ends_at = first.expires_at
    if ends_at is not None and window.start is not None:
        ends_at -= rules.policy.renewal_grace  # that is for want of the next window alone
    return Share(
        unit=unit,
        grant_id=first.id,
        key=window.key,
        amount=window.given,
        kind=GrantKind.PLAN,
        expires_at=ends_at,
    )


def _target(state: CustomerState, rules: Rules, unit: str, window: Window) -> int:
    counting = counted(state.items)
    if window.start is None:
        free = _once_of(rules.default_terms, unit, window.series)
        wanted = once_return(counting, unit, window.series, window.total, free)
        return min(wanted, window.given)
    item = next((item for item in state.items if item.id == window.item_id), None)
    if item is None:
        return 0
    if item not in counting:
        return window.given  # it was granted before it was known to be a duplicate
    return min(window_return(item, unit, window.series, window.start, window.total), window.given)


def _once_of(terms: Terms, unit: str, series: str) -> int:
    found = [grant for grant in terms.grants if (grant.unit, grant.series) == (unit, series)]
    amounts = [grant.amount_for(1) for grant in found]
    return max((one for one in amounts if isinstance(one, int)), default=0)


def _windows(given: Sequence[Grant]) -> Iterator[Window]:
    """The windows of an account, by the ids of their grants: `item:series@start/received before`,
    and `series/received before` for what is granted once."""
    steps: dict[str, list[Grant]] = {}
    for one in given:
        key, _, step = one.id.rpartition("/")
        if step.isdigit() and one.kind is not GrantKind.ROLLOVER:
            steps.setdefault(key, []).append(one)
    for key, grants in steps.items():
        head, at, start = key.rpartition("@")
        if not at:
            yield Window(key, "", key, None, tuple(grants))
            continue
        item_id, _, series = head.partition(":")
        yield Window(key, item_id, series, datetime.fromisoformat(start), tuple(grants))


def _gone(
    tx: Transaction,
    customer: str,
    unit: str,
    own: Collection[str],
    window: Window,
    windows: Sequence[Window],
    given: Sequence[Grant],
) -> int:
    """How much of a window's grants has lapsed. What the next window took over has not: it lapses
    with that."""
    gone = sum(tx.ledger.lapsed(customer, unit, own).values())
    following = [
        one
        for one in windows
        if (one.item_id, one.series) == (window.item_id, window.series)
        and one.start is not None
        and window.start is not None
        and one.start > window.start
    ]
    if not following:
        return gone
    after = min(following, key=lambda one: str(one.start)).key
    carried = {one.id: one.amount or 0 for one in given if one.id.startswith(f"{after}/rollover")}
    over = sum(tx.ledger.lapsed(customer, unit, carried).values())
    taken_over = sum(carried.values())
    return max(0, gone - taken_over) + min(taken_over, over)
