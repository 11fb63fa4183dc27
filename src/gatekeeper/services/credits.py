"""Credits on the event loop: each command in the next batch, or in the host's own transaction."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar, Unpack

from cachetools import LRUCache

from gatekeeper.errors import (
    ConflictError,
    DeniedError,
    HoldEndedError,
    HoldNotFoundError,
    StoreUnavailableError,
)
from gatekeeper.ledger import (
    AccountCommand,
    Balance,
    Capture,
    Change,
    Grant,
    GrantCredits,
    Hold,
    HoldStatus,
    Overrun,
)
from gatekeeper.services import accounts, sweeps
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.credit_options import CapOptions
from gatekeeper.services.denials import tell_denial
from gatekeeper.services.joined_credits import JoinedCredits
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.commands import (
    AccountChange,
    CapCommand,
    CaptureCommand,
    Command,
    ExtendCommand,
    GrantCommand,
    ReleaseCommand,
    ReserveCommand,
)
from gatekeeper.services.rules import Rules
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.postings import AccountKey
from gatekeeper.telemetry import OFF, Telemetry
from gatekeeper.types import Every, check_id

T = TypeVar("T")

MAX_KNOWN_HOLDS: Final = 50_000
"""Of how many holds the account is remembered; others are looked up."""


class Credits:
    """The credit commands of one gate.

    `session` is the host's open SQLAlchemy `AsyncSession` or `AsyncConnection`: the command then
    shares its transaction and is rolled back with it.

    A write whose answer was lost may have succeeded. Commands carry their ids, so that it can be
    looked up; what is not there is sent again.
    """

    def __init__(
        self, store: Store, rules: Rules, batcher: Batcher, telemetry: Telemetry = OFF
    ) -> None:
        self._telemetry = telemetry
        self._store = store
        self._rules = rules
        self._batcher = batcher
        self._keys: LRUCache[tuple[str | None, str], AccountKey] = LRUCache(MAX_KNOWN_HOLDS)

    # -- holds ------------------------------------------------------------------------------------

    async def reserve(self, request: ReserveRequest, *, session: object = None) -> Hold:
        """See `ReserveCommand`. A caller that is cancelled meanwhile leaves no hold behind."""
        command = ReserveCommand(self._rules, request)
        try:
            hold = await self._run(command, session)
        except DeniedError as error:
            tell_denial(self._telemetry, error, request.name)
            raise
        except StoreUnavailableError as error:
            if session is not None or not _may_be_committed(error):
                raise
            hold = await self._made(command, request)
        if request.has_new_id:  # nobody else has a hold of this id: it says whose it is
            self._keys[None, hold.id] = command.key
        self._keys[request.customer, hold.id] = command.key
        return hold

    async def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        overrun: Overrun = "refuse",
        final: bool = True,
        customer: str | None = None,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Hold:
        """Spend `amount` (in the unit's steps; None: all of it) of a hold.

        What is left is given back and the hold ends, unless the capture is not `final`. Give one
        that is not final an idempotency key, so that it can be sent again.

        Raises:
            HoldNotFoundError, HoldEndedError, OverrunError: nothing changes.
        """
        capture = Capture(amount=amount, overrun=overrun, final=final)
        return await self._settle(
            lambda key: CaptureCommand(key, hold_id, capture, idempotency_key),
            hold_id,
            HoldStatus.CAPTURED if final else None,
            customer,
            session,
        )

    async def capture_all(self, holds: Sequence[Hold]) -> Sequence[Hold]:
        """See `accounts.capture_all`."""
        if len(holds) == 1:
            return [await self.capture(holds[0].id, customer=holds[0].customer)]

        def work(tx: Transaction) -> Sequence[Hold]:
            return accounts.capture_all(tx, self._rules, holds)

        for hold in holds:
            refuse_joined(self._store, hold.customer)
        try:
            return await self._store.write(work)
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
        self,
        hold_id: str,
        *,
        customer: str | None = None,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Hold:
        """Give a hold back unspent.

        Raises:
            HoldNotFoundError, HoldEndedError: nothing changes.
        """
        return await self._settle(
            lambda key: ReleaseCommand(key, hold_id, idempotency_key),
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
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Hold:
        """Keep a hold for `ttl` from now, and claim `add_amount` more, which must be there.

        Without an idempotency key, look at the hold after an unknown outcome.

        Raises:
            HoldNotFoundError, HoldEndedError, CreditsRequiredError: nothing changes.
        """
        wanted = self._rules.hold_ttl if ttl is None else ttl
        return await self._settle(
            lambda key: ExtendCommand(key, hold_id, wanted, add_amount, idempotency_key),
            hold_id,
            None,
            customer,
            session,
        )

    async def hold(self, hold_id: str, *, customer: str | None = None) -> Hold:
        """A hold as it is now.

        Raises:
            HoldNotFoundError: it is not known.
        """
        found = await self._find(check_id(hold_id, "hold"), customer)
        if found is None:
            raise _unknown_hold(hold_id)
        return found

    async def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        """The open holds of an account, the oldest first.

        Raises:
            UnknownNameError: the catalogue has no such unit.
        """
        self._rules.catalog.unit(unit)
        check_id(customer, "customer")
        return await self._store.read(lambda tx: tx.ledger.open_holds(customer, unit))

    # -- accounts ---------------------------------------------------------------------------------

    async def grant(
        self,
        customer: str,
        unit: str,
        command: GrantCredits,
        *,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Grant:
        """See `GrantCommand`. After an unknown outcome, send it again under the same key."""
        wanted = GrantCommand(self._rules, (customer, unit), command, idempotency_key)
        return await self._run(wanted, session)

    async def change(
        self,
        customer: str,
        unit: str,
        command: AccountCommand,
        *,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> Change:
        """Carry out another command of the engine's on an account: a revocation, a cap.

        Raises:
            UnknownNameError, InvalidIdError, and what the engine raises.
        """
        return await self._run(self.to_change(customer, unit, command, idempotency_key), session)

    def to_change(
        self, customer: str, unit: str, command: AccountCommand, idempotency_key: str | None
    ) -> AccountChange:
        """What `change` carries out, for `joined`.

        Raises:
            UnknownNameError, InvalidIdError.
        """
        self._rules.catalog.unit(unit)
        return AccountChange((check_id(customer, "customer"), unit), command, idempotency_key)

    async def set_cap(
        self,
        customer: str,
        unit: str,
        every: Every,
        limit: int | None,
        *,
        session: object = None,
        **options: Unpack[CapOptions],
    ) -> None:
        """Let a part of an account use no more than `limit` in each window; None lifts the cap.

        What the running window has used before counts too.

        Raises:
            UnknownNameError, InvalidIdError, InvalidAmountError: nothing changes.
        """
        await self._run(self.to_cap(customer, unit, every, limit, **options), session)

    def to_cap(
        self,
        customer: str,
        unit: str,
        every: Every,
        limit: int | None,
        **options: Unpack[CapOptions],
    ) -> CapCommand:
        """What `set_cap` carries out, for `joined`.

        Raises:
            UnknownNameError, InvalidIdError, InvalidAmountError.
        """
        self._rules.catalog.unit(unit)
        actor = options.get("actor")
        if actor is not None:
            check_id(actor, "actor")
        return CapCommand((check_id(customer, "customer"), unit), every, limit, **options)

    def joined(self, session: object) -> JoinedCredits:
        """The commands inside a host's synchronous SQLAlchemy `Session` or `Connection`."""
        return JoinedCredits(self._store.join_sync(session), self._rules, self._telemetry)

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
        """See `sweeps.expire_holds`."""
        return await sweeps.expire_holds(self._store, self._rules)

    async def send_notices(self) -> int:
        """See `sweeps.send_notices`."""
        return await sweeps.send_notices(self._store, self._batcher)

    async def drained(self) -> None:
        """Wait until no batch is under way: for tests."""
        await self._batcher.drained()

    # -- how --------------------------------------------------------------------------------------

    async def _run(self, command: Command[T], session: object) -> T:
        if session is not None:
            async with self._store.join(session) as joined:
                return await joined.run(lambda tx: carry_out(tx, self._rules, command))
        refuse_joined(self._store, command.key[0])
        return await self._batcher.run(command)

    async def _settle(
        self,
        make: Callable[[AccountKey], Command[Hold]],
        hold_id: str,
        wanted: HoldStatus | None,
        customer: str | None,
        session: object,
    ) -> Hold:
        """Do something to a hold, which then is `wanted` (None: nothing tells whether it was)."""
        if session is not None:
            async with self._store.join(session) as joined:
                return await joined.run(
                    lambda tx: carry_out(
                        tx, self._rules, make(accounts.key_of(tx, hold_id, customer))
                    )
                )
        key = await self._key(hold_id, customer)
        command = make(key)
        try:
            return await self._run(command, None)
        except StoreUnavailableError as error:
            if not _may_be_committed(error) or (wanted is None and not command.receipt_keys):
                raise
        found = None if command.receipt_keys else await self._find(hold_id, key[0])
        if found is not None and found.status is wanted:
            return found
        try:
            return await self._run(command, None)
        except HoldEndedError as error:  # the first COMMIT came through after we had looked
            found = await self._find(hold_id, key[0])
            if found is None or error.params.get("ended") != str(wanted):
                raise
            return found

    async def _made(self, command: ReserveCommand, request: ReserveRequest) -> Hold:
        """The hold of a reserve whose answer was lost: as it was made, or made now."""
        made = await self._find(request.hold_id, request.customer)
        if made is not None:
            return made
        try:
            return await self._run(command, None)
        except ConflictError:  # the first COMMIT came through after we had looked
            made = await self._find(request.hold_id, request.customer)
            if made is None:
                raise
            return made

    async def _key(self, hold_id: str, customer: str | None) -> AccountKey:
        """The account of a hold: as remembered, or looked up."""
        known: AccountKey | None = self._keys.get((customer, check_id(hold_id, "hold")))
        if known is not None:
            return known
        found = await self._find(hold_id, customer)
        if found is None:
            raise _unknown_hold(hold_id)
        self._keys[found.customer, hold_id] = key = (found.customer, found.unit)
        return key

    async def _captured(self, holds: Sequence[Hold]) -> Sequence[Hold] | None:
        """The holds as they are, if all of them have been captured."""
        found = [await self._find(hold.id, hold.customer) for hold in holds]
        ended = [hold for hold in found if hold and hold.status is HoldStatus.CAPTURED]
        return ended if len(ended) == len(holds) else None

    async def _find(self, hold_id: str, customer: str | None) -> Hold | None:
        return await self._store.read(lambda tx: tx.ledger.find_hold(hold_id, customer=customer))


def _may_be_committed(error: StoreUnavailableError) -> bool:
    return error.params.get("outcome") == "unknown"


def _unknown_hold(hold_id: str) -> HoldNotFoundError:
    return HoldNotFoundError(f"Hold {hold_id!r} is not known.", hold=hold_id)
