"""The two ways to carry out a batch: the quick one where the store has it, and the locking one.

The quick way takes what is usual; the locking way takes everything else, and everything on stores
that have no other.
"""

from collections.abc import Sequence
from typing import Any, Final

from gatekeeper.errors import StoreUnavailableError, TransactionConflictError
from gatekeeper.services.ledger.batch import Outcome, carry_out_all
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.mirror import Mirror
from gatekeeper.services.ledger.quick_way import LEFT, QuickWay
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store
from gatekeeper.storage.postings import AccountKey

QUICK_LANES: Final = 2
"""Batches under way at once: one is decided while the database writes the other."""


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
        """How many batches an account may be in at once: the quick way builds one on another."""
        quick = self._quick_way()
        return 1 if quick is None or quick.is_contended(key) else QUICK_LANES

    async def carry_out(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """Each command's outcome; SKIPPED where somebody else has locked the account.

        Raises:
            StoreUnavailableError: of all of them.
        """
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

    async def carry_out_waiting(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """The outcomes of commands of one account, once its lock can be had."""
        return await self._locking(commands, wait=True)

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
        """One transaction for all. Should one of them break it, each gets one of its own."""
        try:
            outcomes, desks = await self._store.write(
                lambda tx: carry_out_all(tx, self._rules, commands, wait=wait)
            )
        except StoreUnavailableError:
            for command in commands:
                self._mirror.forget(command.key)
            raise
        except Exception as error:  # noqa: BLE001 - it is an outcome, told to whom it belongs
            if len(commands) == 1 or (wait and isinstance(error, TransactionConflictError)):
                return [error] * len(commands)
            return [(await self._locking([command], wait=wait))[0] for command in commands]
        for desk in desks:
            self._mirror.put(desk.posting)
        return outcomes
