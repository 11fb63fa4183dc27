"""The books of an account: what its entries come to, and where anything disagrees with them.

An account is derived: its sums are those of its entries, and what a grant has left or held is the
sum of the entries that name it (see `draft`). Stores add up; here it is compared.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from gatekeeper.ledger.values import Account, Allocation, Entry, EntryKind, Grant

MAX_FAULTY_HOLDS: Final = 20
"""How many holds that contradict themselves are named of one account."""

NO_ROW: Final = "no row"
"""What was found in place of a row that should be there."""

UNREADABLE: Final = "not readable"
"""What was found in place of a packed value."""


class Sums(msgspec.Struct, frozen=True):
    """What some entries come to.

    `granted` is what those of the kind GRANT have posted; `revoked` says whether one of them ended
    a grant on purpose. `first` and `last` are the lowest and the highest sequence number.
    """

    count: int = 0
    first: int = 0
    last: int = 0
    posted: int = 0
    held: int = 0
    debt: int = 0
    granted: int = 0
    revoked: bool = False
    last_at: datetime | None = None

    @property
    def remaining(self) -> int:
        """What of `posted` no hold claims."""
        return self.posted - self.held

    @property
    def is_whole(self) -> bool:
        """Whether the entries are numbered from 1 on without gaps."""
        return self.count == self.last and self.first == min(self.count, 1)

    def plus(self, other: "Sums") -> "Sums":
        """The sums of both."""
        if not self.count or not other.count:
            return self if self.count else other
        instants = [at for at in (self.last_at, other.last_at) if at is not None]
        return Sums(
            self.count + other.count,
            min(self.first, other.first),
            max(self.last, other.last),
            self.posted + other.posted,
            self.held + other.held,
            self.debt + other.debt,
            self.granted + other.granted,
            self.revoked or other.revoked,
            max(instants, default=None),
        )


class HoldFault(msgspec.Struct, frozen=True):
    """An open hold whose allocations don't come to what it holds; None if they can't be read."""

    hold_id: str
    remaining: int
    allocated: int | None


class OpenHolds(msgspec.Struct, frozen=True):
    """What an account's open holds come to. `due_at` is when the first of them ends."""

    count: int = 0
    remaining: int = 0
    allocated: dict[str, int] = {}
    faults: tuple[HoldFault, ...] = ()
    due_at: datetime | None = None


class Books(msgspec.Struct, frozen=True):
    """All that an account is held against, read at one moment.

    Attributes:
        account: None if there is no row of it.
        unreadable: the packed columns of the account that can't be read and were taken as empty.
        entries: the sums of all entries.
        grants: the sums of the entries by the grant that they name: at least of those that come to
            something, that are in the account, or that may not have begun yet.
        records: those same grants as they were given; if `received` is lost, those of windows too.
        holds: what the open holds come to.
    """

    customer: str
    unit: str
    account: Account | None = None
    unreadable: tuple[str, ...] = ()
    entries: Sums = Sums()
    grants: dict[str | None, Sums] = {}
    holds: OpenHolds = OpenHolds()
    records: dict[str, Grant] = {}

    @property
    def is_lost(self) -> bool:
        """Whether the account is not there, though it has a history."""
        account = self.account
        if account is None:
            return True
        return account.version == 0 and account.revision == 0 and self.entries.count > 0


class Breach(msgspec.Struct, frozen=True):
    """One contradiction in the books of an account."""

    customer: str
    unit: str
    what: str
    expected: int | str
    found: int | str


# -- folding --------------------------------------------------------------------------------------


def fold(entries: Iterable[Entry]) -> dict[str | None, Sums]:
    """The sums of entries, by the grant that they name."""
    by_grant: dict[str | None, Sums] = {}
    for entry in entries:
        sums = Sums(
            1,
            entry.sequence,
            entry.sequence,
            entry.posted_delta,
            entry.held_delta,
            entry.debt_delta,
            entry.posted_delta if entry.kind is EntryKind.GRANT else 0,
            entry.kind is EntryKind.GRANT_REVOKED,
            entry.at,
        )
        by_grant[entry.grant_id] = by_grant.get(entry.grant_id, Sums()).plus(sums)
    return by_grant


