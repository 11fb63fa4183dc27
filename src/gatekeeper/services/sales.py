"""Sales: orders of what sellers sell, and what of the money is whose.

The seller's share is what was captured, less the commission. It goes with the payment (a
destination charge), or by a transfer of its own that is noted here when the order is paid. What a
buyer gets back, everybody gives back who had a part of it, in proportion:

- the refund of a destination charge takes the seller's part along by itself (`reverse_transfer`,
  https://docs.stripe.com/connect/destination-charges#issue-refunds); one that was made without
  that leaves it to them, unless they have got something again;
- after a transfer of its own, Stripe takes nothing from the seller: a payback is noted for each
  refund (https://docs.stripe.com/connect/separate-charges-and-transfers#issue-refunds);
- the money of a dispute is always the platform's to lose. Where the seller bears it, by a declared
  policy, a payback is noted while it is withdrawn
  (https://docs.stripe.com/connect/disputes#destination-charges).

A payback is noted once for each refund or dispute; what that has come to, when it fails or is won,
the seller gets again.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from gatekeeper.projection.clawback import (
    DISPUTE_TAKES,
    REFUND_GONE,
    ChargeMoney,
    to_take_back,
)
from gatekeeper.services.backoff import after_failures
from gatekeeper.services.outbox import tell
from gatekeeper.services.rules import Rules
from gatekeeper.storage.orders import Order
from gatekeeper.storage.paybacks import Payback, PaybackStatus
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.transfers import Transfer, TransferStatus

logger = logging.getLogger("gatekeeper.stripe")

FAILED: Final = "payback.failed"
"""The topic of the signal."""

_OPEN: Final = (PaybackStatus.OWED, PaybackStatus.FAILED)
_FIRST_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 6 * 3_600.0


def owed_id(order_id: str) -> str:
    """The id of the transfer by which a seller gets their share of an order."""
    return f"sale_{order_id}"


def share_of(order: Order, captured_minor: int) -> int:
    """What of a captured amount is the seller's. A commission is at most what was captured, as
    Stripe has it of an application fee."""
    return captured_minor - min(order.commission_minor, captured_minor)


def note_paid(tx: Transaction, order: Order, charge_id: str, captured_minor: int) -> None:
    """Note what its seller is owed of an order that is paid, in the transaction that notes that:
    once, however often it is noted. Nothing, if the money has gone with the payment."""
    if order.seller is None or order.transfers != "separate":
        return
    amount = share_of(order, captured_minor)
    seller = tx.sellers.get(order.seller)
    if seller is None or seller.account_id is None:
        # Its payment was made when there was one: they were erased since.
        logger.error("the seller of order %s is gone: their share is not sent", order.id)
        return
    if amount <= 0:
        return
    now = tx.now()
    tx.transfers.insert(
        Transfer(
            id=owed_id(order.id),
            customer=order.customer,
            charge_id=charge_id,
            destination=seller.account_id,
            amount_minor=amount,
            currency=order.currency,
            status=TransferStatus.OWED,
            created_at=now,
            due_at=now,
        )
    )


class _Cause(NamedTuple):
    """A refund or a dispute, and what of the buyer's money it takes now."""

    name: str
    takes_minor: int


class _Part(NamedTuple):
    """What a seller got of an order at one time: by which transfer, and how much of it is theirs to
    give back."""

    destination: str
    owed_id: str | None
    transfer_id: str | None
    amount_minor: int

    def is_source_of(self, row: Payback) -> bool:
        """Whether a payback is taken from this."""
        return (self.owed_id or self.transfer_id) == (row.owed_id or row.transfer_id)


