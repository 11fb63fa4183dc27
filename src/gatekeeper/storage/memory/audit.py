"""Whole accounts and whole customers, in memory."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from gatekeeper.ledger import Account, Entry, EntryKind, Grant, HoldStatus
from gatekeeper.ledger.books import Books, HoldFold, Sums, fold, named
from gatekeeper.ledger.rebuild import WINDOW_KINDS
from gatekeeper.storage.audit import (
    Audit,
    By,
    Ledgered,
    Ties,
    UsagePlace,
    UsageQuery,
    Used,
    hash_of,
)
from gatekeeper.storage.memory.customers import MemoryCustomers
from gatekeeper.storage.memory.ledger import LedgerTables
from gatekeeper.storage.memory.metering import MemoryMetering
from gatekeeper.storage.memory.purchases import MemoryPurchases
from gatekeeper.storage.memory.subscriptions import MemorySubscriptions
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.postings import AccountKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTHS: dict[By, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}

Erasure = Callable[[str, str], None]
"""Puts what a table has of a customer under a pseudonym, or deletes it."""


class MemoryAudit(Audit):
    """See the port."""

    def __init__(
        self,
        journal: Journal,
        tables: LedgerTables,
        customers: MemoryCustomers,
        subscriptions: MemorySubscriptions,
        purchases: MemoryPurchases,
        metering: MemoryMetering,
        erasures: Sequence[Erasure],
    ) -> None:
        self._tables = tables
        self._customers = customers
        self._subscriptions = subscriptions
        self._purchases = purchases
        self._metering = metering
        self._erasures = erasures
        self._erased: Table[str, datetime] = Table(journal)

    def count(self, customer: str | None = None) -> int:
        return sum(customer in (None, key[0]) for key, _ in self._tables.accounts.items())

    def ledgered(
        self,
        after: tuple[str, str | None] | None,
        limit: int,
        *,
        customer: str | None = None,
    ) -> Sequence[Ledgered]:
        tables = self._tables
        keys = {key for key, _ in tables.accounts.items()}
        keys |= {(entry.customer, entry.unit) for entry in tables.entries.values()}
        keys |= {(grant.customer, grant.unit) for grant in tables.grants.values()}
        keys |= {(hold.customer, hold.unit) for hold in tables.open_holds.values()}
        wanted = (
            key
            for key in sorted(keys)
            if customer in (None, key[0]) and (after is None or _is_after(key, after))
        )
        return [
            Ledgered(*key, 0 if (found := tables.accounts.get(key)) is None else found.version)
            for key, _ in zip(wanted, range(limit), strict=False)
        ]

    def books(
        self, keys: Collection[AccountKey], now: datetime, *, lock: bool = False
    ) -> Sequence[Books]:
        return [self._books(*key, now) for key in sorted(set(keys))]

    def _books(self, customer: str, unit: str, now: datetime) -> Books:
        tables = self._tables
        account = tables.accounts.get((customer, unit))
        sums = fold(self._entries(customer, unit))
        total = Sums()
        for one in sums.values():
            total = total.plus(one)
        holds = HoldFold()
        for hold in tables.open_holds.values():
            if (hold.customer, hold.unit) == (customer, unit):
                holds.add(hold.id, hold.remaining, hold.allocations, hold.expires_at)
        own = {one.id: one for one in tables.grants.values() if _is_of(one, customer, unit)}
        kept = {one.id for one in own.values() if _may_be_pending(one, now)}
        kept |= {live.id for live in (() if account is None else account.grants)}
        by_grant = {
            grant_id: of
            for grant_id, of in sums.items()
            if of.posted or of.held or grant_id in kept
        }
        books = Books(customer, unit, account, entries=total, grants=by_grant, holds=holds.result())
        kept |= set(named(by_grant))
        if books.is_lost:
            kept |= {one.id for one in own.values() if one.kind in WINDOW_KINDS}
        return replace(books, records={key: one for key, one in own.items() if key in kept})

    def restore(self, account: Account) -> None:
        self._tables.accounts.put((account.customer, account.unit), account)

    # -- reports ----------------------------------------------------------------------------------

    def used(self, query: UsageQuery, after: UsagePlace | None, limit: int) -> Sequence[Used]:
        found: dict[UsagePlace, Used] = {}
        for entry in self._captures(query):
            length = _LENGTHS[query.by]
            start = entry.at - (entry.at - _EPOCH) % length
            place = (start, entry.unit, getattr(entry, query.per) or "")
            known = found.get(place) or Used(*place, 0, 0)
            found[place] = Used(*place, known.amount - entry.posted_delta, known.captures + 1)
        places = sorted(place for place in found if after is None or place > after)
        return [found[place] for place in places[:limit]]

    def totals(self, query: UsageQuery) -> dict[str, int]:
        found: dict[str, int] = {}
        for entry in self._captures(query):
            found[entry.unit] = found.get(entry.unit, 0) - entry.posted_delta
        return dict(sorted(found.items()))

    def newest(self, customer: str, unit: str, before: int | None, limit: int) -> Sequence[Entry]:
        own = sorted(self._entries(customer, unit), key=lambda entry: -entry.sequence)
        return [entry for entry in own if before is None or entry.sequence < before][:limit]

    def _entries(self, customer: str, unit: str) -> Iterator[Entry]:
        return (
            entry
            for entry in self._tables.entries.values()
            if (entry.customer, entry.unit) == (customer, unit)
        )

    def _captures(self, query: UsageQuery) -> Iterator[Entry]:
        return (
            entry
            for entry in self._tables.entries.values()
            if entry.kind is EntryKind.CAPTURE
            and entry.customer == query.customer
            and query.since <= entry.at < query.until
            and query.unit in (None, entry.unit)
            and query.feature in (None, entry.feature)
            and query.actor in (None, entry.actor)
            and (query.scope is None or f"{entry.scope}/".startswith(f"{query.scope}/"))
        )

    # -- erasure ----------------------------------------------------------------------------------

    def ties(self, customer: str) -> Ties:
        held = sum(hold.customer == customer for hold in self._tables.open_holds.values())
        running = self._subscriptions.running(customer)
        return Ties(held, running, self._metering.untold(customer))

    def drop_unused(self, customer: str) -> None:
        for key, account in self._tables.accounts.items():
            if key[0] == customer and not (account.version or account.revision):
                self._tables.accounts.delete(key)

    def erase(self, customer: str, pseudonym: str, at: datetime) -> None:
        self.drop_unused(customer)
        self._erase_accounts(customer, pseudonym)
        self._erase_holds(customer, pseudonym)
        self._customers.erase(customer, pseudonym, at)
        self._subscriptions.erase(customer, pseudonym)
        self._purchases.erase(customer, pseudonym)
        self._metering.erase(customer, pseudonym)
        for erase in self._erasures:
            erase(customer, pseudonym)
        self._erased.put(hash_of(customer), at)

    def is_erased(self, customer: str) -> bool:
        return hash_of(customer) in self._erased

    def _erase_accounts(self, customer: str, pseudonym: str) -> None:
        tables = self._tables
        for key, account in tables.accounts.items():
            if key[0] != customer:
                continue
            tables.accounts.delete(key)
            moved = replace(
                account,
                customer=pseudonym,
                revision=account.revision + 1,
                caps=(),
                alerts=(),
                fresh=None,
                holds_due_at=None,
                notice_due_at=None,
                top_up_below=None,
            )
            tables.accounts.put((pseudonym, key[1]), moved)
        for number, entry in tables.entries.items():
            if entry.customer == customer:
                tables.entries.delete(number)
                plain = replace(
                    entry, customer=pseudonym, actor=None, reference=None, scope="", metadata=None
                )
                tables.entries.put((pseudonym, *number[1:]), plain)
        for name, grant in tables.grants.items():
            if grant.customer == customer:
                tables.grants.delete(name)
                given = replace(grant, customer=pseudonym, actor=None, reason=None, metadata=None)
                tables.grants.put((pseudonym, *name[1:]), given)
                if grant.source_key is not None:
                    tables.by_source.put(grant.source_key, given)

    def _erase_holds(self, customer: str, pseudonym: str) -> None:
        tables = self._tables
        for key, hold in tables.holds.items():
            if hold.customer != customer:
                continue
            tables.holds.delete(key)
            tables.open_holds.delete(key)
            moved = replace(
                hold, customer=pseudonym, actor=None, reference=None, scope="", metadata=None
            )
            tables.holds.put((pseudonym, hold.id), moved)
            if hold.status is HoldStatus.OPEN:
                tables.open_holds.put((pseudonym, hold.id), moved)
            owners = tables.hold_owners.get(hold.id) or ()
            others = (owner for owner in owners if owner != customer)
            tables.hold_owners.put(hold.id, (*others, pseudonym))
        for used, receipt in tables.receipts.items():
            if receipt.customer == customer:
                tables.receipts.delete(used)
        for cap in [key for key, _ in tables.caps.items() if key[0] == customer]:
            tables.caps.delete(cap)


def _is_after(key: AccountKey, after: tuple[str, str | None]) -> bool:
    customer, unit = after
    return key[0] > customer if unit is None else key > (customer, unit)


def _is_of(grant: Grant, customer: str, unit: str) -> bool:
    return (grant.customer, grant.unit) == (customer, unit)


def _may_be_pending(grant: Grant, now: datetime) -> bool:
    is_over = grant.expires_at is not None and grant.expires_at <= now
    return grant.effective_at is not None and not is_over
