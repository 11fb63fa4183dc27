"""Stores that count what is asked of them, keep it waiting, lose answers, refuse."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from gatekeeper.errors import StoreUnavailableError
from gatekeeper.storage.port import Joined, JoinedSync, Store, Transaction
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.storage.quick import NotReadError, NotWrittenError, QuickLedger, QuickRead

T = TypeVar("T")

Loss = Literal["before", "after"]
"""What was sent never arrived; it arrived, and its answer did not."""


class Turnstile:
    """Keeps those who come waiting, once it is shut: `await arrived.wait()`, then `open()`."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()
        self.arrived = asyncio.Event()

    def shut(self) -> None:
        self._free.clear()
        self.arrived.clear()

    def open(self) -> None:
        self._free.set()

    async def pass_through(self) -> None:
        self.arrived.set()
        await self._free.wait()


class Fate:
    """What befalls the next calls of one kind, the first of each list first."""

    def __init__(self) -> None:
        self.calls = 0
        self.losses: list[Loss | None] = []
        self.refusals: list[Exception | None] = []
        self.turnstile = Turnstile()

    async def begin(self) -> Loss | None:
        """Count, wait, refuse; returns how the answer is to be lost, if it is."""
        self.calls += 1
        await self.turnstile.pass_through()
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        loss = self.losses.pop(0) if self.losses else None
        if loss == "before":
            raise lost()
        return loss


def lost() -> StoreUnavailableError:
    return StoreUnavailableError("the answer was lost", outcome="unknown")


class WatchedQuick(QuickLedger):
    """The quick way of another store."""

    def __init__(self, quick: QuickLedger, store: "WatchedStore") -> None:
        self._quick = quick
        self._store = store

    def now(self) -> datetime | None:
        now = self._quick.now()
        return None if now is None else now + self._store.clock_off_by

    async def read(
        self, keys: Collection[AccountKey], hold_keys: Collection[tuple[str, str]]
    ) -> QuickRead:
        await self._store.quick_reads.begin()
        return await self._quick.read(keys, hold_keys)

    async def write(self, postings: Sequence[Posting], now: datetime) -> set[AccountKey]:
        self._store.posted.append({posting.key for posting in postings})
        loss = await self._store.quick_writes.begin()
        written = await self._quick.write(postings, now)
        if loss == "after":
            raise lost()
        return written

    async def close(self) -> None:
        await self._quick.close()


class WatchedStore(Store):
    """Another store, watched.

    Attributes:
        writes, quick_reads, quick_writes: what befalls them, and how many there were.
        posted: the accounts of each quick write.
        clock_off_by: how far the quick way's idea of the time is off.
    """

    def __init__(self, store: Store) -> None:
        self.inner = store
        self.locks_rows = store.locks_rows
        self.writes = Fate()
        self.quick_reads = Fate()
        self.quick_writes = Fate()
        self.posted: list[set[AccountKey]] = []
        self.clock_off_by = timedelta(0)
        self._quick: WatchedQuick | None = None

    @property
    def transactions(self) -> int:
        """How many there were that wrote, in either way."""
        return self.writes.calls + self.quick_writes.calls

    @property
    def quick(self) -> QuickLedger | None:
        if self.inner.quick is None:
            return None
        if self._quick is None:
            self._quick = WatchedQuick(self.inner.quick, self)
        return self._quick

    def forget_counts(self) -> None:
        for fate in (self.writes, self.quick_reads, self.quick_writes):
            fate.calls = 0
        self.posted.clear()

    async def open(self) -> None:
        await self.inner.open()

    async def close(self) -> None:
        self._quick = None
        await self.inner.close()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        loss = await self.writes.begin()
        result = await self.inner.write(work)
        if loss == "after":
            raise lost()
        return result

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self.inner.read(work)

    def join(self, session: object) -> AbstractAsyncContextManager[Joined]:
        return self.inner.join(session)

    def join_sync(self, session: object) -> JoinedSync:
        return self.inner.join_sync(session)


def refused() -> NotWrittenError:
    return NotWrittenError("refused by the test")


def not_read() -> NotReadError:
    return NotReadError("not read, by the test")
