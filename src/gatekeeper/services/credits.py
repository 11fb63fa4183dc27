"""Credits on the event loop: each command in a transaction of its own, or in the host's."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Required, TypedDict, TypeVar, Unpack

from uuid_utils.compat import uuid7

from gatekeeper.ledger import Balance, Grant, GrantCredits, GrantKind, Hold, Overrun
from gatekeeper.services import accounts
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.rules import Rules
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.port import Store, Transaction

T = TypeVar("T")


class ReserveOptions(TypedDict, total=False):
    """What a reserve can be told beside what it holds; see `accounts.ReserveRequest`."""

    hold_id: str
    ttl: timedelta
    partial: bool
    idempotency_key: str | None
    once: bool
    actor: str | None
    feature: str
    reference: str | None


class GrantOptions(TypedDict, total=False):
    """What a grant by hand can be told; see `ledger.GrantCredits`."""

    reason: Required[str]
    actor: str | None
    priority: int
    expires_at: datetime | None


def reserve_request(
    customer: str, name: str, quantity: int, **options: Unpack[ReserveOptions]
) -> ReserveRequest:
    """A wish to hold, under a new id unless the caller has made one."""
    options.setdefault("hold_id", str(uuid7()))
    return ReserveRequest(customer=customer, name=name, quantity=quantity, **options)


def manual_grant(amount: int, **options: Unpack[GrantOptions]) -> GrantCredits:
    """A grant by hand, under a new id."""
    return GrantCredits(grant_id=str(uuid7()), amount=amount, kind=GrantKind.MANUAL, **options)


class Credits:
    """The credit commands of one gate.

    `session` is the host's open SQLAlchemy `AsyncSession` or `AsyncConnection`: the command then
    shares its transaction and is rolled back with it.
    """

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    async def reserve(self, request: ReserveRequest, *, session: object = None) -> Hold:
        """See `accounts.reserve`."""
        return await self._run(
            lambda tx: accounts.reserve(tx, self._rules, request), session, request.customer
        )

    async def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        overrun: Overrun = "refuse",
        customer: str | None = None,
        session: object = None,
    ) -> Hold:
        """See `accounts.capture`; `amount` is in the unit's steps."""
        return await self._run(
            lambda tx: accounts.capture(tx, hold_id, amount, overrun=overrun, customer=customer),
            session,
            customer,
        )

    async def release(
        self, hold_id: str, *, customer: str | None = None, session: object = None
    ) -> Hold:
        """See `accounts.release`."""
        return await self._run(
            lambda tx: accounts.release(tx, hold_id, customer=customer), session, customer
        )

    async def extend(
        self,
        hold_id: str,
        ttl: timedelta | None = None,
        *,
        add_amount: int = 0,
        customer: str | None = None,
        session: object = None,
    ) -> Hold:
        """See `accounts.extend`."""
        wanted = ttl or self._rules.hold_ttl
        return await self._run(
            lambda tx: accounts.extend(
                tx, hold_id, wanted, add_amount=add_amount, customer=customer
            ),
            session,
            customer,
        )

    async def grant(
        self,
        customer: str,
        unit: str,
        command: GrantCredits,
        *,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Grant:
        """See `accounts.grant`."""
        return await self._run(
            lambda tx: accounts.grant(
                tx, self._rules, customer, unit, command, idempotency_key=idempotency_key
            ),
            session,
            customer,
        )

    def joined(self, session: object) -> "JoinedCredits":
        """The commands inside a host's synchronous SQLAlchemy `Session` or `Connection`."""
        return JoinedCredits(self._store.join_sync(session), self._rules)

    async def balance(self, customer: str, unit: str) -> Balance:
        """See `accounts.balance`: read from the database, never from a cache."""
        return await self._store.read(lambda tx: accounts.balance(tx, self._rules, customer, unit))

    async def balances(self, customer: str) -> Sequence[Balance]:
        """The balances of every unit of the catalogue."""
        units = sorted(self._rules.catalog.units)
        return await self._store.read(
            lambda tx: [accounts.balance(tx, self._rules, customer, unit) for unit in units]
        )

    async def expire_holds(self) -> int:
        """End the holds whose time is over; returns how many."""
        ended = 0
        while True:
            batch = await self._store.write(accounts.expire_holds)
            ended += batch
            if batch < accounts.SWEEP_BATCH:
                return ended

    async def _run(
        self, work: Callable[[Transaction], T], session: object, customer: str | None
    ) -> T:
        if session is not None:
            async with self._store.join(session) as joined:
                return await joined.run(work)
        refuse_joined(self._store, customer or "")  # without a customer: what locks all of them
        return await self._store.write(work)


class JoinedCredits:
    """The credit commands inside one open transaction of the host, on the host's own thread.

    The host commits or rolls back; until then nobody else sees any of it.
    """

    def __init__(self, tx: Transaction, rules: Rules) -> None:
        self._tx = tx
        self._rules = rules

    def reserve(self, request: ReserveRequest) -> Hold:
        """See `accounts.reserve`."""
        return accounts.reserve(self._tx, self._rules, request)

    def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        overrun: Overrun = "refuse",
        customer: str | None = None,
    ) -> Hold:
        """See `accounts.capture`."""
        return accounts.capture(self._tx, hold_id, amount, overrun=overrun, customer=customer)

    def release(self, hold_id: str, *, customer: str | None = None) -> Hold:
        """See `accounts.release`."""
        return accounts.release(self._tx, hold_id, customer=customer)

    def grant(
        self,
        customer: str,
        unit: str,
        command: GrantCredits,
        *,
        idempotency_key: str | None = None,
    ) -> Grant:
        """See `accounts.grant`."""
        return accounts.grant(
            self._tx, self._rules, customer, unit, command, idempotency_key=idempotency_key
        )