def note_charge(tx: Transaction, rules: Rules, money: ChargeMoney) -> None:
    """Note what a seller is to give back of an order, or gets again, by what Stripe says of its
    charge now: the same however often, and whichever event led to the look."""
    payment = tx.orders.payment(money.payment_id)
    order = None if payment is None else tx.orders.get(payment.order_id, lock=True)
    if order is None or order.seller is None or not money.amount_minor:
        return
    if order.payment_id != money.payment_id or not order.captured_minor:
        return  # money that does not pay the order is nobody's share
    note_paid(tx, order, money.id, money.amount_minor)
    part = _part(tx, order, money)
    if part is None:
        return
    causes, taken_along = _causes(tx, order, rules, money)
    rows = tx.paybacks.of_order(order.id)
    takes = {one.name: one.takes_minor for one in causes}
    for row in rows:
        if row.status is not PaybackStatus.ENDED and not takes.get(row.cause):
            _end(tx, row, money.id)
    standing = [one for one in tx.paybacks.of_order(order.id) if _stands(one)]
    noted = {one.cause for one in standing}
    returned = taken_along + sum(takes[name] for name in noted)
    given = sum(one.amount_minor for one in standing)
    before = to_take_back(part.amount_minor, money.amount_minor, taken_along)
    for cause in causes:
        if cause.name in noted or not cause.takes_minor:
            continue
        returned += cause.takes_minor
        target = to_take_back(part.amount_minor, money.amount_minor, returned) - before
        given += _note(tx, order, part, cause.name, target - given, before)
    owing = [one.name for one in causes if one.takes_minor]
    if owing:
        # What another had taken of all there is, and takes no more, is left to the last.
        target = to_take_back(part.amount_minor, money.amount_minor, returned) - before
        _note(tx, order, part, owing[-1], target - given, before)


def _stands(row: Payback) -> bool:
    return row.status is not PaybackStatus.ENDED


def _part(tx: Transaction, order: Order, money: ChargeMoney) -> _Part | None:
    """What the seller got first; None if they got nothing, or it is not known yet by what."""
    if order.transfers == "separate":
        owed = tx.transfers.get(owed_id(order.id))
        if owed is None:
            return None
        return _Part(owed.destination, owed.id, None, owed.amount_minor)
    charge = tx.mirror.get("charge", money.id)
    transfer = None if charge is None else _facts(charge.facts).get("transfer")
    seller = None if order.seller is None else tx.sellers.get(order.seller)
    if seller is None or seller.account_id is None or transfer is None:
        return None
    return _Part(seller.account_id, None, transfer, share_of(order, money.amount_minor))


def _facts(facts: str) -> dict[str, Any]:
    return msgspec.json.decode(facts, type=dict[str, Any])


def _causes(
    tx: Transaction, order: Order, rules: Rules, money: ChargeMoney
) -> tuple[Sequence[_Cause], int]:
    """What paybacks are noted for, the refunds first; and what of the buyer's money goes back with
    the seller's part of it, or by the platform's choice without."""
    refunds = list(_refunds(money))
    disputes = list(_disputes(rules, money))
    if order.transfers == "separate":
        return [*refunds, *disputes], 0
    rows = tx.paybacks.of_order(order.id)
    along, alone = 0, []
    for one in refunds:
        copy = tx.mirror.get(*one.name.split("/"))
        if copy is not None and _facts(copy.facts).get("transfer_reversal"):
            along += one.takes_minor
        elif gets_again(rows) or any(row.cause == one.name for row in rows):
            alone.append(one)
    return [*alone, *disputes], along


def gets_again(rows: Sequence[Payback]) -> bool:
    """Whether a seller has got something again, by a transfer of its own. From then on Stripe can't
    take their part along with a refund: what went with the payment is gone already."""
    return any(one.status is PaybackStatus.ENDED and one.reversal_id for one in rows)


def _refunds(money: ChargeMoney) -> Iterator[_Cause]:
    for one in money.refunds:
        # What of an authorisation is let go comes as a refund that has moved nothing.
        stands = one.status not in REFUND_GONE and one.moved
        yield _Cause(f"refund/{one.id}", one.amount_minor if stands else 0)


def _disputes(rules: Rules, money: ChargeMoney) -> Iterator[_Cause]:
    for one in money.disputes:
        stands = one.status in DISPUTE_TAKES and rules.disputes_borne_by == "seller"
        # What is disputed in another currency can't be compared: it is all of the charge.
        amount = one.amount_minor if one.currency == money.currency else money.amount_minor
        yield _Cause(f"dispute/{one.id}", amount if stands else 0)


