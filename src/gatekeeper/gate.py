"""The gate: everything wired together for one host app. It has no logic of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar, Unpack

from starlette.requests import HTTPConnection

from gatekeeper.cache import Cache
from gatekeeper.catalog import Catalog, Measures
from gatekeeper.entitlements import Entitlements, Explanation
from gatekeeper.errors import ConfigurationError, NoGateError
from gatekeeper.guards import checks, decorators, placement
from gatekeeper.ledger import Balance, Grant, Hold, Overrun
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
from gatekeeper.services.keeper import HoldKeeper
from gatekeeper.services.outbox import Receiver, SignalRegistry
from gatekeeper.services.owned import OwnedTasks
from gatekeeper.services.reservation import PendingReservation
from gatekeeper.services.resolver import Decision
from gatekeeper.settings import Settings
from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import Purchase
from gatekeeper.stripe.backfill import Backfill
from gatekeeper.stripe.checkout import CheckoutLink
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.reconciliation import Reconciler, logged
from gatekeeper.stripe.stamp import check_stamp
from gatekeeper.stripe.webhooks import WebhookAnswer, WebhookRegistry
from gatekeeper.types import Clock, Every, Identity
from gatekeeper.wiring import Parts, assemble, loops_of

H = TypeVar("H", bound=Callable[..., Any])
R = TypeVar("R", bound=Receiver)
Who = Identity | str | None
Identify = Callable[[HTTPConnection], Awaitable[Who] | Who]
I = TypeVar("I", bound=Identify)  # noqa: E741 -- the decorator gives back what it was given


class WorkDone(NamedTuple):
    """How much a run of `Gatekeeper.work_once` found to do."""

    events: int
    holds: int
    messages: int = 0


class Gatekeeper:
    """Decides what customers may use, and accounts for every credit.

    Open it with `async with gate:`, or pass `lifespan=gate.lifespan` to a Starlette or FastAPI
    app. Everything but registration needs it to be open.

    Args:
        catalog: the plans, packs and costs of the host.
        settings: None reads GATEKEEPER_* and STRIPE_* from the environment, naming every bad
            setting at once.
        store, cache, clock: for tests and unusual set-ups; by default they come from the settings,
            and time is the database's.

    Raises:
        SettingsError: naming every bad setting.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings | None = None,
        *,
        store: Store | None = None,
        cache: Cache[Entitlements] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.catalog = catalog
        self.settings = settings or Settings.load()
        self.webhooks = WebhookRegistry()
        self.signals = SignalRegistry()
        self.upgrade_url = self.settings.upgrade_url
        self._parts: Parts = assemble(
            catalog,
            self.settings,
            self.webhooks,
            self.signals,
            store=store,
            cache=cache,
            clock=clock,
        )
        self.customers = self._parts.customers
        self.credits = self._parts.credits
        self.auditor = self._parts.auditor
        self.receiver = self._parts.receiver
        self.events = self._parts.receiver.events
        self.outbox = self._parts.deliverer
        self.usage = self._parts.usage
        self.tasks = OwnedTasks()
        self.keeper = HoldKeeper(
            self.credits, self.tasks, every_seconds=self.settings.hold_ttl_seconds / 3
        )
        self.peek = self._parts.resolver.peek
        self.ask_who: Identify = _nobody_has_said
        """The host's function that tells who makes a request."""
        self._endpoints: list[placement.Endpoints] = []
        self._stack: AsyncExitStack | None = None
        self._is_connected = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop on which the gate is open."""

    # -- opening and closing ----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the database and the cache, check the routes, and start the background work.

        Raises:
            GuardPlacementError, SchemaVersionError, DatabaseStampError, StoreUnavailableError.
            ConfigurationError: it is open already.
        """
        self.check_guards()
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            self.tasks.loop(self.keeper.run, "gatekeeper keeper")
            for name, loop in loops_of(self._parts, self.settings).items():
                self.tasks.loop(loop, f"gatekeeper {name}")
            stack.enter_context(placement.watching(self.check_guards))
            self._stack = stack.pop_all()
        self.loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stack, self._stack, self.loop = self._stack, None, None
        if stack is not None:
            await self.keeper.settle_late()
            await stack.aclose()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """An ASGI lifespan. Inside a lifespan of the host's own, write `async with gate:`."""
        async with self:
            yield

    @property
    def stripe(self) -> StripeGateway:
        """The connection to Stripe.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.stripe

    async def receive_webhook(self, body: bytes, signature: bytes | str | None) -> WebhookAnswer:
        """Take in what came to a route of the host's own: the exact bytes of the body, and the
        `Stripe-Signature` header. Answer with the `status`, `headers` and `body` of what is
        returned; before, bound the body by `receiver.max_body_bytes`."""
        return await self.receiver.answer(body, signature)

    @property
    def reconciler(self) -> Reconciler:
        """What finds where we differ from Stripe, and repairs it.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.reconciler

    @property
    def backfill(self) -> Backfill:
        """What takes over the customers of a Stripe account that was there before.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.backfill

    @property
    def is_open(self) -> bool:
        """Whether the gate is open."""
        return self._stack is not None

    async def work_once(self) -> WorkDone:
        """Dispatch what is due, expire what has run out, deliver messages, reconcile if it is time;
        then close: for cron."""
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            if self._parts.outgoing is not None:
                await self._parts.outgoing.resume()
            done = WorkDone(
                events=await self._parts.receiver.drain(),
                holds=await self._parts.upkeep.expire_holds(),
                messages=await self.outbox.drain(),
            )
            if self._parts.reconciliation is not None:
                await logged(self._parts.reconciliation.run_if_due)
            await self._parts.upkeep.prune()
            return done

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Self]:
        """The gate with its database and cache, and without its background work: for commands."""
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            yield self

    async def _connect(self, stack: AsyncExitStack) -> None:
        if self._is_connected:
            raise ConfigurationError(
                "The gate is open already. Open it once: by lifespan=gate.lifespan, by an "
                "adapter that does so, or by 'async with gate:'."
            )
        self._is_connected = True
        stack.callback(setattr, self, "_is_connected", False)
        for part in self._parts.opened:
            await stack.enter_async_context(part)
        await stack.enter_async_context(self.tasks)
        if self._parts.gateway is not None:
            await check_stamp(self._parts.store, self._parts.gateway)

    # -- who is asking ----------------------------------------------------------------------------

    def identify(self, function: I) -> I:
        """Register the function that tells who makes a request, from the host's own auth.

        It returns an `Identity`, a customer id, or None for nobody (which is a 401).
        """
        self.ask_who = function
        return function

    # -- what is told -----------------------------------------------------------------------------

    def on(self, *topics: str, name: str | None = None) -> Callable[[R], R]:
        """Have a coroutine function called with each signal of these topics, at least once and in
        the order of each customer: `@gate.on("credits.low")`.

        `name` is stored with what it has received; by default it is where the function stands.

        Raises:
            RegistrationError: there is no such topic, the name is taken, the function is no
                coroutine function, or delivery has begun.
        """
        return self.signals.on(*topics, name=name)

    # -- what a customer may use ------------------------------------------------------------------

    async def entitlements(self, customer: str) -> Entitlements:
        """Plans, features and limits; see `services.resolver`."""
        return await self._parts.resolver.entitlements(customer)

    async def allows(self, customer: str, feature: str) -> bool:
        """Whether the customer has a feature; in an outage, what the feature declares."""
        held = self.peek(customer)
        if held is not None and feature in held.features:
            return True
        return bool(await self.decide(customer, feature))

    async def decide(self, customer: str, feature: str) -> Decision:
        """As `allows`, telling on what basis."""
        return await self._parts.resolver.feature(customer, feature)

    async def explain(self, customer: str) -> Explanation:
        """The whole path by which the customer's entitlements come about."""
        return await self._parts.resolver.explain(customer)

    # -- credits ----------------------------------------------------------------------------------

    def reserve(
        self,
        customer: str,
        name: str,
        quantity: Measures = 1,
        *,
        overrun: Overrun = "cap",
        session: object = None,
        **options: Unpack[ReserveOptions],
    ) -> PendingReservation:
        """Hold `quantity` of a unit or of a cost. `await` it, or use it with `async with`.

        See `services.accounts.reserve` for the errors and `services.reservation` for settlement.
        """
        request = reserve_request(customer, name, quantity, **options)
        if session is not None:
            return self.keeper.reserve_in(session, request, overrun=overrun)
        return self.keeper.reserve(request, overrun=overrun)

    async def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        session: object = None,
        **options: Unpack[CaptureOptions],
    ) -> Hold:
        """Spend `amount` of a hold (None: all of it), for example in another process.

        With `final=False`, the hold stays open with what is left of it.
        """
        return await self.credits.capture(hold_id, amount, session=session, **options)

    async def release(
        self, hold_id: str, *, session: object = None, **options: Unpack[SettleOptions]
    ) -> Hold:
        """Give a hold back unspent."""
        return await self.credits.release(hold_id, session=session, **options)

    async def extend(
        self,
        hold_id: str,
        ttl: timedelta | None = None,
        *,
        session: object = None,
        **options: Unpack[ExtendOptions],
    ) -> Hold:
        """Keep a hold for longer, and claim `add_amount` more."""
        return await self.credits.extend(hold_id, ttl, session=session, **options)

    async def hold(self, hold_id: str, *, customer: str | None = None) -> Hold:
        """A hold as it is now."""
        return await self.credits.hold(hold_id, customer=customer)

    async def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        """The open holds of an account, the oldest first."""
        return await self.credits.open_holds(customer, unit)

    async def grant(
        self,
        customer: str,
        unit: str,
        amount: int,
        *,
        idempotency_key: str | None = None,
        session: object = None,
        **options: Unpack[GrantOptions],
    ) -> Grant:
        """Give a customer `amount` of a unit by hand. See `GrantOptions` and `GrantCommand`."""
        command = manual_grant(amount, **options)
        return await self.credits.grant(
            customer, unit, command, idempotency_key=idempotency_key, session=session
        )

    async def revoke(
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
        """End a grant now; returns how much of it lapsed. What holds have claimed stays theirs."""
        command = revocation(grant_id, reason=reason, actor=actor)
        return lapsed_in(
            await self.credits.change(
                customer, unit, command, idempotency_key=idempotency_key, session=session
            )
        )

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
        """Let no more than `limit` be used in each window of the UTC calendar; None lifts the cap.
        See `CapOptions`."""
        await self.credits.set_cap(customer, unit, every, limit, session=session, **options)

    async def balance(self, customer: str, unit: str) -> Balance:
        """An account as it stands now, with all that is due; never from a cache."""
        return await self.credits.balance(customer, unit)

    async def balances(self, customer: str) -> Sequence[Balance]:
        """The balances of all units."""
        return await self.credits.balances(customer)

    async def freeze(self, customer: str, reason: str, *, key: str) -> bool:
        """Refuse new holds of a customer's credits until `unfreeze`; open holds may settle.
        `key` names what it is for: the same freezes once. See `services.freezes`."""
        return await self._parts.freezes.freeze(customer, reason, key=key)

    async def unfreeze(self, customer: str, *, actor: str, key: str | None = None) -> bool:
        """Lift a customer's freezes (or the one of `key`); False if none was in force."""
        return await self._parts.freezes.unfreeze(customer, actor, key=key)

    async def freezes(self, customer: str) -> Sequence[Freeze]:
        """Why a customer's credits are, or were, frozen."""
        return await self._parts.freezes.freezes(customer)

    # -- metered usage ----------------------------------------------------------------------------

    async def record_usage(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        id: str | None = None,
        at: datetime | None = None,
        session: object = None,
    ) -> str:
        """Record use of a meter, to be billed in arrears; returns its id, which counts once.

        See `services.metering.UsageRecorder` for the errors.
        """
        return await self.usage.record(
            customer, meter, quantity, usage_id=id, at=at, session=session
        )

    async def correct_usage(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        id: str | None = None,
        at: datetime | None = None,
        session: object = None,
    ) -> str:
        """As `record_usage`, for what was recorded wrongly: `quantity` may be below zero."""
        return await self.usage.record(
            customer, meter, quantity, usage_id=id, at=at, correction=True, session=session
        )

    # -- buying -----------------------------------------------------------------------------------

    async def checkout(
        self,
        customer: str,
        price: str,
        *,
        success_url: str,
        cancel_url: str,
        quantity: int = 1,
        idempotency_key: str | None = None,
    ) -> CheckoutLink:
        """Start a checkout at Stripe for a price of the catalogue, by its lookup key."""
        return await self._parts.checkouts.start(
            customer,
            price,
            success_url=success_url,
            cancel_url=cancel_url,
            quantity=quantity,
            idempotency_key=idempotency_key,
        )

    async def checkout_status(self, purchase_id: str, customer: str) -> Purchase:
        """How far a checkout of this customer's has come, asking Stripe while it is pending."""
        return await self._parts.checkouts.status(purchase_id, customer)

    async def portal(self, customer: str, *, return_url: str) -> str:
        """The address of Stripe's customer portal for this customer."""
        return await self._parts.checkouts.portal(customer, return_url=return_url)

    # -- guards -----------------------------------------------------------------------------------

    def requires_plan(self, plan: str) -> Callable[[H], H]:
        """Let only customers pass who have this plan or one that includes it; else a 402."""
        return self._guard(checks.PlanCheck(plan))

    def requires_feature(self, feature: str) -> Callable[[H], H]:
        """Let only customers pass who have this feature; else a 402."""
        return self._guard(checks.FeatureCheck(feature))

    def consumes(self, name: str, quantity: checks.Quantity = 1) -> Callable[[H], H]:
        """Hold `quantity` of a unit or cost before the handler runs; a 402 if it is not there."""
        return self._guard(checks.ConsumeCheck(name, quantity))

    def consumes_credits(self, cost: checks.Quantity | str) -> Callable[[H], H]:
        """Hold credits: a number, a function of the request, or a key of the cost table."""
        return self._guard(decorators.credits_check(cost))

    def watch(self, endpoints: placement.Endpoints) -> None:
        """Check the guards of these routes when the gate opens, and of routes added later."""
        self._endpoints.append(endpoints)
        if self.is_open:
            self.check_guards()

    def check_guards(self) -> None:
        """Check every route that the gate watches.

        Raises:
            GuardPlacementError: a guard never runs.
            UnknownNameError: a guard names what the catalogue does not have.
        """
        for endpoints in self._endpoints:
            routes = list(endpoints())
            placement.check_placement(routes)
            for _, endpoint in routes:
                for check in placement.checks_of(endpoint):
                    check.validate(self.catalog)

    def _guard(self, check: checks.Check) -> Callable[[H], H]:
        check.validate(self.catalog)
        return decorators.guard_with(check)


def _nobody_has_said(connection: HTTPConnection) -> Who:
    raise NoGateError("Tell the gate who is asking: decorate a function with gate.identify.")
