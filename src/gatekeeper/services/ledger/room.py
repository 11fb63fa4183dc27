"""What a batch has read, for its commands to decide by."""

from collections.abc import Mapping

from gatekeeper.ledger import Hold, Receipt
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.postings import AccountKey, Posting


class NeedsLockError(Exception):
    """This command needs more than was read: it has to be decided under its account's lock."""


class Room:
    """The desks of a batch, with the holds and receipts that its commands have asked for.

    `tx` is the open transaction that has locked the accounts; None where they were only read.
    """

    def __init__(
        self,
        rules: Rules,
        desks: Mapping[AccountKey, Desk],
        *,
        tx: Transaction | None,
        holds: Mapping[tuple[str, str], Hold],
        receipts: Mapping[tuple[str, str], Receipt],
    ) -> None:
        self.rules = rules
        self._desks = desks
        self._tx = tx
        self._holds = dict(holds)
        self._receipts = dict(receipts)

    @property
    def tx(self) -> Transaction:
        """The transaction.

        Raises:
            NeedsLockError: there is none.
        """
        if self._tx is None:
            raise NeedsLockError
        return self._tx

    def desk(self, key: AccountKey) -> Desk:
        """The desk of an account.

        Raises:
            NeedsLockError: the account was not read, or is not up to date.
        """
        desk = self._desks.get(key)
        if desk is None:
            raise NeedsLockError
        return desk

    def hold(self, desk: Desk, hold_id: str) -> Hold | None:
        """A hold of the desk's account as it is now.

        Raises:
            NeedsLockError: it was not read, or the caps of its scope were not.
        """
        posting = desk.posting
        found = posting.changed.get(hold_id) or posting.made.get(hold_id)
        if found is None:
            found = self._holds.get((posting.before.customer, hold_id))
        if self._tx is None and (found is None or found.scope):
            raise NeedsLockError
        return found

    def is_taken(self, desk: Desk, hold_id: str) -> bool:
        """Whether a hold of this id is known to have been made before. (Where nothing is locked
        the database finds out when the hold is written.)"""
        posting = desk.posting
        return hold_id in posting.made or (posting.before.customer, hold_id) in self._holds

    def flush(self, desk: Desk) -> None:
        """Write what the desk has come to, for a command that has to find it in the tables."""
        posting = desk.posting
        if not posting.is_empty:
            self.tx.ledger.post([posting])
            for hold in (*posting.made.values(), *posting.changed.values()):
                self._holds[hold.customer, hold.id] = hold
            desk.posting = Posting(posting.after, posting.after)

    def receipt(self, customer: str, key: str) -> Receipt | None:
        """The receipt of an idempotency key.

        Raises:
            NeedsLockError: nothing is locked, so that it can't be told.
        """
        if self._tx is None:
            raise NeedsLockError
        return self._receipts.get((customer, key))

    def put_receipt(self, desk: Desk, receipt: Receipt) -> None:
        """Keep a receipt beside the effect."""
        self._receipts[receipt.customer, receipt.key] = receipt
        desk.posting.receipts.append(receipt)
