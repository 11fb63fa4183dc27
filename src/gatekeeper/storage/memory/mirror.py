"""Copies of Stripe's objects, and the history of subscriptions, in memory."""

from collections.abc import Collection, Iterator, Sequence

from msgspec.structs import replace

from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.mirror import (
    PERSONAL,
    HistoryPlace,
    Mirror,
    MirrorObject,
    MirrorPlace,
    SubscriptionChange,
    Tally,
)


class MemoryMirror(Mirror):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._objects: Table[tuple[str, str, str], MirrorObject] = Table(journal)
        self._changes: Table[str, tuple[SubscriptionChange, ...]] = Table(journal)

    def put(self, obj: MirrorObject) -> None:
        self._objects.put((obj.kind, obj.id, obj.account), obj)

    def get(self, kind: str, object_id: str, account: str = "") -> MirrorObject | None:
        return self._objects.get((kind, object_id, account))

    def of_parent(self, kind: str, parent: str, account: str = "") -> Sequence[MirrorObject]:
        wanted = (kind, parent, account)
        found = (
            one for one in self._objects.values() if (one.kind, one.parent, one.account) == wanted
        )
        return sorted(found, key=lambda one: one.place)

    def of_customer(
        self, customer: str, kind: str, limit: int, before: MirrorPlace | None = None
    ) -> Sequence[MirrorObject]:
        found = [
            one
            for one in self._objects.values()
            if (one.customer, one.kind) == (customer, kind)
            and (before is None or one.place < before)
        ]
        return sorted(found, key=lambda one: one.place, reverse=True)[:limit]

    def tallies(
        self, customers: Collection[str], kind: str, settled: Collection[str]
    ) -> dict[str, Tally]:
        found: dict[str, Tally] = {}
        for one in self._objects.values():
            owner = one.customer
            if owner is not None and owner in customers and one.kind == kind:
                held = found.get(owner, Tally(0, 0, one.seen_at))
                found[owner] = Tally(
                    held.count + 1,
                    held.settled + (one.status in settled),
                    max(held.seen_at, one.seen_at),
                )
        return found

    def listed(
        self,
        kind: str,
        limit: int,
        before: MirrorPlace | None = None,
        statuses: Collection[str] = (),
        customer: str | None = None,
    ) -> Sequence[MirrorObject]:
        found = [
            one
            for one in self._objects.values()
            if (one.kind, one.account) == (kind, "")
            and one.created_at is not None
            and (not statuses or one.status in statuses)
            and customer in (None, one.customer)
            and (before is None or one.place < before)
        ]
        return sorted(found, key=lambda one: one.place, reverse=True)[:limit]

    def adopt(self, stripe_customer: str, customer: str) -> int:
        nobodys = [
            (key, one)
            for key, one in self._objects.items()
            if one.customer is None and not one.account
        ]
        found = [(key, one) for key, one in nobodys if one.stripe_customer == stripe_customer]
        own = {one.name for one in self._objects.values() if one.customer == customer}
        count = 0
        while found:
            for key, one in found:
                self._objects.put(key, replace(one, customer=customer))
                own.add(one.name)
            count += len(found)
            taken = {key for key, _ in found}
            nobodys = [(key, one) for key, one in nobodys if key not in taken]
            found = [(key, one) for key, one in nobodys if one.parent in own]
        return count

    def lock(self, subscription_id: str) -> None:
        """There is one writer at a time."""

    def add_change(self, change: SubscriptionChange) -> SubscriptionChange:
        stored = self._changes.get(change.subscription_id) or ()
        numbered = replace(change, sequence=len(stored) + 1)
        self._changes.put(change.subscription_id, (*stored, numbered))
        return numbered

    def last_change(self, subscription_id: str) -> SubscriptionChange | None:
        stored = self._changes.get(subscription_id)
        return stored[-1] if stored else None

    def changes(
        self, subscription_id: str, after: int = 0, limit: int = 100
    ) -> Sequence[SubscriptionChange]:
        return (self._changes.get(subscription_id) or ())[after : after + limit]

    def history(
        self, customer: str, limit: int, before: HistoryPlace | None = None
    ) -> Sequence[SubscriptionChange]:
        found = [
            change
            for of_one in self._changes.values()
            for change in of_one
            if change.customer == customer and (before is None or change.place < before)
        ]
        return sorted(found, key=lambda change: change.place, reverse=True)[:limit]

    def every(self, kind: str) -> Iterator[MirrorObject]:
        """Everybody's objects of a kind on our own account."""
        return (one for key, one in self._objects.items() if (key[0], key[2]) == (kind, ""))

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer."""
        for key, one in self._objects.items():
            if one.customer == customer and one.kind in PERSONAL:
                self._objects.delete(key)
            elif one.customer == customer:
                self._objects.put(key, replace(one, customer=pseudonym, stripe_customer=None))
        for subscription_id, changes in self._changes.items():
            if any(change.customer == customer for change in changes):
                renamed = tuple(
                    replace(one, customer=pseudonym) if one.customer == customer else one
                    for one in changes
                )
                self._changes.put(subscription_id, renamed)
