"""How much of what a payment granted is to be taken back: an absolute target, never a step.

The target follows from what Stripe says of the charge now: the same whichever event led to the
look, and however often (DESIGN invariant 11).

- A refund counts from its start on (`pending`, `requires_action`, `succeeded`), and no more once it
  has `failed` or is `canceled` (https://docs.stripe.com/refunds#failed-refunds).
- A dispute counts while its money is withdrawn: `needs_response`, `under_review`, `lost`. An
  inquiry (`warning_...`), a dispute that was `prevented` and one that was `won` take nothing
  (https://docs.stripe.com/disputes/how-disputes-work).
- Both together are never more than what was captured. What of an authorisation is let go, because
  it is canceled or captured in part, comes as a refund that has moved no money (it has no balance
  transaction): it was never paid (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method).
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gatekeeper.projection.reading import Node

REFUND_GONE: Final = frozenset({"failed", "canceled"})
"""The statuses of a refund whose money has come back."""

DISPUTE_TAKES: Final = frozenset({"needs_response", "under_review", "lost"})
"""The statuses of a dispute whose money is withdrawn."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A refund or a dispute. Amounts are in the currency's smallest part. `moved` is whether any
    money has been moved by it, as far as can be seen."""

    id: str
    status: str | None
    amount_minor: int
    currency: str
    moved: bool = True


class ChargeMoney(msgspec.Struct, frozen=True, kw_only=True):
    """A charge, and what has been taken off it.

    Attributes:
        payment_id: of its payment intent; its own, if it has none.
        amount_minor: what of it was captured: 0 of a hold that nobody has captured.
        uncaptured_minor: the rest.
    """

    id: str
    payment_id: str
    customer: str | None
    livemode: bool
    amount_minor: int
    currency: str
    uncaptured_minor: int = 0
    refunds: tuple[Taken, ...] = ()
    disputes: tuple[Taken, ...] = ()

    @property
    def returned_minor(self) -> int:
        """What of the charge the customer has back, or is about to have."""
        made = [one for one in self.refunds if one.status not in REFUND_GONE]
        released = sum(one.amount_minor for one in made if not one.moved)
        total = sum(one.amount_minor for one in made) - min(released, self.uncaptured_minor)
        for one in self.disputes:
            if one.status in DISPUTE_TAKES:
                # What is disputed in another currency can't be compared: it is all of the charge.
                same = one.currency == self.currency
                total += one.amount_minor if same else self.amount_minor
        return min(total, self.amount_minor)

    @property
    def won_disputes(self) -> tuple[str, ...]:
        """The disputes that took nothing in the end."""
        over = ("won", "warning_closed", "prevented")
        return tuple(one.id for one in self.disputes if one.status in over)

    @property
    def open_disputes(self) -> tuple[str, ...]:
        """The disputes that take money, or have taken it."""
        return tuple(one.id for one in self.disputes if one.status in DISPUTE_TAKES)


def to_take_back(granted: int, amount_minor: int, returned_minor: int) -> int:
    """What of `granted` is to be taken back when `returned_minor` of `amount_minor` is returned.

    Rounded down: the customer keeps the broken part. All of it, exactly, when all is returned.
    """
    if amount_minor <= 0:
        return 0
    return granted * min(max(returned_minor, 0), amount_minor) // amount_minor


def project_charge_money(
    charge: Mapping[str, object],
    refunds: Iterable[Mapping[str, object]],
    disputes: Iterable[Mapping[str, object]],
) -> ChargeMoney:
    """Read a charge with its refunds and disputes.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    root = Node.root(charge, "charge")
    amount = root.whole("amount", minimum=0)
    captured = root.maybe_whole("amount_captured", minimum=0)
    if captured is None:  # before 2020-08-27 there was no such field
        unpaid = False in (root.maybe_flag("captured"), root.maybe_flag("paid"))
        captured = 0 if unpaid else amount
    own = root.word("id")
    return ChargeMoney(
        id=own,
        payment_id=root.maybe_reference("payment_intent") or own,
        customer=root.maybe_reference("customer"),
        livemode=root.flag("livemode"),
        amount_minor=captured,
        uncaptured_minor=max(0, amount - captured),
        currency=root.word("currency"),
        refunds=tuple(_taken(one, "refund") for one in refunds),
        disputes=tuple(_taken(one, "dispute") for one in disputes),
    )


def _taken(value: Mapping[str, object], kind: str) -> Taken:
    node = Node.root(value, kind)
    status = node.maybe_word("status")
    return Taken(
        id=node.word("id"),
        status=status,
        amount_minor=node.whole("amount", minimum=0),
        currency=node.word("currency"),
        moved=status != "succeeded" or value.get("balance_transaction", "") is not None,
    )
