"""The gate: everything wired together for one host app. It has no logic of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from gatekeeper.errors import ConfigurationError
from gatekeeper.gate.access import AccessMethods
from gatekeeper.gate.buying import BuyingMethods
from gatekeeper.gate.copies import CopyMethods
from gatekeeper.gate.credits import CreditMethods
from gatekeeper.gate.freezing import FreezeMethods
from gatekeeper.gate.guarding import GuardMethods
from gatekeeper.gate.health import HealthMethods
from gatekeeper.gate.refunding import RefundMethods
from gatekeeper.gate.syncing import SyncMethods
from gatekeeper.gate.telling import TellingMethods
from gatekeeper.gate.transferring import TransferMethods
from gatekeeper.gate.usage import UsageMethods
from gatekeeper.gate.working import WorkDone, WorkMethods
from gatekeeper.guards import placement
from gatekeeper.stripe.stamp import check_stamp
from gatekeeper.wiring import loops_of, watched


class Gatekeeper(
    AccessMethods,
    CreditMethods,
    FreezeMethods,
    UsageMethods,
    TellingMethods,
    TransferMethods,
    RefundMethods,
    BuyingMethods,
    GuardMethods,
    CopyMethods,
    SyncMethods,
    HealthMethods,
    WorkMethods,
):
    """Decides what customers may use, and accounts for every credit.

    Open it with `async with gate:`, or pass `lifespan=gate.lifespan` to a Starlette or FastAPI
    app. Everything but registration needs it to be open.

    Args:
        catalog: the plans, packs and costs of the host.
        settings: None reads GATEKEEPER_* and STRIPE_* from the environment, naming every bad
            setting at once.
        store, cache, clock: for tests and unusual set-ups; by default they come from the settings,
            and time is the database's.
        telemetry: where metrics and spans go; None is OpenTelemetry's global providers, if the
            package is installed.

    Raises:
        SettingsError: naming every bad setting.
    """

    async def __aenter__(self) -> Self:
        """Open the database and the cache, check the routes, and start the background work.

        Raises:
            GuardPlacementError, SchemaVersionError, DatabaseStampError, StoreUnavailableError.
            ConfigurationError: it is open already.
        """
        self.check_guards()
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            self.denials.is_told = "access.denied" in self.signals.types
            self.tasks.loop(self.keeper.run, "gatekeeper keeper")
            for name, loop in loops_of(self._parts, self.settings).items():
                self.tasks.loop(loop, f"gatekeeper {name}")
            stack.enter_context(placement.watching(self.check_guards))
            stack.enter_context(watched(self._parts))
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
            async with stack:  # closed whatever becomes of the rest
                await self.keeper.settle_late()
                await self.receiver.waking.settled()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """An ASGI lifespan. Inside a lifespan of the host's own, write `async with gate:`."""
        async with self:
            yield

    async def work_once(self) -> WorkDone:
        """Connect, do all that is due (`work`), and close: for cron."""
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            return await self.work()

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
        if self._parts.stripe is not None:
            await check_stamp(self._parts.store, self._parts.stripe.gateway)
