"""A customer's rows under a pseudonym.

History is long: it is rewritten a part at a time, so that no statement takes for ever, and all in
one transaction.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    Table,
    Text,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    tuple_,
    update,
)

from gatekeeper.entitlements import TERMINAL
from gatekeeper.storage.audit import Ties, hash_of
from gatekeeper.storage.metering import ERASED_WINDOW, WindowStatus
from gatekeeper.storage.mirror import PERSONAL
from gatekeeper.storage.payments import plans_of
from gatekeeper.storage.sql.aggregate import Aggregate
from gatekeeper.storage.sql.metering import untold
from gatekeeper.storage.sql.tables import (
    accounts,
    actions,
    caps,
    customers,
    entries,
    erased,
    freezes,
    grants,
    holds,
    invoices,
    items,
    objects,
    order_payments,
    orders,
    outbox,
    overrides,
    paid_lines,
    paybacks,
    payments,
    purchases,
    receipts,
    refunds,
    request_keys,
    requests,
    sellers,
    subscription_changes,
    subscriptions,
    top_ups,
    transfers,
    usage,
    usage_windows,
)
from gatekeeper.storage.sql.tables.base import OPEN
from gatekeeper.storage.sql.types import UtcDateTime

ROWS_AT_A_TIME: Final = 5_000
"""How many rows one statement rewrites or deletes."""

_WIPED: Final[dict[Table, dict[str, Any]]] = {
    accounts: {
        "standing": literal_column("'[]'"),
        "notice_due_at": null(),
        "revision": accounts.c.revision + 1,
    },
    actions: {
        "subject": null(),
        "reason": literal_column("''"),
        "before": null(),
        "after": null(),
        "fingerprint": literal_column("''"),
    },
    entries: {
        "actor": null(),
        "reference": null(),
        "scope": literal_column("''"),
        "metadata": null(),
    },
    grants: {"actor": null(), "reason": null(), "metadata": null()},
    holds: {
        "actor": null(),
        "reference": null(),
        "scope": literal_column("''"),
        "metadata": null(),
    },
    items: {},
    objects: {"stripe_customer": null()},
    order_payments: {},
    orders: {
        "actor": null(),
        "reference": null(),
        "description": null(),
        "items": literal_column("'null'"),
        "metadata": literal_column("'{}'"),
    },
    paid_lines: {},
    paybacks: {},
    payments: {},
    purchases: {},
    refunds: {"note": literal_column("''"), "last_error": null()},
    subscription_changes: {},
    subscriptions: {},
    transfers: {},
    invoices: {},
    usage: {"window_id": func.coalesce(usage.c.window_id, ERASED_WINDOW)},
    usage_windows: {
        # It derived from the customer's id. What Stripe says of it later is found no more.
        "identifier": bindparam("new_customer", type_=Text)
        + "/"
        + usage_windows.c.meter
        + "/"
        + usage_windows.c.id,
        "status": case(
            (
                usage_windows.c.status.in_([WindowStatus.PENDING, WindowStatus.DEAD]),
                WindowStatus.DISCARDED,
            ),
            else_=usage_windows.c.status,
        ),
        "last_error": null(),
    },
}
"""The tables that keep a customer's rows under the pseudonym, and what is wiped from them."""

_FORGET_COPIES: Final = delete(objects).where(
    objects.c.customer == bindparam("of_customer"), objects.c.kind.in_(sorted(PERSONAL))
)
_FORGET_SELLER: Final = delete(sellers).where(sellers.c.customer == bindparam("of_customer"))
_RENAME_PLANS: Final = (
    update(payments)
    .where(payments.c.id == bindparam("named_after"))
    .values(id=bindparam("new_name"))
)
_RENAME_SELLER: Final = (
    update(orders)
    .where(orders.c.seller == bindparam("of_seller"))
    .values(seller=bindparam("new_seller"))
)
_RENAME_ACTORS: Final = [
    update(table)
    .where(table.c.actor == bindparam("of_customer"))
    .values(actor=bindparam("new_customer"))
    for table in (actions, refunds)
]
"""Sellers give money back themselves, and are recorded by their ids as customers."""

_DELETED: Final = (caps, freezes, outbox, overrides, receipts, request_keys, requests, top_ups)
"""The tables from which a customer's rows go."""

