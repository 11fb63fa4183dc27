"""Commands of accounts that somebody else has locked wait here, so that nobody waits for them.

A few of them wait in the database, where whoever came first is served first: each takes up a
connection. The others look again and again, all of them in one transaction that waits for nobody,
so that no number of locked accounts keeps others from theirs.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gatekeeper.errors import StoreUnavailableError, TransactionConflictError
from gatekeeper.services.ledger.batch import SKIPPED, Outcome
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.storage.postings import AccountKey

_logger: Final = logging.getLogger("gatekeeper")

MAX_WAITERS: Final = 4
"""How many transactions may wait for a locked account at once."""

MAX_LOOKS: Final = 256
"""How many commands look at once whether their accounts are free."""

FIRST_PAUSE_SECONDS: Final = 0.005
LONGEST_PAUSE_SECONDS: Final = 0.1
"""How long it is from one look to the next: it doubles with each."""

PATIENCE_SECONDS: Final = 20.0
"""How long a command looks before it is told that its account was never free."""


@dataclass(slots=True, eq=False)
class Item:
    """A command, the future of whoever waits for what it comes to, and when it came: the `number`
    of a later one is larger."""

    command: Command[Any]
    future: "asyncio.Future[Any]"
    number: int = 0


@dataclass(slots=True)
class _Parked:
    """Commands of one account, which look for it until some instant of the loop's clock."""

    key: AccountKey
    items: Sequence[Item]
    until: float


class Parking:
    """The commands of one gate that wait for locked accounts.

    Args:
        deliver: is told what each command came to.
        free: is told when all commands that were parked together have come to their ends.
    """

    def __init__(
        self,
        ways: Ways,
        *,
        deliver: Callable[[Item, object], None],
        free: Callable[[AccountKey], None],
    ) -> None:
        self._ways = ways
        self._deliver = deliver
        self._free = free
        self._parked: list[_Parked] = []
        self._waiters: set[asyncio.Task[None]] = set()
        self._looking: set[asyncio.Task[None]] = set()

    @property
    def tasks(self) -> "set[asyncio.Task[None]]":
        """What is under way. A task that is cancelled tells those who waited for it."""
        return self._waiters | self._looking

    def park(self, key: AccountKey, items: Sequence[Item]) -> None:
        """Carry out commands of one account once its lock can be had."""
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        self._parked.append(_Parked(key, items, until))
        self._move_up()
        if self._parked and not self._looking:
            task = asyncio.get_running_loop().create_task(self._look_again())
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    def _move_up(self) -> None:
        """Let those who came first wait in the database."""
        while self._parked and len(self._waiters) < MAX_WAITERS:
            first = min(self._parked, key=lambda parked: parked.until)
            self._parked.remove(first)
            task = asyncio.get_running_loop().create_task(self._wait_for(first))
            self._waiters.add(task)
            task.add_done_callback(self._waited)

    def _waited(self, task: "asyncio.Task[None]") -> None:
        self._waiters.discard(task)
        if not task.cancelled():
            self._move_up()

    async def _wait_for(self, parked: _Parked) -> None:
        outcomes = await self._outcomes([parked], wait=True)
        for item, outcome in zip(parked.items, outcomes, strict=True):
            self._deliver(item, outcome)
        self._free(parked.key)

    async def _look_again(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        try:
            while self._parked:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                await self._look(self._next())
                self._move_up()
        except asyncio.CancelledError:
            parked, self._parked = self._parked, []
            self._end(parked, interrupted())
            raise

    def _next(self) -> list[_Parked]:
        """Those who look next: they stand at the end of the line afterwards."""
        chosen: list[_Parked] = []
        room = MAX_LOOKS
        while self._parked and room > 0:
            chosen.append(self._parked.pop(0))
            room -= len(chosen[-1].items)
        return chosen

    async def _look(self, chosen: Sequence[_Parked]) -> None:
        """Carry out what can be had at once; the rest stays, unless it has waited for too long."""
        now = asyncio.get_running_loop().time()
        outcomes = iter(await self._outcomes(chosen, wait=False) if chosen else ())
        for parked in chosen:
            skipped: list[Item] = []
            for item in parked.items:
                outcome = next(outcomes)
                if outcome is SKIPPED:
                    skipped.append(item)
                else:
                    self._deliver(item, outcome)
            if not skipped:
                self._free(parked.key)
            elif now < parked.until:
                self._parked.append(_Parked(parked.key, skipped, parked.until))
            else:
                self._end([_Parked(parked.key, skipped, parked.until)], _too_long())

    async def _outcomes(self, chosen: Sequence[_Parked], *, wait: bool) -> Sequence[Outcome]:
        commands = [item.command for parked in chosen for item in parked.items]
        try:
            return await self._ways.carry_out_locked(commands, wait=wait)
        except asyncio.CancelledError:
            self._end(chosen, interrupted())
            raise
        except Exception as error:
            _logger.exception("commands of locked accounts failed")
            return [error] * len(commands)

    def _end(self, chosen: Sequence[_Parked], error: Exception) -> None:
        for parked in chosen:
            for item in parked.items:
                self._deliver(item, error)
            self._free(parked.key)


def interrupted() -> StoreUnavailableError:
    """What those are told whose command was under way when the gate could not wait any longer."""
    return StoreUnavailableError(
        "The gate was closed while this was under way: whether it was done is unknown. Send the "
        "same command again, under the same ids.",
        outcome="unknown",
    )


def _too_long() -> TransactionConflictError:
    return TransactionConflictError(
        "Another transaction kept a lock for longer than we wait; run this one again."
    )
