"""One look for everybody who is connected to this process."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Final

from gatekeeper.errors import (
    CustomerNotFoundError,
    OverloadedError,
    RateLimitedError,
    UnavailableError,
)
from gatekeeper.services.live.seen import Mark, Seen, marks_of, seen_of
from gatekeeper.services.owned import OwnedTasks
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_id

logger = logging.getLogger("gatekeeper")

_AT_ONCE: Final = 500
"""How many customers one look asks for in one transaction."""

_CLOSELY: Final = 20
"""How many customers are looked at closely in one transaction: others wait for it on SQLite."""

RETRY_SECONDS: Final = 5


class Watch(AbstractContextManager["Watch"]):
    """One connection's view of its customer, which counts until the block ends. `latest` is None
    until the first look."""

    def __init__(self, close: Callable[["Watch"], None]) -> None:
        self.latest: Seen | None = None
        self.is_over = False
        self._changed = asyncio.Event()
        self._close = close

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close(self)

    def show(self, seen: Seen) -> None:
        """Put the latest look in the place of the one before."""
        self.latest = seen
        self._changed.set()

    def end(self) -> None:
        """There will be no more: the customer is gone, or the process is leaving."""
        self.is_over = True
        self._changed.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for the next look that shows something else, or the end; False if neither came."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class _Watched:
    """A customer whom somebody watches."""

    def __init__(self) -> None:
        self.watches: set[Watch] = set()
        self.mark: Mark | None = None
        self.seen: Seen | None = None

    def is_news(self, mark: Mark, now: datetime) -> bool:
        """Whether they have to be looked at closely: something was written, time has made a
        difference, or nobody has looked yet."""
        turn = None if self.seen is None else self.seen.standing.changes_at
        return self.mark != mark or (turn is not None and turn <= now)


class LiveDesk:
    """Shows customers to those who watch them, while the gate is open."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        self._watched: dict[str, _Watched] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def watching(self) -> int:
        """How many connections watch."""
        return self._count

    def watch(self, customer: str, *, per_customer: int, per_process: int) -> Watch:
        """Watch a customer, from now on. Use what is returned as a context manager.

        Raises:
            InvalidIdError.
            RateLimitedError: as many connections watch this customer already.
            OverloadedError: as many watch anybody.
        """
        check_id(customer, "customer")
        own = self._watched.get(customer)
        if own is not None and len(own.watches) >= per_customer:
            raise RateLimitedError(
                "There are too many open connections for events; close one.",
                retry_after_seconds=RETRY_SECONDS,
            )
        if self._count >= per_process:
            raise OverloadedError("Too many connections wait for events; try again later.")
        own = self._watched.setdefault(customer, _Watched())
        watch = Watch(partial(self._forget, customer))
        own.mark = None  # a look of before may be older than what another process has told them
        own.watches.add(watch)
        self._count += 1
        return watch

    def _forget(self, customer: str, watch: Watch) -> None:
        own = self._watched.get(customer)
        if own is None or watch not in own.watches:
            return
        self._count -= 1
        own.watches.remove(watch)
        if not own.watches:
            del self._watched[customer]

    def begin(
        self, tasks: OwnedTasks, *, every_seconds: float, is_leaving: Callable[[], bool]
    ) -> None:
        """Look at everybody who is watched, until nobody is any more.

        Args:
            is_leaving: whether this process is about to end; watches end with it.

        Raises:
            NoGateError, ShuttingDownError: the gate is not open.
        """
        if self._task is None or self._task.done():
            self._task = tasks.begin(self._run(every_seconds, is_leaving), "gatekeeper live")

    async def _run(self, every_seconds: float, is_leaving: Callable[[], bool]) -> None:
        try:
            while self._watched and not is_leaving():
                try:
                    await self.look()
                except Exception:
                    logger.exception("customers could not be looked at; it is tried again")
                await asyncio.sleep(every_seconds)
        finally:
            for own in self._watched.values():
                for watch in own.watches:
                    watch.end()

    async def look(self) -> None:
        """Look at everybody once, and closely at those of whom something has changed."""
        names = iter(tuple(self._watched))
        while some := list(islice(names, _AT_ONCE)):
            now, marks = await self._store.read(
                lambda tx, some=some: (tx.now(), marks_of(tx, some))  # type: ignore[misc]
            )
            changed = [
                name
                for name, mark in marks.items()
                if name in self._watched and self._watched[name].is_news(mark, now)
            ]
            for start in range(0, len(changed), _CLOSELY):
                await self._look_closely(changed[start : start + _CLOSELY], marks)

    async def _look_closely(self, names: Sequence[str], marks: Mapping[str, Mark]) -> None:
        def work(tx: Transaction) -> dict[str, Seen | None]:
            return {name: _maybe_seen(tx, self._rules, name) for name in names}

        try:
            found = await self._store.read(work)
        except UnavailableError:
            raise
        except Exception:
            if len(names) > 1:  # what can't be read of one must not keep the others waiting
                for name in names:
                    await self._look_closely([name], marks)
                return
            logger.exception(
                "customer %s could not be looked at; once they change, again", names[0]
            )
            found = {}
            if (own := self._watched.get(names[0])) is not None:
                own.mark, own.seen = marks[names[0]], None
        for name, seen in found.items():
            own = self._watched.get(name)
            if own is None:
                continue
            # The mark is older than the look: what came between them is looked at once more.
            own.mark, own.seen = marks[name], seen
            for watch in own.watches:
                watch.end() if seen is None else watch.show(seen)


def _maybe_seen(tx: Transaction, rules: Rules, customer: str) -> Seen | None:
    """A customer; None if they were deleted."""
    try:
        return seen_of(tx, rules, customer)
    except CustomerNotFoundError:
        return None
