"""Work that the gate owns: it outlives the request that asked for it, and ends with the gate."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from gatekeeper.errors import GatekeeperError, NoGateError
from gatekeeper.services.reservation import Reservation

logger = logging.getLogger("gatekeeper")

DRAIN_SECONDS = 20.0
"""How long closing the gate waits for settlements that are under way."""


class OwnedTasks:
    """Tasks in the gate's own scope. A request that is cancelled does not cancel them.

    Settling a hold in the request's scope would lose it at the very moment that matters, the
    disconnect: https://anyio.readthedocs.io/en/stable/cancellation.html.
    """

    def __init__(self) -> None:
        self._work: TaskGroup | None = None
        self._loops: TaskGroup | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._loops = await self._stack.enter_async_context(anyio.create_task_group())
        self._work = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        work, loops = self._work, self._loops
        self._work = self._loops = None
        if work is not None and loops is not None:
            loops.cancel_scope.cancel()
            work.cancel_scope.deadline = anyio.current_time() + DRAIN_SECONDS
        await self._stack.aclose()

    def loop(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        """Run something in the background until the gate closes."""
        self._group(self._loops).start_soon(run, name=name)

    def spawn(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Start `work` now; returns a function that waits for it and raises what it raised.

        The waiting may be cancelled, the work is not.
        """
        done = anyio.Event()
        failure: list[Exception] = []

        async def owned() -> None:
            try:
                await work()
            except Exception as error:
                failure.append(error)
                if not isinstance(error, GatekeeperError):
                    logger.exception("work owned by the gate failed")
            finally:
                done.set()

        async def wait() -> None:
            await done.wait()
            if failure:
                raise failure[0]

        self._group(self._work).start_soon(owned)
        return wait

    def _group(self, group: TaskGroup | None) -> TaskGroup:
        if group is None:
            raise NoGateError(
                "The gate is not open. Pass lifespan=gate.lifespan to the app, or use "
                "'async with gate:'."
            )
        return group


class HoldKeeper:
    """Renews the holds of running requests, so that slow work never outlives its hold."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._kept: set[Reservation] = set()

    def keep(self, reservation: Reservation) -> None:
        """Renew this hold until `forget`."""
        self._kept.add(reservation)

    def forget(self, reservation: Reservation) -> None:
        """Stop renewing."""
        self._kept.discard(reservation)

    async def run(self) -> None:
        """Renew what is kept, for ever."""
        while True:
            await anyio.sleep(self._every_seconds)
            await self.renew()

    async def renew(self) -> None:
        """Renew what is kept, once. A hold that has ended is forgotten; the rest is tried again."""
        for reservation in tuple(self._kept):
            try:
                if reservation.is_open:
                    await reservation.extend()
                    continue
            except GatekeeperError as error:
                logger.warning("hold %s was not renewed: %s", reservation.id, error.code)
                if error.status >= 500:
                    continue
            self.forget(reservation)
