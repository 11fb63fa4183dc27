"""Long work: it is written down how far it has come, and one process at a time is at it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import anyio
import msgspec

from gatekeeper.errors import ConflictError, UnavailableError
from gatekeeper.storage.port import Store, Transaction

logger: Final = logging.getLogger("gatekeeper.reconciliation")

LEASE: Final = timedelta(minutes=5)
"""How long work that a killed process has left behind waits for the next one."""

_RENEW_SECONDS: Final = LEASE.total_seconds() / 5

_RETURN_SECONDS: Final = 2.0
"""How long work that is being stopped may take to end its lease."""


class Held:
    """Work that this process has for itself. `state` is how far it has come."""

    def __init__(self, store: Store, name: str, state: dict[str, Any], until: datetime) -> None:
        self._store = store
        self._name = name
        self._until = until
        self.state = state

    async def save(self, **changes: Any) -> None:
        """Write how far the work has come, and keep it for longer.

        Raises:
            ConflictError: the lease ran out and somebody else has it now.
        """
        state = {**self.state, **changes}

        def work(tx: Transaction) -> datetime:
            now = tx.now()
            if not tx.progress.renew(self._name, self._until, now + LEASE):
                raise ConflictError(f"Another process has taken over: {self._name}.")
            tx.progress.put(self._name, msgspec.json.encode(state).decode(), now)
            return now + LEASE

        self._until = await self._store.write(work)
        self.state = state

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep it while the block runs, however long that takes. Don't save meanwhile."""
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised below, and not in a group
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _renew(self) -> None:
        while True:
            await anyio.sleep(_RENEW_SECONDS)
            try:
                # Cut off, it may have been written, and nobody would know until when we have it.
                with anyio.CancelScope(shield=True):
                    await self.save()
            except ConflictError:  # the next `save` of whoever works says so
                return
            except UnavailableError:
                logger.warning(
                    "the lease of %s could not be renewed; it is tried again", self._name
                )

    async def end(self) -> None:
        """Let somebody else have it."""
        await self._store.write(lambda tx: tx.progress.renew(self._name, self._until, None))


async def state_of(store: Store, name: str) -> dict[str, Any]:
    """How far some work has come; empty if it was never begun."""
    found = await store.read(lambda tx: tx.progress.get(name))
    return {} if found is None else dict(msgspec.json.decode(found.state))


@asynccontextmanager
async def held(store: Store, name: str) -> AsyncIterator[Held]:
    """Take some work for oneself while the block runs.

    Raises:
        ConflictError: another process is at it.
    """

    def take(tx: Transaction) -> tuple[dict[str, Any], datetime]:
        now = tx.now()
        if not tx.progress.lease(name, now, now + LEASE, state="{}"):
            raise ConflictError(f"Another process is at it: {name}. Try again later.")
        found = tx.progress.get(name)
        assert found is not None
        return dict(msgspec.json.decode(found.state)), now + LEASE

    state, until = await store.write(take)
    work = Held(store, name, state, until)
    try:
        yield work
    finally:
        with anyio.move_on_after(_RETURN_SECONDS, shield=True):
            try:
                await work.end()
            except UnavailableError:  # then it ends by itself; what happened before matters more
                logger.warning("the lease of %s could not be given back: it runs out", name)
