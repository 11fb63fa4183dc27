"""What every part of the synchronous face stands on: waiting for the gate's event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from gatekeeper.errors import ConfigurationError, NoGateError
from gatekeeper.gate import Gatekeeper

P = ParamSpec("P")
T = TypeVar("T")


class Waiting:
    """A gate, and a way to wait for what it does."""

    def __init__(self, gate: Gatekeeper) -> None:
        self.gate = gate

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for an asynchronous function of a part of the gate's, or of the host's own, on the
        loop of the gate: `billing.call(gate.customers.delete, "org_42")`.

        Raises:
            NoGateError: the gate is not open.
            ConfigurationError: this is the gate's own loop, which would wait for itself.
        """
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
            return await function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(called(), loop).result()
