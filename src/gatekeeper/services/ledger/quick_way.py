"""The quick way through a batch: decide by what is in mind, and write it in one statement.

Whatever does not fit (an account that is not up to date, an idempotency key, a threshold that was
crossed, somebody else's write in between) is left to the locking way. A refusal is never decided
by what is in mind: the account is read again first.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from gatekeeper.errors import GatekeeperError, LedgerInvariantError, StoreUnavailableError
from gatekeeper.ledger import Account, Hold
from gatekeeper.services.ledger.batch import Outcome
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.mirror import Mirror
from gatekeeper.services.ledger.overdue import has_due_holds
from gatekeeper.services.ledger.readiness import is_fresh
from gatekeeper.services.ledger.room import NeedsLockError, Room
from gatekeeper.services.rules import Rules
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.storage.quick import NotReadError, NotWrittenError, QuickLedger

_logger: Final = logging.getLogger("gatekeeper")

CONTENDED_SECONDS: Final = 0.25
"""How long an account that somebody else writes too is left to the locking way."""


MAX_CONTENDED: Final = 10_000
"""Of how many accounts that is kept in mind before those that are over are forgotten."""


class _Left:
    """The outcome of a command that is left to the locking way."""


LEFT: Final = _Left()


class QuickWay:
    """Carries out batches on a `QuickLedger`; `mirror` is shared with the locking way."""

    def __init__(self, quick: QuickLedger, rules: Rules, mirror: Mirror) -> None:
        self._quick = quick
        self._rules = rules
        self._mirror = mirror
        self._contended: dict[AccountKey, float] = {}

    async def carry_out(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """Each command's outcome, or LEFT. That the answer to a write was lost is an outcome of
        those commands that were in it."""
        outcomes: list[Outcome] = [LEFT] * len(commands)
        try:
            await self._rounds(commands, outcomes)
        except NotReadError:
            _logger.info("a quick read failed", exc_info=True)
        return outcomes

    async def _rounds(self, commands: Sequence[Command[Any]], outcomes: list[Outcome]) -> None:
        asked = [n for n, command in enumerate(commands) if command.is_quick]
        asked = [n for n in asked if not self.is_contended(commands[n].key)]
        refused = await self._round(commands, asked, outcomes, read_all=False)
        if refused:
            for n in refused:
                outcomes[n] = LEFT
            await self._round(commands, refused, outcomes, read_all=True)

    async def _round(
        self,
        commands: Sequence[Command[Any]],
        asked: Sequence[int],
        outcomes: list[Outcome],
        *,
        read_all: bool,
    ) -> list[int]:
        """Decide and write; returns the commands that were refused by what was only in mind."""
        if not asked:
            return []
        keys = {commands[n].key for n in asked}
        read = await self._read(commands, asked, keys, read_all=read_all)
        now = self._quick.now()
        if now is None:
            return []  # none of the accounts is there yet
        desks = self._desks(keys, now)
        sure = {key for key in read if self._is_written(key)}
        holds = self._holds([commands[n] for n in asked])
        room = Room(self._rules, desks, tx=None, holds=holds, receipts={})
        refused: list[int] = []
        for n in asked:
            key = commands[n].key
            before = desks[key].account if key in desks else None
            try:
                outcomes[n] = commands[n].decide(room)
            except (NeedsLockError, LedgerInvariantError):  # or what was read does not fit together
                continue
            except GatekeeperError as error:
                if commands[n].key in sure:
                    outcomes[n] = error
                else:
                    refused.append(n)
            except Exception:
                _logger.exception("a command was not decided in the quick way")
            else:
                if desks[key].account is before and key not in sure:
                    refused.append(n)  # nothing is written, so that nothing would be checked
        await self._write(commands, asked, desks, outcomes, now)
        return refused

    async def _read(
        self,
        commands: Sequence[Command[Any]],
        asked: Sequence[int],
        keys: set[AccountKey],
        *,
        read_all: bool,
    ) -> set[AccountKey]:
        """Read what is not in mind; returns the accounts that were read."""
        unknown: set[AccountKey] = set()
        wanted: set[tuple[str, str]] = set()
        for n in asked:
            command = commands[n]
            known = self._mirror.get(command.key)
            held = [key for key in command.hold_keys if command.needs_holds]
            is_in_mind = known is not None and all(known.hold(id_) for _, id_ in held)
            if not is_in_mind or read_all:
                unknown.add(command.key)
                wanted.update(held)
        if not unknown and self._quick.now() is not None:
            return unknown
        await _all_done([self._mirror.under_way(key) for key in unknown])
        found = await self._quick.read(unknown or keys, wanted)
        self._mirror.learn(found.accounts, found.holds.values())
        for key, account in found.accounts.items():
            version = found.versions.get(key[0])
            if account.fresh is None or account.fresh.version != version:
                self._mirror.forget(key)  # it has to be brought up to date
        return unknown

    def _desks(self, keys: set[AccountKey], now: datetime) -> dict[AccountKey, Desk]:
        desks: dict[AccountKey, Desk] = {}
        for key in keys:
            known = self._mirror.get(key)
            account = None if known is None else known.latest
            if account is not None and account.fresh and self._is_usable(account, now):
                desk = desks[key] = Desk(account, now, self._rules.policy_of(key[1]))
                desk.posting.customer_version = account.fresh.version
        return desks

    def _holds(self, commands: Iterable[Command[Any]]) -> dict[tuple[str, str], Hold]:
        """The holds of the commands, those that are in mind."""
        found: dict[tuple[str, str], Hold] = {}
        for command in commands:
            known = self._mirror.get(command.key)
            for key in command.hold_keys:
                hold = None if known is None else known.hold(key[1])
                if hold is not None:
                    found[key] = hold
        return found

    def _is_written(self, key: AccountKey) -> bool:
        """Whether the account is in mind as it was read, and not as it is about to be."""
        known = self._mirror.get(key)
        return known is not None and known.ahead is None

    def _is_usable(self, account: Account, now: datetime) -> bool:
        fresh = account.fresh
        if fresh is None or not is_fresh(account, self._rules, fresh.version, now):
            return False
        return not has_due_holds(account, now)

    async def _write(
        self,
        commands: Sequence[Command[Any]],
        asked: Sequence[int],
        desks: dict[AccountKey, Desk],
        outcomes: list[Outcome],
        now: datetime,
    ) -> None:
        """Write what can be written in this way."""
        changed = [desk for desk in desks.values() if not desk.posting.is_empty]
        plain = [desk.posting for desk in changed if _is_plain(desk)]
        ends = await self._write_after(plain, now) if plain else {}
        for n in asked:
            key = commands[n].key
            if key not in desks or desks[key].posting.is_empty:
                continue
            end = ends.get(key, False)
            if isinstance(end, StoreUnavailableError) and not _is_refused(outcomes[n]):
                outcomes[n] = end
            elif end is not True:  # what was refused for want of it is decided anew, too
                outcomes[n] = LEFT

    async def _write_after(
        self, postings: Sequence[Posting], now: datetime
    ) -> dict[AccountKey, bool | StoreUnavailableError]:
        """Write postings, each once the one that it builds on has been written.

        Returns whether each account was; an error if nobody knows.
        """
        loop = asyncio.get_running_loop()
        before = [self._mirror.under_way(posting.key) for posting in postings]
        ends = [loop.create_future() for _ in postings]
        for posting, end in zip(postings, ends, strict=True):
            self._mirror.begin(posting, end)
        written: set[AccountKey] = set()
        unknown: StoreUnavailableError | None = None
        ready: list[Posting] = []
        try:
            await _all_done(before)
            ready = [
                p for p, end in zip(postings, before, strict=True) if end is None or end.result()
            ]
            if ready:
                written = await self._quick.write(ready, now)
        except NotWrittenError:
            _logger.info("a quick write was refused", exc_info=True)
        except StoreUnavailableError as error:
            unknown = error
        finally:
            for posting, end in zip(postings, ends, strict=True):
                if posting.key in written:
                    self._mirror.wrote(posting)
                else:
                    self._mirror.forget(posting.key)
                end.set_result(posting.key in written)
        sent = {posting.key for posting in ready}
        self._note_contention(sent - written)
        return {
            posting.key: unknown if unknown and posting.key in sent else posting.key in written
            for posting in postings
        }

    def _note_contention(self, keys: Iterable[AccountKey]) -> None:
        now = time.monotonic()
        until = now + CONTENDED_SECONDS
        if len(self._contended) > MAX_CONTENDED:
            self._contended = {key: end for key, end in self._contended.items() if end > now}
        for key in keys:
            self._contended[key] = until

    def is_contended(self, key: AccountKey) -> bool:
        """Whether somebody else writes the account too."""
        until = self._contended.get(key)
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        del self._contended[key]
        return False


async def _all_done(futures: Iterable["asyncio.Future[bool] | None"]) -> None:
    """Wait for what is under way, without taking it down when the waiting is cancelled."""
    open_ = [future for future in futures if future is not None and not future.done()]
    if open_:
        await asyncio.wait(open_)


def _is_refused(outcome: Outcome) -> bool:
    return outcome is LEFT or isinstance(outcome, GatekeeperError)


def _is_plain(desk: Desk) -> bool:
    """Whether all that the desk has come to can be written in the quick way."""
    posting = desk.posting
    return not (posting.grants or posting.caps or posting.receipts or desk.told)
