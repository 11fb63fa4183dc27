"""Usage as it happens: nothing is read and nothing is added up, it is one INSERT."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypedDict, Unpack

from uuid_utils.compat import uuid7

from gatekeeper.errors import (
    IdempotencyConflictError,
    InvalidAmountError,
    InvalidIdError,
    InvalidInputError,
)
from gatekeeper.services.once import write_once
from gatekeeper.services.rules import Rules
from gatekeeper.services.usage import OVERAGE_PREFIX
from gatekeeper.storage.metering import Usage
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import MAX_AMOUNT, Clock, check_amount, check_id

MAX_AHEAD: Final = timedelta(minutes=5)
"""How far ahead of its clock Stripe takes usage:
https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api"""


class Told(TypedDict, total=False):
    """What may be said of usage besides.

    Attributes:
        usage_id: the same id of a customer and meter counts once; None makes a new one.
        at: when it was used; now, if None.
        correction: the quantity may be below zero.
    """

    usage_id: str | None
    at: datetime | None
    correction: bool


class UsageRecorder:
    """Records usage of the catalogue's meters.

    The clock is the process's own: asking the database for the time would be a second statement.
    """

    def __init__(self, store: Store, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    async def record(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        session: object = None,
        **told: Unpack[Told],
    ) -> str:
        """Record that a customer has used `quantity` of a meter; returns the usage's id. `session`
        is the host's open transaction, which it is then a part of.

        Raises:
            UnknownNameError: the catalogue has no such meter.
            InvalidIdError, InvalidAmountError.
            InvalidInputError: `at` has no time zone, or is more than 5 minutes ahead.
            IdempotencyConflictError: the id was used for another quantity or moment.
        """
        work = self.work_of(customer, meter, quantity, **told)
        return await write_once(self._store, customer, work, session)

    def record_in(
        self, session: object, customer: str, meter: str, quantity: int, **told: Unpack[Told]
    ) -> str:
        """As `record`, in a synchronous host's own transaction and on its own thread."""
        return self._store.join_sync(session).run(self.work_of(customer, meter, quantity, **told))

    def work_of(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        usage_id: str | None = None,
        at: datetime | None = None,
        correction: bool = False,
    ) -> Callable[[Transaction], str]:
        """What `record` does in its transaction; the errors of what is asked come at once."""
        row = self._row(customer, meter, quantity, usage_id, at, correction=correction)

        def work(tx: Transaction) -> str:
            if not tx.metering.record([row]):
                _check_same(tx.metering.recorded(row.customer, meter, row.id), row, at)
            return row.id

        return work

    def _row(
        self,
        customer: str,
        meter: str,
        quantity: int,
        usage_id: str | None,
        at: datetime | None,
        *,
        correction: bool,
    ) -> Usage:
        self._rules.catalog.meter(meter)
        check_id(customer, "customer")
        check_amount(quantity, "quantity", minimum=-MAX_AMOUNT if correction else 1)
        if quantity == 0:
            raise InvalidAmountError("A correction by zero says nothing.")
        if usage_id is not None and check_id(usage_id, "usage").startswith(OVERAGE_PREFIX):
            raise InvalidIdError(f"Ids of usage that begin with {OVERAGE_PREFIX!r} are reserved.")
        now = self._clock()
        if at is not None and at.tzinfo is None:
            raise InvalidInputError("The moment of usage needs a time zone.")
        if at is not None and at > now + MAX_AHEAD:
            raise InvalidInputError("The usage is more than 5 minutes in the future.")
        return Usage(
            customer=customer,
            meter=meter,
            id=usage_id or str(uuid7()),
            quantity=quantity,
            at=now if at is None else at.astimezone(UTC),
            received_at=now,
        )


def _check_same(stored: Usage | None, row: Usage, at: datetime | None) -> None:
    """What was recorded under the id before must be the same."""
    same = stored is not None and stored.quantity == row.quantity
    if not same or (at is not None and stored is not None and stored.at != row.at):
        raise IdempotencyConflictError(f"Usage {row.id!r} was recorded before, as another one.")
