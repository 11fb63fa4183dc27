"""The synchronous face of a gate, in parts of one subject each."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from anyio.from_thread import start_blocking_portal

from gatekeeper.gate import Gatekeeper
from gatekeeper.sync.access import AccessCalls
from gatekeeper.sync.copies import CopyCalls
from gatekeeper.sync.credits import CreditCalls
from gatekeeper.sync.money import MoneyCalls
from gatekeeper.sync.usage import UsageCalls
from gatekeeper.sync.working import WorkCalls


class SyncGatekeeper(AccessCalls, CreditCalls, MoneyCalls, UsageCalls, CopyCalls, WorkCalls):
    """A synchronous face of a gate: `with SyncGatekeeper(gate) as billing: billing.allows(...)`.

    If the gate is open already, its loop is used and `with` is not needed. Never call it on the
    event loop itself: it would wait for what it blocks. What is registered (guards, receivers of
    signals, handlers of events) is registered on the gate.
    """

    def __init__(self, gate: Gatekeeper) -> None:
        super().__init__(gate)
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
