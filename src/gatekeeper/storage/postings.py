"""What is to be written of one account, collected from one command or from many.

A batch decides its commands one after the other in memory; what they come to is written once. A
posting keeps the account as it was found and as it ends, and every row in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gatekeeper.ledger import Account, Cap, Change, Entry, Grant, Hold, HoldStatus, Receipt

AccountKey = tuple[str, str]
"""A customer and a unit."""


@dataclass(slots=True)
class Posting:
    """The rows of one account; `before` is as it was read, `after` as it will be.

    Attributes:
        made: new holds by id, as they are at the end.
        changed: holds that were there before, by id.
        customer_version: if given, writing is refused once the customer has another version.
    """

    before: Account
    after: Account
    entries: list[Entry] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    made: dict[str, Hold] = field(default_factory=dict)
    changed: dict[str, Hold] = field(default_factory=dict)
    caps: dict[tuple[str, str], Cap] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    customer_version: int | None = None

    @property
    def key(self) -> AccountKey:
        """The account's key."""
        return self.before.customer, self.before.unit

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be written."""
        return self.after is self.before and not self.receipts

    def add(self, change: Change) -> None:
        """Take in one more change, which began where the last one ended."""
        self.after = change.account
        self.entries += change.entries
        self.grants += change.grants
        for cap in change.caps:
            self.caps[cap.scope, cap.every] = cap
        hold = change.hold
        if hold is not None:
            is_made = hold.id in self.made or is_new(hold, change.entries)
            (self.made if is_made else self.changed)[hold.id] = hold


def posting_of(before: Account, change: Change) -> Posting:
    """The posting of a single change."""
    posting = Posting(before, before)
    posting.add(change)
    return posting


def is_new(hold: Hold, written: Sequence[Entry]) -> bool:
    """Whether a change makes this hold: then its entries claim all of it, at once. (An extension
    claims less than the whole; an end claims nothing.)"""
    if hold.status is not HoldStatus.OPEN or hold.captured:
        return False
    claimed = sum(entry.held_delta for entry in written if entry.hold_id == hold.id)
    return claimed == hold.amount
