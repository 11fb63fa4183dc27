"""Copies of Stripe's objects, and the history of subscriptions."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import (
    bindparam,
    case,
    func,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)

from gatekeeper.projection.shapes import SHAPES
from gatekeeper.storage.mirror import (
    NO_DATE,
    HistoryPlace,
    Mirror,
    MirrorObject,
    MirrorPlace,
    SubscriptionChange,
    Tally,
)
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.among import padded
from gatekeeper.storage.sql.tables import objects, subscription_changes, subscriptions
from gatekeeper.storage.sql.types import UtcDateTime

_c: Final = objects.c
_h: Final = subscription_changes.c

_MADE: Final = func.coalesce(_c.created_at, literal(NO_DATE, UtcDateTime()))
_GET: Final = select_of(objects, MirrorObject).where(
    _c.kind == bindparam("of_kind"),
    _c.id == bindparam("object_id"),
    _c.account == bindparam("of_account"),
)
_OF_PARENT: Final = (
    select_of(objects, MirrorObject)
    .where(
        _c.parent == bindparam("of_parent"),
        _c.kind == bindparam("of_kind"),
        _c.account == bindparam("of_account"),
    )
    .order_by(_MADE, _c.id)
)
_OF_CUSTOMER: Final = (
    select_of(objects, MirrorObject)
    .where(_c.customer == bindparam("of_customer"), _c.kind == bindparam("of_kind"))
    .order_by(_MADE.desc(), _c.id.desc())
    .limit(bindparam("most"))
)
_OLDER: Final = _OF_CUSTOMER.where(
    tuple_(_MADE, _c.id) < tuple_(bindparam("at", type_=UtcDateTime()), bindparam("before_id"))
)
_LISTED: Final = {
    # Spelt out, as the partial indexes have it: PostgreSQL does not match a parameter to them.
    kind: select_of(objects, MirrorObject)
    .where(_c.kind == literal_column(f"'{kind}'"), _c.account == "", _c.created_at.is_not(None))
    .order_by(_c.created_at.desc(), _c.id.desc())
    for kind in SHAPES
}
_TALLIES: Final = (
    select(
        _c.customer,
        func.count(),
        func.sum(case((_c.status.in_(bindparam("statuses", expanding=True)), 1), else_=0)),
        func.max(_c.seen_at),
    )
    .where(_c.customer.in_(bindparam("customers", expanding=True)), _c.kind == bindparam("of_kind"))
    .group_by(_c.customer)
)
_NOBODYS: Final = (_c.customer.is_(None), _c.account == "")
_ADOPT: Final = (
    update(objects)
    .where(_c.stripe_customer == bindparam("of_stripe"), *_NOBODYS)
    .values(customer=bindparam("new_customer"))
)
_own: Final = objects.alias("own").c
_ADOPT_PARTS: Final = (
    update(objects)
    .where(
        _c.parent.in_(
            select(_own.kind + "/" + _own.id).where(
                _own.customer == bindparam("of_customer"), _own.account == ""
            )
        ),
        *_NOBODYS,
    )
    .values(customer=bindparam("new_customer"))
)
_LOCK: Final = (
    select(subscriptions.c.id)
    .where(subscriptions.c.id == bindparam("of_subscription"))
    .with_for_update()
)
_LAST: Final = select(func.coalesce(func.max(_h.sequence), 0)).where(
    _h.subscription_id == bindparam("of_subscription")
)
_LAST_CHANGE: Final = (
    select_of(subscription_changes, SubscriptionChange)
    .where(_h.subscription_id == bindparam("of_subscription"))
    .order_by(_h.sequence.desc())
    .limit(1)
)
_ADD: Final = insert(subscription_changes)
_CHANGES: Final = (
    select_of(subscription_changes, SubscriptionChange)
    .where(
        _h.subscription_id == bindparam("of_subscription"), _h.sequence > bindparam("after_number")
    )
    .order_by(_h.sequence)
    .limit(bindparam("most"))
)
_HISTORY: Final = (
    select_of(subscription_changes, SubscriptionChange)
    .where(_h.customer == bindparam("of_customer"))
    .order_by(_h.at.desc(), _h.subscription_id.desc(), _h.sequence.desc())
    .limit(bindparam("most"))
)
_EARLIER: Final = _HISTORY.where(
    tuple_(_h.at, _h.subscription_id, _h.sequence)
    < tuple_(
        bindparam("before_at", type_=UtcDateTime()),
        bindparam("before_subscription"),
        bindparam("before_number"),
    )
)


class SqlMirror(Aggregate, Mirror):
    """`Mirror` over the tables `objects` and `subscription_changes`."""

    def put(self, obj: MirrorObject) -> None:
        self._connection.execute(self._dialect.upsert(objects), columns_of(obj))

    def get(self, kind: str, object_id: str, account: str = "") -> MirrorObject | None:
        which = {"of_kind": kind, "object_id": object_id, "of_account": account}
        rows = self._connection.execute(_GET, which)
        return struct_of(rows.mappings().one_or_none(), MirrorObject)

    def of_parent(self, kind: str, parent: str, account: str = "") -> Sequence[MirrorObject]:
        which = {"of_parent": parent, "of_kind": kind, "of_account": account}
        return self._objects(_OF_PARENT, which)

    def of_customer(
        self, customer: str, kind: str, limit: int, before: MirrorPlace | None = None
    ) -> Sequence[MirrorObject]:
        which: dict[str, Any] = {"of_customer": customer, "of_kind": kind, "most": limit}
        if before is None:
            return self._objects(_OF_CUSTOMER, which)
        return self._objects(_OLDER, {**which, "at": before[0], "before_id": before[1]})

    def listed(
        self,
        kind: str,
        limit: int,
        before: MirrorPlace | None = None,
        statuses: Collection[str] = (),
        customer: str | None = None,
    ) -> Sequence[MirrorObject]:
        statement = _LISTED[kind].limit(limit)
        if statuses:
            statement = statement.where(_c.status.in_(sorted(statuses)))
        if customer is not None:
            statement = statement.where(_c.customer == customer)
        if before is not None:
            passed = tuple_(literal(before[0], UtcDateTime()), literal(before[1]))
            statement = statement.where(tuple_(_c.created_at, _c.id) < passed)
        return self._objects(statement, {})

    def tallies(
        self, customers: Collection[str], kind: str, settled: Collection[str]
    ) -> dict[str, Tally]:
        if not customers:
            return {}
        which = {
            "customers": padded(sorted(customers)),
            "of_kind": kind,
            "statuses": padded(sorted(settled)),
        }
        rows = self._connection.execute(_TALLIES, which)
        return {customer: Tally(count, int(some), seen) for customer, count, some, seen in rows}

    def adopt(self, stripe_customer: str, customer: str) -> int:
        which = {"of_stripe": stripe_customer, "new_customer": customer}
        count = found = self._changed(_ADOPT, which)
        while found:  # what belongs to what was found, and so on
            found = self._changed(_ADOPT_PARTS, {"of_customer": customer, "new_customer": customer})
            count += found
        return count

    def lock(self, subscription_id: str) -> None:
        self._connection.execute(_LOCK, {"of_subscription": subscription_id})

    def add_change(self, change: SubscriptionChange) -> SubscriptionChange:
        if change.sequence:
            self._connection.execute(_ADD, columns_of(change))
            return change
        which = {"of_subscription": change.subscription_id}
        self.lock(change.subscription_id)  # and then read in a second statement
        last = self._connection.execute(_LAST, which).scalar_one()
        numbered = replace(change, sequence=int(last) + 1)
        self._connection.execute(_ADD, columns_of(numbered))
        return numbered

    def last_change(self, subscription_id: str) -> SubscriptionChange | None:
        which = {"of_subscription": subscription_id}
        self.lock(subscription_id)  # and then read in a second statement
        rows = self._connection.execute(_LAST_CHANGE, which)
        return struct_of(rows.mappings().one_or_none(), SubscriptionChange)

    def changes(
        self, subscription_id: str, after: int = 0, limit: int = 100
    ) -> Sequence[SubscriptionChange]:
        which = {"of_subscription": subscription_id, "after_number": after, "most": limit}
        return self._changes(_CHANGES, which)

    def history(
        self, customer: str, limit: int, before: HistoryPlace | None = None
    ) -> Sequence[SubscriptionChange]:
        which: dict[str, Any] = {"of_customer": customer, "most": limit}
        if before is None:
            return self._changes(_HISTORY, which)
        places = ("before_at", "before_subscription", "before_number")
        return self._changes(_EARLIER, {**which, **dict(zip(places, before, strict=True))})

    def _objects(self, statement: Any, which: dict[str, Any]) -> list[MirrorObject]:
        rows = self._connection.execute(statement, which).mappings()
        return [MirrorObject(**row) for row in rows]

    def _changes(self, statement: Any, which: dict[str, Any]) -> list[SubscriptionChange]:
        rows = self._connection.execute(statement, which).mappings()
        return [SubscriptionChange(**row) for row in rows]
