"""The two ways to carry out a batch: the quick one where the store has it, and the locking one.

The quick way takes what is usual; the locking way takes everything else, and everything on stores
that have no other.
"""

from collections.abc import Sequence
from typing import Any

from gatekeeper.errors import StoreUnavailableError, TransactionConflictError
from gatekeeper.services.ledger.batch import SKIPPED, Outcome, carry_out_all
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.mirror import Mirror
from gatekeeper.services.ledger.quick_way import LEFT, QUICK_LANES, QuickWay
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store
from gatekeeper.storage.postings import AccountKey


class Ways:
    """Carries out batches on a store, whose caller lets an account be in `depth` of them."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        self._mirror = Mirror()
        self._quick: QuickWay | None = None

    @property
    def lanes(self) -> int:
        """How many batches may be under way."""
        return 1 if self._store.quick is None else QUICK_LANES

    def depth(self, key: AccountKey) -> int:
        """How many batches an account may be in at once."""
        quick = self._quick_way()
        return 1 if quick is None else quick.depth(key)

    async def carry_out(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """Each command's outcome; SKIPPED where somebody else has locked the account, AGAIN where
        somebody else was first, or what was in mind does not do."""
        quick = self._quick_way()
        if quick is None:
            return await self._locking(commands, wait=False)
        outcomes = await quick.carry_out(commands)
        left = [n for n, outcome in enumerate(outcomes) if outcome is LEFT]
        if left:
            found = await self._locking([commands[n] for n in left], wait=False)
            for n, outcome in zip(left, found, strict=True):
                outcomes[n] = outcome
        return outcomes

    async def carry_out_locked(
        self, commands: Sequence[Command[Any]], *, wait: bool
    ) -> list[Outcome]:
        """As `carry_out`, by the locking way alone; with `wait` once the locks can be had."""
        return await self._locking(commands, wait=wait)

    async def close(self) -> None:
        """Give back what the quick way keeps."""
        self._quick = None
        if self._store.quick is not None:
            await self._store.quick.close()

    def _quick_way(self) -> QuickWay | None:
        if self._quick is None and self._store.quick is not None:
            self._quick = QuickWay(self._store.quick, self._rules, self._mirror)
        return self._quick

    async def _locking(self, commands: Sequence[Command[Any]], *, wait: bool) -> list[Outcome]:
        """One transaction for all. Errors are outcomes: a part of the batch may be done already."""
        try:
            outcomes, desks = await self._store.write(
                lambda tx: carry_out_all(tx, self._rules, commands, wait=wait)
            )
        except StoreUnavailableError as error:
            for command in commands:
                self._mirror.forget(command.key)
            return [error] * len(commands)
        except Exception as error:  # noqa: BLE001 - it is an outcome, told to whom it belongs
            return await self._apart(commands, error, wait=wait)
        for desk in desks:
            self._mirror.put(desk.posting)
        return outcomes

    async def _apart(
        self, commands: Sequence[Command[Any]], error: Exception, *, wait: bool
    ) -> list[Outcome]:
        """Halve what broke, until the one that broke it stands alone.

        An account that was not to be had at once is skipped, whatever stood in its way.
        """
        if isinstance(error, TransactionConflictError):
            if wait or (error.params.get("is_locked") and not self._store.locks_rows):
                return [error] * len(commands)
            if len({command.key for command in commands}) == 1:
                return [SKIPPED] * len(commands)
        if len(commands) == 1:
            return [error]
        halves = _halves(commands)
        found = {n: outcome for half in halves for n, outcome in await self._some(half, wait=wait)}
        return [found[n] for n in range(len(commands))]

    async def _some(
        self, numbered: Sequence[tuple[int, Command[Any]]], *, wait: bool
    ) -> list[tuple[int, Outcome]]:
        outcomes = await self._locking([command for _, command in numbered], wait=wait)
        return [(n, outcome) for (n, _), outcome in zip(numbered, outcomes, strict=True)]


def _halves(commands: Sequence[Command[Any]]) -> list[list[tuple[int, Command[Any]]]]:
    """Two halves of the accounts, or of the commands if there is one account; numbered."""
    numbered = list(enumerate(commands))
    keys = list(dict.fromkeys(command.key for command in commands))
    if len(keys) == 1:
        middle = len(numbered) // 2
        return [numbered[:middle], numbered[middle:]]
    first = set(keys[: len(keys) // 2])
    return [
        [(n, command) for n, command in numbered if command.key in first],
        [(n, command) for n, command in numbered if command.key not in first],
    ]
