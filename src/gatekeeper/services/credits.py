"""Credits on the event loop: each command in a transaction of its own, or in the host's."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Required, TypedDict, TypeVar, Unpack

from uuid_utils.compat import uuid7

from gatekeeper.errors import (
    ConflictError,
    GatekeeperError,
    HoldEndedError,
    InvalidAmountError,
    InvalidInputError,
    StoreUnavailableError,
)
from gatekeeper.ledger import Balance, Grant, GrantCredits, GrantKind, Hold, HoldStatus, Overrun
from gatekeeper.services import accounts, expiry
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.customers import check_text
from gatekeeper.services.joined_credits import JoinedCredits
from gatekeeper.services.rules import Rules
from gatekeeper.storage.joined import has_joined, refuse_joined
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_id

logger = logging.getLogger("gatekeeper")

T = TypeVar("T")

MAX_PRIORITY = 32_767
"""The largest and, below zero, the smallest priority of a grant."""


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
    """A grant by hand, under a new id.

    Raises:
        InvalidInputError: an option can't be stored, or `expires_at` is naive.
    """
    check_text(options["reason"], "reason")
    actor = options.get("actor")
    if actor is not None:
        check_id(actor, "actor")
    priority = options.get("priority", 0)
    if not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise InvalidAmountError(f"A priority is from -{MAX_PRIORITY} to {MAX_PRIORITY}.")
    expires_at = options.get("expires_at")
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidInputError("expires_at must be an aware datetime.")
    return GrantCredits(grant_id=str(uuid7()), amount=amount, kind=GrantKind.MANUAL, **options)


class Credits:
    """The credit commands of one gate.

    `session` is the host's open SQLAlchemy `AsyncSession` or `AsyncConnection`: the command then
    shares its transaction and is rolled back with it.

    A COMMIT whose answer was lost may have succeeded. Commands carry their ids, so that it can be
    looked up; what is not there is sent again.
    """

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    async def reserve(self, request: ReserveRequest, *, session: object = None) -> Hold:
        """See `accounts.reserve`."""

        def work(tx: Transaction) -> Hold:
            return accounts.reserve(tx, self._rules, request)

        try:
            return await self._run(work, session, request.customer)
        except StoreUnavailableError as error:
            if session is not None or not _may_be_committed(error):
                raise
        made = await self._find(request.hold_id, request.customer)
        if made is not None:
            return made
        try:
            return await self._store.write(work)
        except ConflictError:  # the first COMMIT came through after we had looked
            made = await self._find(request.hold_id, request.customer)
            if made is None:
                raise
            return made

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
        return await self._end(
            lambda tx: accounts.capture(
                tx, self._rules, hold_id, amount, overrun=overrun, customer=customer
            ),
            hold_id,
            HoldStatus.CAPTURED,
            customer,
            session,
        )

    async def capture_all(self, holds: Sequence[Hold]) -> Sequence[Hold]:
        """See `accounts.capture_all`."""
        first = holds[0]

        def work(tx: Transaction) -> Sequence[Hold]:
            return accounts.capture_all(tx, self._rules, holds)

        try:
            return await self._run(work, None, first.customer)
        except StoreUnavailableError as error:
            if not _may_be_committed(error):
                raise
        ended = await self._captured(holds)
        if ended is not None:
            return ended
        try:
            return await self._store.write(work)
        except HoldEndedError:  # the first COMMIT came through after we had looked
            ended = await self._captured(holds)
            if ended is None:
                raise
            return ended

    async def release(
        self, hold_id: str, *, customer: str | None = None, session: object = None
    ) -> Hold:
        """See `accounts.release`."""
        return await self._end(
            lambda tx: accounts.release(tx, self._rules, hold_id, customer=customer),
            hold_id,
            HoldStatus.RELEASED,
            customer,
            session,
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
        """See `accounts.extend`. It has no id: after an unknown outcome, look at the hold."""
        wanted = self._rules.hold_ttl if ttl is None else ttl
        owner = await self._owner(hold_id, customer, session)
        return await self._run(
            lambda tx: accounts.extend(
                tx, self._rules, hold_id, wanted, add_amount=add_amount, customer=customer
            ),
            session,
            owner,
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
        """See `accounts.grant`. After an unknown outcome, send it again under the same key."""
        return await self._run(
            lambda tx: accounts.grant(
                tx, self._rules, customer, unit, command, idempotency_key=idempotency_key
            ),
            session,
            customer,
        )

    def joined(self, session: object) -> JoinedCredits:
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
        """End the holds whose time is over; returns how many.

        An account that can't be swept now is logged, and keeps no other waiting.
        """
        ended = 0
        while accounts_ := await self._store.read(expiry.overdue_accounts):
            before = ended
            for customer, unit in accounts_:
                work = partial(
                    expiry.expire_account, rules=self._rules, customer=customer, unit=unit
                )
                try:
                    ended += await self._store.write(work)
                except StoreUnavailableError:
                    raise
                except GatekeeperError:
                    logger.exception("holds of %s in %s were not expired", customer, unit)
            if ended == before:
                break
        return ended

    async def _end(
        self,
        work: Callable[[Transaction], Hold],
        hold_id: str,
        wanted: HoldStatus,
        customer: str | None,
        session: object,
    ) -> Hold:
        owner = await self._owner(hold_id, customer, session)
        try:
            return await self._run(work, session, owner)
        except StoreUnavailableError as error:
            if session is not None or not _may_be_committed(error):
                raise
        found = await self._find(hold_id, owner)
        if found is not None and found.status is wanted:
            return found
        try:
            return await self._store.write(work)
        except HoldEndedError as error:  # the first COMMIT came through after we had looked
            found = await self._find(hold_id, owner)
            if found is None or error.params.get("ended") != str(wanted):
                raise
            return found

    async def _run(
        self, work: Callable[[Transaction], T], session: object, customer: str | None
    ) -> T:
        if session is not None:
            async with self._store.join(session) as joined:
                return await joined.run(work)
        refuse_joined(self._store, customer or "")
        return await self._store.write(work)

    async def _owner(self, hold_id: str, customer: str | None, session: object) -> str | None:
        """Whose hold it is, if that has to be known before it is locked: only where a transaction
        of the host's is open, which the lock might wait for."""
        if customer is not None or session is not None or not has_joined(self._store):
            return customer
        found = await self._find(check_id(hold_id, "hold"), None)
        return None if found is None else found.customer

    async def _captured(self, holds: Sequence[Hold]) -> Sequence[Hold] | None:
        """The holds as they are, if all of them have been captured."""
        found = [await self._find(hold.id, hold.customer) for hold in holds]
        ended = [hold for hold in found if hold and hold.status is HoldStatus.CAPTURED]
        return ended if len(ended) == len(holds) else None

    async def _find(self, hold_id: str, customer: str | None) -> Hold | None:
        return await self._store.read(lambda tx: tx.ledger.find_hold(hold_id, customer=customer))


def _may_be_committed(error: StoreUnavailableError) -> bool:
    return error.params.get("outcome") == "unknown"
