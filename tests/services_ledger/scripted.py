"""A batcher's other side, by the hand of a test: each batch waits until it is told what came."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from gatekeeper.services.ledger.batch import SKIPPED, Outcome
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.room import Room
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.storage.postings import AccountKey


class Note(Command[str]):
    """A command that says its name; what comes of it is undone by a command of another name."""

    def __init__(self, customer: str, name: str, *, undo: bool = False) -> None:
        self.key = (customer, "credits")
        self.name = name
        self._has_undo = undo

    def undo(self, result: object) -> "Note | None":
        return Note(self.key[0], f"undo {result}") if self._has_undo else None

    def decide(self, room: Room) -> str:
        return self.name


class Batch:
    """A batch that is under way."""

    def __init__(self, commands: Sequence[Command[Any]], *, wait: bool) -> None:
        self.names = [one.name for one in commands if isinstance(one, Note)]
        self.customers = [one.key[0] for one in commands]
        self.wait = wait
        self._outcomes: asyncio.Future[list[Outcome]] = asyncio.Future()

    def end(self, *outcomes: Outcome) -> None:
        """Let it come to these outcomes; by default each to its name."""
        self._outcomes.set_result(list(outcomes or self.names))

    def skip(self) -> None:
        self.end(*[SKIPPED] * len(self.names))

    def fail(self, error: BaseException) -> None:
        self._outcomes.set_exception(error)

    async def outcomes(self) -> list[Outcome]:
        return await self._outcomes


class ScriptedWays(Ways):
    """Every batch is put into `batches`; `by_itself` ends those that it is true for."""

    def __init__(self, *, lanes: int = 1, depth: int = 1) -> None:
        self._lanes = lanes
        self._depth = depth
        self.batches: list[Batch] = []
        self.closed = 0
        self.by_itself: Callable[[Batch], bool] = lambda _: False

    @property
    def lanes(self) -> int:
        return self._lanes

    def depth(self, key: AccountKey) -> int:
        return self._depth

    async def carry_out(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        return await self._run(Batch(commands, wait=False))

    async def carry_out_locked(
        self, commands: Sequence[Command[Any]], *, wait: bool
    ) -> list[Outcome]:
        return await self._run(Batch(commands, wait=wait))

    async def close(self) -> None:
        self.closed += 1

    async def _run(self, batch: Batch) -> list[Outcome]:
        self.batches.append(batch)
        if self.by_itself(batch):
            batch.end()
        return await batch.outcomes()


async def settle_down() -> None:
    """Let every task that can go on go on: nothing here waits for anything but the test."""
    for _ in range(20):
        await asyncio.sleep(0)
