"""What payments have granted is taken back when the money goes back, and given back when the money
returns after all.

Plain functions over a transaction. What is to be taken is an absolute target (see
`projection/clawback.py`): each call takes or gives the difference to what was taken before, so
that repeating it changes nothing, and the order of events does not matter. The payment's row is
the lock that granting and taking back meet on.
"""

import logging

from msgspec.structs import replace

from gatekeeper.errors import CustomerNotFoundError
from gatekeeper.ledger import Clawback, GrantCredits, GrantKind
from gatekeeper.projection.clawback import ChargeMoney, to_take_back
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import AccountChange, GrantCommand
from gatekeeper.services.rules import Rules
from gatekeeper.storage.payments import Payment, Share
from gatekeeper.storage.port import Transaction

logger = logging.getLogger("gatekeeper.webhooks")

ACTOR = "stripe"
"""Who takes back and gives back, in the ledger's entries."""


def note_grants(
    tx: Transaction, rules: Rules, payment: Payment, customer: str, shares: tuple[Share, ...]
) -> None:
    """Note what a payment, which is locked, has granted; what was returned of it before that is
    taken back at once."""
    known = {share.key for share in payment.shares}
    added = tuple(share for share in shares if share.key not in known)
    _settle(tx, rules, replace(payment, customer=customer, shares=(*payment.shares, *added)))


def note_charge(
    tx: Transaction, rules: Rules, money: ChargeMoney, invoice_id: str | None = None
) -> Payment:
    """Note what of a charge was returned, and bring what was taken back to the target."""
    payment = tx.payments.lock(money.payment_id)
    return _settle(
        tx,
        rules,
        replace(
            payment,
            invoice_id=payment.invoice_id if invoice_id is None else invoice_id,
            amount_minor=money.amount_minor,
            returned_minor=money.returned_minor,
        ),
    )


def _settle(tx: Transaction, rules: Rules, payment: Payment) -> Payment:
    moved: dict[str, Share] = {}
    # Accounts are locked in the order in which everybody locks them.
    for share in sorted(payment.shares, key=lambda share: (share.unit, share.key)):
        target = to_take_back(share.amount, payment.amount_minor, payment.returned_minor)
        if target != share.taken and payment.customer is not None:
            moved[share.key] = _move(tx, rules, payment, payment.customer, share, target)
    settled = replace(
        payment,
        shares=tuple(moved.get(share.key, share) for share in payment.shares),
        updated_at=tx.now(),
    )
    tx.payments.save(settled)
    return settled


def _move(
    tx: Transaction, rules: Rules, payment: Payment, customer: str, share: Share, target: int
) -> Share:
    """Take the difference, or give it back; the share as it is then."""
    key, turns = (customer, share.unit), share.turns + 1
    if target > share.taken:
        taking = Clawback(
            amount=target - share.taken,
            grant_id=share.grant_id,
            actor=ACTOR,
            reference=payment.id,
        )
        carry_out(tx, rules, AccountChange(key, taking))
        logger.info("took back %d %s of payment %s", taking.amount, share.unit, payment.id)
        return replace(share, taken=target, turns=turns)
    giving = GrantCredits(
        grant_id=f"{share.grant_id}/back/{turns}",
        amount=share.taken - target,
        kind=GrantKind(share.kind),
        source_key=f"{share.key}/back/{turns}",
        expires_at=share.expires_at,
        actor=ACTOR,
        reason="the money was not returned after all",
    )
    try:
        carry_out(tx, rules, GrantCommand(rules, key, giving))
    except CustomerNotFoundError:
        logger.warning("payment %s is right again, but its customer is gone", payment.id)
    return replace(share, taken=target, turns=turns)