def _note(
    tx: Transaction, order: Order, part: _Part, cause: str, amount: int, taken_along: int
) -> int:
    """Note what is given back for a cause: of what the seller got first, and then of what they
    got again, as far as there is any left of each. `taken_along` of the first is gone already.
    Returns how much of `amount` there was."""
    asked = amount
    rows = tx.paybacks.of_order(order.id)
    now = tx.now()
    turn = 1 + sum(1 for one in rows if one.cause == cause)
    for source, gone in [(part, taken_along), *((one, 0) for one in _again(tx, rows))]:
        used = [one for one in rows if source.is_source_of(one)]
        left = source.amount_minor - gone
        left -= sum(one.amount_minor for one in used if _stands(one) or one.reversal_id)
        taken = min(amount, left)
        if taken <= 0:
            continue
        tx.paybacks.insert(
            Payback(
                id=cause if turn == 1 else f"{cause}/{turn}",
                order_id=order.id,
                customer=order.customer,
                destination=source.destination,
                owed_id=source.owed_id,
                transfer_id=source.transfer_id,
                amount_minor=taken,
                currency=order.currency,
                status=PaybackStatus.OWED,
                created_at=now,
                due_at=now,
            )
        )
        amount -= taken
        turn += 1
    return asked - max(amount, 0) if asked > 0 else 0


def _again_id(made: Payback) -> str:
    return f"again_{made.id.replace('/', '_')}"


def _again(tx: Transaction, rows: Sequence[Payback]) -> Iterator[_Part]:
    """What the seller got again of an order."""
    for row in rows:
        owed = tx.transfers.get(_again_id(row))
        if owed is not None:
            yield _Part(owed.destination, owed.id, None, owed.amount_minor)


def _end(tx: Transaction, row: Payback, charge_id: str) -> None:
    """What a payback was for has come to nothing: the seller gets it again, if it was made."""
    known = tx.paybacks.get(row.id, lock=True)
    if known is None or known.status is PaybackStatus.ENDED:
        return
    tx.paybacks.save(replace(known, status=PaybackStatus.ENDED))
    if known.status is PaybackStatus.MADE:
        _give_again(tx, known, charge_id)


def _give_again(tx: Transaction, made: Payback, charge_id: str) -> None:
    """Owe a seller what they gave back for nothing; out of the balance, since of a charge no more
    can be transferred than there was."""
    now = tx.now()
    tx.transfers.insert(
        Transfer(
            id=_again_id(made),
            customer=made.customer,
            charge_id=charge_id,
            destination=made.destination,
            amount_minor=made.amount_minor,
            currency=made.currency,
            status=TransferStatus.OWED,
            created_at=now,
            due_at=now,
            of_balance=True,
        )
    )


def note_made(tx: Transaction, payback_id: str, reversal_id: str) -> None:
    """Note that Stripe has made a payback. If that was for nothing meanwhile, the seller gets it
    again."""
    known = tx.paybacks.get(payback_id, lock=True)
    if known is None or known.reversal_id is not None:
        return
    ended = known.status is PaybackStatus.ENDED
    status = known.status if ended else PaybackStatus.MADE
    made = replace(known, status=status, reversal_id=reversal_id, last_error=None)
    tx.paybacks.save(made)
    if ended:
        _give_again(tx, made, "")


def note_refused(tx: Transaction, payback_id: str, error: str) -> None:
    """Note that Stripe has refused a payback: it is told once, and tried again later."""
    known = tx.paybacks.get(payback_id, lock=True)
    if known is None or known.status not in _OPEN:
        return
    attempts = known.attempts + 1
    now = tx.now()
    due = now + after_failures(attempts, _FIRST_SECONDS, _LONGEST_SECONDS)
    failed = replace(
        known, status=PaybackStatus.FAILED, attempts=attempts, due_at=due, last_error=error
    )
    tx.paybacks.save(failed)
    if known.status is PaybackStatus.OWED:
        logger.error("payback %s by %s was refused: %s", known.id, known.destination, error)
        body = {
            "payback": known.id,
            "order": known.order_id,
            "destination": known.destination,
            "amount_minor": known.amount_minor,
            "currency": known.currency,
            "error": error,
        }
        tell(tx, FAILED, known.customer, body, now)


def transfer_to_reverse(tx: Transaction, payback: Payback) -> str | None:
    """Stripe's transfer of which a payback is; None while that was not sent. One that will never be
    sent has nothing to give back."""
    if payback.owed_id is None:
        return payback.transfer_id
    owed = tx.transfers.get(payback.owed_id)
    if owed is None or owed.status is TransferStatus.DISCARDED:
        known = tx.paybacks.get(payback.id, lock=True)
        if known is not None and known.status in _OPEN:
            tx.paybacks.save(replace(known, status=PaybackStatus.ENDED))
        return None
    return owed.transfer_id