class HoldFold:
    """Adds up the open holds of one account, one after the other."""

    __slots__ = ("_allocated", "_count", "_due_at", "_faults", "_remaining")

    def __init__(self) -> None:
        self._count = self._remaining = 0
        self._allocated: dict[str, int] = {}
        self._faults: list[HoldFault] = []
        self._due_at: datetime | None = None

    def add(
        self,
        hold_id: str,
        remaining: int,
        allocations: tuple[Allocation, ...] | None,
        expires_at: datetime,
    ) -> None:
        """Take in a hold; `allocations` None says that they can't be read."""
        self._count += 1
        self._remaining += remaining
        if self._due_at is None or expires_at < self._due_at:
            self._due_at = expires_at
        allocated: int | None = None
        if allocations is not None:
            allocated = sum(allocation.amount for allocation in allocations)
            for allocation in allocations:
                known = self._allocated.get(allocation.grant_id, 0)
                self._allocated[allocation.grant_id] = known + allocation.amount
        if allocated != remaining and len(self._faults) < MAX_FAULTY_HOLDS:
            self._faults.append(HoldFault(hold_id, remaining, allocated))

    def result(self) -> OpenHolds:
        """What they come to."""
        return OpenHolds(
            self._count, self._remaining, self._allocated, tuple(self._faults), self._due_at
        )


# -- comparing ------------------------------------------------------------------------------------


def find_breaches(books: Books) -> tuple[Breach, ...]:
    """Every way in which an account, its entries, its grants and its holds disagree."""
    return tuple(
        Breach(books.customer, books.unit, what, expected, found)
        for what, expected, found in _disagreements(books)
        if expected != found
    )


Claim = tuple[str, int | str, int | str]
"""What is compared, what it should be, what it is."""


def _disagreements(books: Books) -> Iterator[Claim]:
    entries, holds = books.entries, books.holds
    yield "the number of entries", entries.last, entries.count
    yield "the number of the first entry", min(entries.count, 1), entries.first
    yield "held by open holds", entries.held, holds.remaining
    for fault in holds.faults:
        allocated = UNREADABLE if fault.allocated is None else fault.allocated
        yield f"the allocations of hold {fault.hold_id}", fault.remaining, allocated
    for grant_id in sorted({*named(books.grants), *holds.allocated}):
        held = books.grants.get(grant_id, Sums()).held
        yield f"held of grant {grant_id} by holds", held, holds.allocated.get(grant_id, 0)
    account = books.account
    if account is None:
        if entries.count or holds.count:
            yield "the account", "a row", NO_ROW
        return
    yield "posted", entries.posted, account.posted
    yield "held", entries.held, account.held
    yield "debt", entries.debt, account.debt
    yield "version", entries.last, account.version
    if account.posted < account.held:
        yield "posted less held", "0 or more", account.posted - account.held
    if entries.last_at is not None and not _is_at_or_after(account.last_entry_at, entries.last_at):
        yield (
            "last_entry_at",
            f"{entries.last_at.isoformat()} or later",
            instant_words(account.last_entry_at),
        )
    if overlooks_holds(account, holds):
        due = instant_words(holds.due_at)
        yield "holds_due_at", f"{due} or earlier", instant_words(account.holds_due_at)
    for column in books.unreadable:
        yield f"the packed {column}", "readable", UNREADABLE
    yield from _of_grants(books, account)


def overlooks_holds(account: Account, holds: OpenHolds) -> bool:
    """Whether an open hold could be overdue before anybody looks at it. (Of an account that is not
    up to date they are all looked at.)"""
    if account.fresh is None or holds.due_at is None:
        return False
    return account.holds_due_at is None or account.holds_due_at > holds.due_at


def _of_grants(books: Books, account: Account) -> Iterator[Claim]:
    packed = {grant.id: grant for grant in account.grants}
    if "grants" not in books.unreadable:
        kept = sum(grant.remaining + grant.held for grant in packed.values())
        yield "left and held in grants", account.posted, kept
    if None in books.grants:
        yield "posted by entries without a grant", 0, books.grants[None].posted
        yield "held by entries without a grant", 0, books.grants[None].held
    for grant_id in sorted({*named(books.grants), *packed, *books.records}):
        sums, live = books.grants.get(grant_id, Sums()), packed.get(grant_id)
        yield f"left of grant {grant_id}", sums.remaining, 0 if live is None else live.remaining
        yield f"held of grant {grant_id}", sums.held, 0 if live is None else live.held
        record = books.records.get(grant_id)
        if record is None:
            yield f"the record of grant {grant_id}", "a row", NO_ROW
        else:
            pending = 0 if live is None else live.pending
            yield f"pending of grant {grant_id}", pending_of(record, sums), pending


def named(sums: Mapping[str | None, Sums]) -> Iterator[str]:
    """The grants that entries name."""
    return (grant_id for grant_id in sums if grant_id is not None)


def instant_words(instant: datetime | None) -> str:
    """An instant for whoever reads of a breach."""
    return "nothing" if instant is None else instant.isoformat()


def _is_at_or_after(instant: datetime | None, earliest: datetime) -> bool:
    return instant is not None and instant >= earliest


def pending_of(record: Grant, sums: Sums) -> int:
    """What has yet to begin of a grant: what was given already, or clawed back, was GRANTed."""
    if record.effective_at is None or record.amount is None or sums.revoked:
        return 0
    return record.amount - sums.granted
