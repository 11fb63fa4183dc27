"""What payments have granted is taken back when the money goes back, and given back when the money
returns after all.

Plain functions over a transaction. What is to be taken is an absolute target (see
`projection/clawback.py`): each call takes or gives the difference to what was taken before, so
that repeating it changes nothing, and the order of events does not matter. The payment's row is
the lock that granting and taking back meet on.
"""

import logging
from collections.abc import Collection

from msgspec.structs import replace

from gatekeeper.errors import CustomerNotFoundError, UnknownNameError
from gatekeeper.ledger import Clawback, EntryKind, GrantCredits, GrantKind
from gatekeeper.projection.clawback import ChargeMoney, to_take_back
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import AccountChange, GrantCommand, NoticeCommand
from gatekeeper.services.rules import Rules
from gatekeeper.storage.payments import Payment, Share
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Stamp

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


def pack_key(stamp: Stamp, paid_by: str, unit: str) -> str:
    """The business key of what a pack has granted of a unit, unique for ever."""
    mode = "live" if stamp.livemode else "test"
    return f"{mode}/{stamp.account}/{paid_by}/pack/{unit}"


def note_charge(
    tx: Transaction,
    rules: Rules,
    stamp: Stamp,
    money: ChargeMoney,
    invoice_id: str | None = None,
) -> Payment:
    """Note what of a charge was returned, and bring what was taken back to the target."""
    payment = tx.payments.lock(money.payment_id)
    if not payment.shares:
        payment = _adopted(tx, rules, stamp, payment)
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


def _adopted(tx: Transaction, rules: Rules, stamp: Stamp, payment: Payment) -> Payment:
    """A payment with what it has granted before payments were kept, by their business keys."""
    shares = []
    for unit in sorted(rules.catalog.units):
        key = pack_key(stamp, payment.id, unit)
        given = tx.ledger.grant_by_source(key)
        if given is None or given.amount is None:
            continue
        share = Share(
            unit=unit,
            grant_id=given.id,
            key=key,
            amount=given.amount,
            kind=given.kind,
            expires_at=given.expires_at,
        )
        shares.append(share)
        payment = replace(payment, customer=given.customer)
    return replace(payment, shares=tuple(shares))


def _settle(tx: Transaction, rules: Rules, payment: Payment) -> Payment:
    moved: dict[str, Share] = {}
    # Accounts are locked in the order in which everybody locks them.
    for share in sorted(payment.shares, key=lambda share: (share.unit, share.key)):
        target = to_take_back(share.amount, payment.amount_minor, payment.returned_minor)
        if target != share.taken and payment.customer is not None:
            # Locked and brought up to date first, so that what is over has lapsed.
            carry_out(tx, rules, NoticeCommand((payment.customer, share.unit)))
            own = grant_ids(share)
            gone = sum(tx.ledger.lapsed(payment.customer, share.unit, own).values())
            moved[share.key] = move(tx, rules, payment, share, target, own=own, gone=gone)
    settled = replace(
        payment,
        shares=tuple(moved.get(share.key, share) for share in payment.shares),
        updated_at=tx.now(),
    )
    tx.payments.save(settled)
    return settled


def grant_ids(share: Share) -> list[str]:
    """The grant of a share, and those by which a part of it was given back."""
    return [share.grant_id, *(_back(share, turn) for turn in range(1, share.turns + 1))]


def move(
    tx: Transaction,
    rules: Rules,
    payment: Payment,
    share: Share,
    target: int,
    *,
    own: Collection[str],
    gone: int,
) -> Share:
    """Take the difference to a target, or give it back; the share as it is then.

    What of the grant had lapsed unused counts as taken: nobody loses other credits for it. So it
    makes no difference whether the money went back before the grant expired, or is only heard of
    after it.

    Args:
        own: the grants that are the payment's.
        gone: how much of them has expired or was revoked.
    """
    moved = replace(share, taken=target, turns=share.turns + 1)
    if target < share.taken:
        return _give(tx, rules, payment, share, moved)
    lapsed = min(target - share.taken, max(0, gone - share.lapsed))
    taking = target - share.taken - lapsed
    elsewhere = share.elsewhere
    if taking:
        command = Clawback(
            amount=taking, grant_id=share.grant_id, actor=ACTOR, reference=payment.id
        )
        change = carry_out(tx, rules, AccountChange(_key(payment, share), command))
        found = sum(
            -entry.posted_delta
            for entry in change.entries
            if entry.kind is EntryKind.CLAWBACK and entry.grant_id in own
        )
        elsewhere += taking - found
        logger.info("took back %d %s of payment %s", taking, share.unit, payment.id)
    return replace(moved, lapsed=share.lapsed + lapsed, elsewhere=elsewhere)


def _give(tx: Transaction, rules: Rules, payment: Payment, share: Share, moved: Share) -> Share:
    """Give back what is taken no more: first what was found elsewhere, for as long as anybody
    likes to spend it, then what was the grant's own, until that would have expired."""
    left = share.taken - moved.taken
    elsewhere = min(left, share.elsewhere)
    own = min(left - elsewhere, share.taken - share.lapsed - share.elsewhere)
    lapsed = left - elsewhere - own
    parts = (
        (f"{_back(share, moved.turns)}-elsewhere", elsewhere, None),
        (_back(share, moved.turns), own, share.expires_at),
    )
    for grant_id, amount, expires_at in parts:
        if not amount:
            continue
        grant = GrantCredits(
            grant_id=grant_id,
            amount=amount,
            kind=GrantKind(share.kind),
            # A business key stays for ever, and that of a customer's plans tells who they are.
            source_key=None if payment.is_of_plans else f"{payment.id}/{grant_id}",
            expires_at=expires_at,
            actor=ACTOR,
            reason="the money was not returned after all",
        )
        try:
            carry_out(tx, rules, GrantCommand(rules, _key(payment, share), grant))
        except (CustomerNotFoundError, UnknownNameError):
            logger.warning("payment %s is right again, but whose it was is gone", payment.id)
    return replace(moved, lapsed=share.lapsed - lapsed, elsewhere=share.elsewhere - elsewhere)


def _key(payment: Payment, share: Share) -> tuple[str, str]:
    assert payment.customer is not None  # what has granted has a customer
    return payment.customer, share.unit


def _back(share: Share, turn: int) -> str:
    """The id of the grant by which a part was given back. It is no step of a window: those end in
    a number."""
    return f"{share.grant_id}/back-{turn}"
