"""The gate without async: the same methods, each waiting for its asynchronous twin.

Async is written once. A call goes to the event loop on which the gate is open (from a worker
thread of a web app, say), or to one of our own in a thread. With `session=` it runs on the
caller's thread, inside the SQLAlchemy `Session` or `Connection` that the host has open.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, Unpack

from anyio.from_thread import start_blocking_portal

from gatekeeper.catalog import Measures
from gatekeeper.entitlements import Entitlements, Explanation
from gatekeeper.errors import ConfigurationError, NoGateError
from gatekeeper.gate import Gatekeeper
from gatekeeper.ledger import Balance, Grant, Hold
from gatekeeper.services.copies import StripeCopy
from gatekeeper.services.credit_options import (
    CapOptions,
    CaptureOptions,
    ExtendOptions,
    GrantOptions,
    ReserveOptions,
    SettleOptions,
    lapsed_in,
    manual_grant,
    reserve_request,
    revocation,
)
from gatekeeper.services.health import Health
from gatekeeper.services.history import HistoryEntry
from gatekeeper.services.reservation import Reservation
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.types import Every

T = TypeVar("T")


class SyncGatekeeper:
    """A synchronous face of a gate: `with SyncGatekeeper(gate) as billing: billing.allows(...)`.

    If the gate is open already, its loop is used and `with` is not needed. Never call it on the
    event loop itself: it would wait for what it blocks.
    """

    def __init__(self, gate: Gatekeeper) -> None:
        self.gate = gate
        self._stack: ExitStack | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self.gate))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(exc_type, exc, traceback)

    def health(self) -> Health:
        """As `gate.health`, but for a gate that is not open, which is an error here."""
        return self._wait(self.gate.health)

    # -- metered usage ----------------------------------------------------------------------------

    def record_usage(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        id: str | None = None,
        at: datetime | None = None,
        session: object = None,
    ) -> str:
        """As `gate.record_usage`."""
        if session is not None:
            recorder = self.gate.usage
            return recorder.record_in(session, customer, meter, quantity, usage_id=id, at=at)
        return self._wait(partial(self.gate.record_usage, customer, meter, quantity, id=id, at=at))

    # -- what a customer may use ------------------------------------------------------------------

    def ensure_customer(
        self, customer: str, *, email: str | None = None, name: str | None = None
    ) -> Customer:
        """As `gate.customers.ensure`."""
        return self._wait(partial(self.gate.customers.ensure, customer, email=email, name=name))

    def entitlements(self, customer: str) -> Entitlements:
        """As `gate.entitlements`."""
        return self._wait(partial(self.gate.entitlements, customer))

    def allows(self, customer: str, feature: str) -> bool:
        """As `gate.allows`."""
        return self._wait(partial(self.gate.allows, customer, feature))

    def explain(self, customer: str) -> Explanation:
        """As `gate.explain`."""
        return self._wait(partial(self.gate.explain, customer))

    # -- what is kept of Stripe's objects ---------------------------------------------------------

    def stripe_object(
        self, kind: str, id: str, *, account: str | None = None, session: object = None
    ) -> StripeCopy | None:
        """As `gate.stripe_object`."""
        return self._copies(self.gate.copies.one(kind, id, account), session)

    def stripe_objects(
        self,
        customer: str,
        kind: str,
        *,
        limit: int = 100,
        after: StripeCopy | None = None,
        session: object = None,
    ) -> Sequence[StripeCopy]:
        """As `gate.stripe_objects`."""
        return self._copies(self.gate.copies.of_customer(customer, kind, limit, after), session)

    def stripe_objects_of(
        self,
        parent: StripeCopy | str,
        kind: str,
        *,
        account: str | None = None,
        session: object = None,
    ) -> Sequence[StripeCopy]:
        """As `gate.stripe_objects_of`."""
        return self._copies(self.gate.copies.of_parent(kind, parent, account), session)

    def subscriptions(self, customer: str, *, session: object = None) -> Sequence[SubscriptionView]:
        """As `gate.subscriptions`."""
        return self._copies(self.gate.copies.subscriptions(customer), session)

    def subscription_history(
        self,
        customer: str,
        *,
        limit: int = 100,
        after: HistoryEntry | None = None,
        session: object = None,
    ) -> Sequence[HistoryEntry]:
        """As `gate.subscription_history`."""
        return self._copies(self.gate.copies.history(customer, limit, after), session)

    def _copies(self, work: Callable[[Transaction], T], session: object) -> T:
        if session is not None:
            return self.gate.copies.read_in(session, work)
        return self._wait(partial(self.gate.copies.read, work))

    # -- credits ----------------------------------------------------------------------------------

    @contextmanager
    def reserve(
        self,
        customer: str,
        name: str,
        quantity: Measures = 1,
        **options: Unpack[ReserveOptions],
    ) -> Iterator[Reservation]:
        """As `gate.reserve` used with `async with`; takes the same options."""
        pending = self.gate.reserve(customer, name, quantity, **options)
        reservation = self._wait(pending.__aenter__)
        try:
            yield reservation
        except BaseException as error:
            self._wait(partial(pending.__aexit__, type(error), error, error.__traceback__))
            raise
        self._wait(partial(pending.__aexit__, None, None, None))

    def hold(
        self,
        customer: str,
        name: str,
        quantity: Measures = 1,
        *,
        session: object = None,
        **options: Unpack[ReserveOptions],
    ) -> Hold:
        """Make a hold to be settled later by `capture` or `release`, here or elsewhere."""
        credits_ = self.gate.credits
        request = reserve_request(customer, name, quantity, **options)
        if session is not None:
            return credits_.joined(session).reserve(request)
        return self._wait(partial(credits_.reserve, request))

    def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        session: object = None,
        **options: Unpack[CaptureOptions],
    ) -> Hold:
        """As `gate.capture`; takes the same options."""
        credits_ = self.gate.credits
        if session is not None:
            return credits_.joined(session).capture(hold_id, amount, **options)
        return self._wait(partial(credits_.capture, hold_id, amount, **options))

    def release(
        self, hold_id: str, *, session: object = None, **options: Unpack[SettleOptions]
    ) -> Hold:
        """As `gate.release`; takes the same options."""
        credits_ = self.gate.credits
        if session is not None:
            return credits_.joined(session).release(hold_id, **options)
        return self._wait(partial(credits_.release, hold_id, **options))

    def extend(
        self,
        hold_id: str,
        ttl: timedelta | None = None,
        *,
        session: object = None,
        **options: Unpack[ExtendOptions],
    ) -> Hold:
        """As `gate.extend`; takes the same options."""
        credits_ = self.gate.credits
        if session is not None:
            return credits_.joined(session).extend(hold_id, ttl, **options)
        return self._wait(partial(credits_.extend, hold_id, ttl, **options))

    def grant(
        self,
        customer: str,
        unit: str,
        amount: int,
        *,
        idempotency_key: str | None = None,
        session: object = None,
        **options: Unpack[GrantOptions],
    ) -> Grant:
        """As `gate.grant`; takes the same options."""
        if session is None:
            return self._wait(
                partial(
                    self.gate.grant,
                    customer,
                    unit,
                    amount,
                    idempotency_key=idempotency_key,
                    **options,
                )
            )
        return self.gate.credits.joined(session).grant(
            customer, unit, manual_grant(amount, **options), idempotency_key=idempotency_key
        )

    def revoke(
        self,
        customer: str,
        unit: str,
        grant_id: str,
        *,
        reason: str,
        actor: str | None = None,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> int:
        """As `gate.revoke`."""
        credits_ = self.gate.credits
        ending = revocation(grant_id, reason=reason, actor=actor)
        if session is not None:
            command = credits_.to_change(customer, unit, ending, idempotency_key)
            return lapsed_in(credits_.joined(session).carry_out(command))
        change = partial(credits_.change, customer, unit, ending, idempotency_key=idempotency_key)
        return lapsed_in(self._wait(change))

    def set_cap(
        self,
        customer: str,
        unit: str,
        every: Every,
        limit: int | None,
        *,
        session: object = None,
        **options: Unpack[CapOptions],
    ) -> None:
        """As `gate.set_cap`; takes the same options."""
        credits_ = self.gate.credits
        if session is None:
            self._wait(partial(credits_.set_cap, customer, unit, every, limit, **options))
        else:
            command = credits_.to_cap(customer, unit, every, limit, **options)
            credits_.joined(session).carry_out(command)

    def freeze(self, customer: str, reason: str, *, key: str) -> bool:
        """See `Gatekeeper.freeze`."""
        return self._wait(lambda: self.gate.freeze(customer, reason, key=key))

    def unfreeze(self, customer: str, *, actor: str, key: str | None = None) -> bool:
        """See `Gatekeeper.unfreeze`."""
        return self._wait(lambda: self.gate.unfreeze(customer, actor=actor, key=key))

    def freezes(self, customer: str) -> Sequence[Freeze]:
        """See `Gatekeeper.freezes`."""
        return self._wait(lambda: self.gate.freezes(customer))

    def find_hold(self, hold_id: str, *, customer: str | None = None) -> Hold:
        """As `gate.hold`: a hold as it is now."""
        return self._wait(partial(self.gate.hold, hold_id, customer=customer))

    def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        """As `gate.open_holds`."""
        return self._wait(partial(self.gate.open_holds, customer, unit))

    def balance(self, customer: str, unit: str) -> Balance:
        """As `gate.balance`."""
        return self._wait(partial(self.gate.balance, customer, unit))

    def balances(self, customer: str) -> Sequence[Balance]:
        """As `gate.balances`."""
        return self._wait(partial(self.gate.balances, customer))

    def _wait(self, call: Callable[[], Awaitable[T]]) -> T:
        loop = self.gate.loop
        if loop is None:
            raise NoGateError("The gate is not open. Use 'with SyncGatekeeper(gate) as billing:'.")

        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            raise ConfigurationError(
                "This would wait on the gate's own event loop for that loop. In async code, await "
                "the methods of the gate itself."
            )

        async def called() -> T:
            return await call()

        return asyncio.run_coroutine_threadsafe(called(), loop).result()
