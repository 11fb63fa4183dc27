"""The decorators. Each keeps the handler's signature and works on every kind of handler.

A decorator made by a gate is checked against its catalogue at once; the bare ones bind to the gate
of the running request and are checked when the app starts.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from gatekeeper.catalog import Measures
from gatekeeper.errors import GatekeeperError, GuardPlacementError
from gatekeeper.guards.checks import (
    CREDITS,
    Check,
    ConsumeCheck,
    FeatureCheck,
    PlanCheck,
    Quantity,
)
from gatekeeper.guards.placement import mark
from gatekeeper.guards.request import current, running
from gatekeeper.services.credit_options import reserve_request
from gatekeeper.services.reservation import PendingReservation, Reservation

H = TypeVar("H", bound=Callable[..., Any])


def guard_with(check: Check) -> Callable[[H], H]:
    """The decorator that enforces `check`."""

    def decorate(handler: H) -> H:
        guarded = functools.wraps(handler)(_wrapper(handler, check))
        mark(guarded, handler, check)
        return cast("H", guarded)

    return decorate


def requires_plan(plan: str) -> Callable[[H], H]:
    """Let only customers pass who have this plan or one that includes it; else a 402."""
    return guard_with(PlanCheck(plan))


def requires_feature(feature: str) -> Callable[[H], H]:
    """Let only customers pass who have this feature; else a 402."""
    return guard_with(FeatureCheck(feature))


def consumes(name: str, quantity: Quantity = 1) -> Callable[[H], H]:
    """Hold `quantity` of a unit or cost before the handler runs; a 402 if it is not there.

    The hold is captured when a response below 400 starts, and released otherwise.
    """
    return guard_with(ConsumeCheck(name, quantity))


def consumes_credits(cost: Quantity | str) -> Callable[[H], H]:
    """Hold credits: a number, a function of the request, or a key of the cost table."""
    return guard_with(credits_check(cost))


def credits_check(cost: Quantity | str) -> ConsumeCheck:
    """The check behind `consumes_credits`."""
    return ConsumeCheck(cost) if isinstance(cost, str) else ConsumeCheck(CREDITS, cost)


def reserve(
    name: str,
    quantity: Measures = 1,
    *,
    partial: bool = False,
    idempotency_key: str | None = None,
) -> PendingReservation:
    """Hold `quantity` of a unit or cost for the customer of the running request.

    `await` it for a hold that settles by itself at the end of the response or the disconnect:
    what was recorded is captured. With `async with`, it settles at the end of the block. It is
    renewed until then, and never outlives its request. What is recorded beyond the hold is logged
    and not charged: reserve enough, or `extend`.

    Args:
        partial: take what is there, if it is less.
        idempotency_key: the same key of the same customer finds the same hold again.

    Raises (when awaited or entered):
        CreditsRequiredError, DebtOutstandingError, UnauthenticatedError, UnknownNameError.
    """
    request = current()
    keeper = request.gate.keeper

    async def make() -> Reservation:
        who = await request.identity()
        wanted = reserve_request(
            who.customer,
            name,
            quantity,
            partial=partial,
            idempotency_key=idempotency_key,
            actor=who.actor,
            reference=request.route,
        )
        try:
            return await keeper.make(wanted)
        except GatekeeperError as error:
            request.gate.denials.note(who.customer, error)
            raise

    return PendingReservation(
        make,
        settle=lambda reservation, failed: keeper.settle(reservation, failed=failed),
        awaited=request.hold_metered,
        entered=request.hold_in_block,
    )


def _wrapper(handler: Callable[..., Any], check: Check) -> Callable[..., Any]:
    """Enforce, then call `handler` as its framework would have: threads for what is synchronous."""
    if not isinstance(handler, functools.partial) and not inspect.isroutine(handler):
        raise GuardPlacementError(
            f"{type(handler).__name__} is no function: it may be a route already, which would be "
            "served without this guard. Write the guard below the route decorator."
        )
    if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
        name = getattr(handler, "__qualname__", repr(handler))
        raise GuardPlacementError(
            f"{name} is a generator: its response has begun before its first line runs, too late "
            "for a 402. Guard it by a dependency of its route, or return a streaming response "
            "from a function."
        )
    if is_async(handler):

        async def call(*args: Any, **kwargs: Any) -> Any:
            request = running.get(None) or current()
            try:
                who = await request.identity()
                if not check.passes(request.gate, who.customer):
                    await check.enforce(request)
            except GatekeeperError as error:
                request.refused(error)
                raise
            return await handler(*args, **kwargs)

        return call

    async def call_in_thread(*args: Any, **kwargs: Any) -> Any:
        request = current()
        try:
            who = await request.identity()
            if not check.passes(request.gate, who.customer):
                await check.enforce(request)
        except GatekeeperError as error:
            request.refused(error)
            raise
        result = await request.run_sync(functools.partial(handler, *args, **kwargs))
        return await result if inspect.isawaitable(result) else result

    return call_in_thread


def is_async(handler: Callable[..., Any]) -> bool:
    """Whether calling the handler gives something to await."""
    if isinstance(handler, functools.partial):
        return is_async(handler.func)
    return inspect.iscoroutinefunction(handler)
