"""Credits on the event loop: each command in the next batch, or in the host's own transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Unpack

from gatekeeper.catalog import Measures
from gatekeeper.errors import DeniedError, HoldEndedError
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
from gatekeeper.services.credit_check import Checked, check
from gatekeeper.services.credit_options import CapOptions, reserve_request
from gatekeeper.services.credit_writes import CreditWrites
from gatekeeper.services.denials import tell_denial
from gatekeeper.services.joined_credits import JoinedCredits
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.commands import (
    AccountChange,
    CapCommand,
    CaptureCommand,
    ExtendCommand,
    GrantCommand,
    ReleaseCommand,
    ReserveCommand,
)
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store
from gatekeeper.telemetry import OFF, Telemetry
from gatekeeper.types import Every, check_id


class Credits:
    """The credit commands of one gate.

    `session` is the host's open SQLAlchemy `AsyncSession` or `AsyncConnection`: the command then
    shares its transaction and is rolled back with it.
    """

    def __init__(
        self, store: Store, rules: Rules, batcher: Batcher, telemetry: Telemetry = OFF
    ) -> None:
        self._telemetry = telemetry
        self._store = store
        self._rules = rules
        self._batcher = batcher
        self._writes = CreditWrites(store, rules, batcher)

    # -- holds ------------------------------------------------------------------------------------

    async def reserve(self, request: ReserveRequest, *, session: object = None) -> Hold:
        """See `ReserveCommand`. A caller that is cancelled meanwhile leaves no hold behind."""
        command = ReserveCommand(self._rules, request)
        try:
            return await self._writes.reserve(command, request, session)
        except DeniedError as error:
            tell_denial(self._telemetry, error, request.name)
            raise

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
        return await self._writes.settle(
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
        return await self._writes.capture_all(holds)

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
        return await self._writes.settle(
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
        return await self._writes.settle(
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
        return await self._writes.hold(check_id(hold_id, "hold"), customer)

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
        return await self._writes.run(wanted, session)

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
        return await self._writes.run(
            self.to_change(customer, unit, command, idempotency_key), session
        )

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
        await self._writes.run(self.to_cap(customer, unit, every, limit, **options), session)

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

    async def check(self, customer: str, name: str, quantity: Measures = 1) -> Checked:
        """See `credit_check.check`: whether it would be allowed, without holding it."""
        return await self._store.read(lambda tx: check(tx, self._rules, customer, name, quantity))

    async def consume(
        self,
        customer: str,
        name: str,
        quantity: Measures = 1,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
    ) -> Hold:
        """Spend `quantity` of a unit or of a cost at once. The same key spends once, however often
        and however many at a time it is sent.

        Raises:
            DeniedError: it is not there; nothing changes.
            HoldEndedError: the key's hold ended unspent: it was released, or nobody captured it in
                time.
            UnknownNameError, InvalidAmountError, IdempotencyConflictError, CustomerNotFoundError.
        """
        request = reserve_request(
            customer, name, quantity, idempotency_key=idempotency_key, actor=actor
        )
        hold = await self.reserve(request)
        if hold.status is not HoldStatus.OPEN:
            return hold
        try:
            return await self.capture(hold.id, customer=customer)
        except HoldEndedError:
            ended = await self.hold(hold.id, customer=customer)
            if ended.status is not HoldStatus.CAPTURED:
                raise
            return ended  # by a twin of this request

    async def expire_holds(self) -> int:
        """See `sweeps.expire_holds`."""
        return await sweeps.expire_holds(self._store, self._rules)

    async def send_notices(self) -> int:
        """See `sweeps.send_notices`."""
        return await sweeps.send_notices(self._store, self._batcher)

    async def drained(self) -> None:
        """Wait until no batch is under way: for tests."""
        await self._batcher.drained()