_COUNT_HOLDS: Final = (
    select(func.count())
    .select_from(holds)
    .where(holds.c.customer == bindparam("of_customer"), holds.c.status == OPEN)
)
_RUNNING: Final = (
    select(subscriptions.c.id)
    .where(
        subscriptions.c.customer == bindparam("of_customer"),
        subscriptions.c.status.not_in(sorted(TERMINAL)),
    )
    .order_by(subscriptions.c.id)
)
_IS_ERASED: Final = select(exists().where(erased.c.id_hash == bindparam("id_hash")))
_DROP_UNUSED: Final = delete(accounts).where(
    accounts.c.customer == bindparam("of_customer"),
    accounts.c.version == 0,
    accounts.c.revision == 0,
)


class SqlErasure(Aggregate):
    """The part of `Audit` that erases, over every table that names a customer."""

    def ties(self, customer: str) -> Ties:
        which = {"of_customer": customer}
        held = self._connection.execute(_COUNT_HOLDS, which).scalar_one()
        running = self._connection.execute(_RUNNING, which).scalars()
        return Ties(int(held), tuple(running), untold(self._connection, customer))

    def drop_unused(self, customer: str) -> None:
        self._note(customer)
        self._connection.execute(_DROP_UNUSED, {"of_customer": customer})

    def erase(self, customer: str, pseudonym: str, at: datetime) -> None:
        self.drop_unused(customer)
        self._connection.execute(_FORGET_COPIES, {"of_customer": customer})
        self._connection.execute(_FORGET_SELLER, {"of_customer": customer})
        self._connection.execute(
            _RENAME_PLANS, {"named_after": plans_of(customer), "new_name": plans_of(pseudonym)}
        )
        self._connection.execute(_RENAME_SELLER, {"of_seller": customer, "new_seller": pseudonym})
        for rename in _RENAME_ACTORS:
            renamed = {"of_customer": customer, "new_customer": pseudonym}
            self._connection.execute(rename, renamed)
        for table, wiped in _WIPED.items():
            change = update(table).values(customer=bindparam("new_customer"), **wiped)
            self._in_parts(table, change, customer, {"new_customer": pseudonym})
        for table in _DELETED:
            self._in_parts(table, delete(table), customer, {})
        self._connection.execute(
            update(customers)
            .where(customers.c.id == bindparam("of_customer"))
            .values(
                id=bindparam("new_customer"),
                version=customers.c.version + 1,
                stripe_id=null(),
                email=null(),
                name=null(),
                deleted_at=func.coalesce(
                    customers.c.deleted_at, bindparam("erased_at", type_=UtcDateTime())
                ),
            ),
            {"of_customer": customer, "new_customer": pseudonym, "erased_at": at},
        )
        row = {"id_hash": hash_of(customer), "erased_at": at}
        self._connection.execute(self._dialect.insert_new(erased), row)

    def is_erased(self, customer: str) -> bool:
        return bool(
            self._connection.execute(_IS_ERASED, {"id_hash": hash_of(customer)}).scalar_one()
        )

    def _in_parts(self, table: Table, change: Any, customer: str, values: dict[str, Any]) -> None:
        """Carry out an UPDATE or DELETE of all of a customer's rows, in the order of their keys:
        what was rewritten already is not looked at again."""
        key: list[Column[Any]] = [
            column for column in table.primary_key.columns if column.name != "customer"
        ]
        own = table.c.customer == bindparam("of_customer")
        places = [bindparam(f"from_{column.name}", type_=column.type) for column in key]
        ends = [bindparam(f"to_{column.name}", type_=column.type) for column in key]
        last: tuple[Any, ...] | None = None
        while True:
            rest = own if last is None else own & (tuple_(*key) > tuple_(*places))
            begun = {} if last is None else _named("from", key, last)
            page = select(*key).where(rest).order_by(*key).limit(1).offset(ROWS_AT_A_TIME - 1)
            which = {"of_customer": customer, **begun}
            end = self._connection.execute(page, which).one_or_none()
            part = rest if end is None else rest & (tuple_(*key) <= tuple_(*ends))
            until = {} if end is None else _named("to", key, tuple(end))
            self._connection.execute(change.where(part), {**which, **until, **values})
            if end is None:
                return
            last = tuple(end)


def _named(prefix: str, key: list[Column[Any]], values: tuple[Any, ...]) -> dict[str, Any]:
    return {f"{prefix}_{column.name}": value for column, value in zip(key, values, strict=True)}
