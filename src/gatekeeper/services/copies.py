"""Reading the copies of Stripe's objects, for the host: all kinds in one way."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from gatekeeper.errors import InvalidInputError
from gatekeeper.projection.shapes import SHAPES
from gatekeeper.services import history, upcoming
from gatekeeper.services.history import HistoryEntry
from gatekeeper.services.rules import Rules
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.storage.mirror import HistoryPlace, MirrorObject, MirrorPlace
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_limit

T = TypeVar("T")


class StripeCopy(msgspec.Struct, frozen=True, kw_only=True):
    """One of Stripe's objects as it was when it was last fetched.

    Attributes:
        kind: what the object calls itself, for example "invoice".
        account: the connected account that it is on; None for our own.
        customer: the host's customer, where it is known whose it is.
        parent: "kind/id" of the object that it belongs to: a refund's charge, say.
        amount_minor: what it is about, in minor units of `currency`.
        created_at: when Stripe made it.
        facts: what else is kept, by Stripe's names; instants as RFC 3339 texts.
        deleted: Stripe has it no more; the rest is what it was.
        seen_at: when it was written here.
        place: where it stands among its customer's objects of this kind, to go on from there.
    """

    kind: str
    id: str
    account: str | None
    customer: str | None
    stripe_customer: str | None
    parent: str | None
    status: str | None
    amount_minor: int | None
    currency: str | None
    created_at: datetime | None
    facts: Mapping[str, Any]
    deleted: bool
    seen_at: datetime
    place: MirrorPlace

    @property
    def name(self) -> str:
        """What others name it by as their `parent`."""
        return f"{self.kind}/{self.id}"


class Copies:
    """The copies of one gate. Every method takes the host's open transaction as `session`, and
    then reads what that transaction sees."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    async def read(self, work: Callable[[Transaction], T], session: object = None) -> T:
        """Run one of the functions below.

        Raises:
            HostTransactionError: see `Store.join`.
        """
        if session is None:
            return await self._store.read(work)
        async with self._store.join(session) as joined:
            return await joined.run(work)

    def read_in(self, session: object, work: Callable[[Transaction], T]) -> T:
        """As `read`, in a synchronous host's own transaction and on its own thread."""
        return self._store.join_sync(session).run(work)

    def one(
        self, kind: str, object_id: str, account: str | None = None
    ) -> Callable[[Transaction], StripeCopy | None]:
        """Reads one object; None if it was never seen."""
        _check(kind)
        return lambda tx: _maybe(tx.mirror.get(kind, object_id, account or ""))

    def of_customer(
        self, customer: str, kind: str, limit: int, after: StripeCopy | None
    ) -> Callable[[Transaction], Sequence[StripeCopy]]:
        """Reads a customer's objects of a kind, the newest first, on whichever account."""
        _check(kind, limit)
        place = None if after is None else after.place
        return lambda tx: [
            _copy(one) for one in tx.mirror.of_customer(customer, kind, limit, place)
        ]

    def of_parent(
        self, kind: str, parent: str | StripeCopy, account: str | None
    ) -> Callable[[Transaction], Sequence[StripeCopy]]:
        """Reads the objects of a kind that belong to another, the oldest first."""
        _check(kind)
        name, on = parent, account
        if isinstance(parent, StripeCopy):
            name, on = parent.name, parent.account
        return lambda tx: [_copy(one) for one in tx.mirror.of_parent(kind, str(name), on or "")]

    def subscriptions(self, customer: str) -> Callable[[Transaction], Sequence[SubscriptionView]]:
        """Reads a customer's subscriptions, with what is to become of each."""
        return partial(upcoming.subscriptions_of, rules=self._rules, customer=customer)

    def history(
        self, customer: str, limit: int, after: HistoryEntry | HistoryPlace | None
    ) -> Callable[[Transaction], Sequence[HistoryEntry]]:
        """Reads what a customer's subscriptions have been through, the newest first."""
        _check(None, limit)
        place = after.place if isinstance(after, HistoryEntry) else after
        return lambda tx: history.history(tx, customer, limit, place)


def _check(kind: str | None, limit: int = 1) -> None:
    if kind is not None and kind not in SHAPES:
        raise InvalidInputError(f"No copies are kept of {kind!r}, but of {', '.join(SHAPES)}.")
    check_limit(limit)


def _maybe(row: MirrorObject | None) -> StripeCopy | None:
    return None if row is None else _copy(row)


def _copy(row: MirrorObject) -> StripeCopy:
    own = {name: getattr(row, name) for name in MirrorObject.__struct_fields__}
    own |= {"account": row.account or None, "facts": msgspec.json.decode(row.facts)}
    return StripeCopy(**own, place=row.place)
