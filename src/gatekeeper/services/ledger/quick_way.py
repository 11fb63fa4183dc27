"""The quick way through a batch: decide by what is in mind, and write it in one statement.

An account that somebody else has written in between is read again, and its commands are decided
anew with the next batch. Whatever does not fit (an account that is not up to date, an idempotency
key, a threshold that was crossed) is left to the locking way. A refusal is never decided by what is
in mind: the account is read again first.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from gatekeeper.errors import GatekeeperError, LedgerInvariantError, StoreUnavailableError
from gatekeeper.ledger import Account, Hold
from gatekeeper.services.ledger.batch import AGAIN, Outcome
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.ledger.contention import Contention
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.mirror import Mirror
from gatekeeper.services.ledger.overdue import has_due_holds
from gatekeeper.services.ledger.readiness import is_fresh
from gatekeeper.services.ledger.room import NeedsLockError, Room
from gatekeeper.services.rules import Rules
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.storage.quick import NotReadError, NotWrittenError, QuickLedger

_logger: Final = logging.getLogger("gatekeeper")

QUICK_LANES: Final = 2
"""Batches under way at once: one is decided while the database writes the other."""


class _Left:
    """The outcome of a command that is left to the locking way."""


LEFT: Final = _Left()


class _End(Enum):
    """What became of a posting: if it was not written, because its account had moved on, or the one
    it builds on was not written, or for another reason."""

    WRITTEN = auto()
    MOVED = auto()
    NOT_WRITTEN = auto()


class QuickWay:
    """Carries out batches on a `QuickLedger`; `mirror` is shared with the locking way."""

    def __init__(self, quick: QuickLedger, rules: Rules, mirror: Mirror) -> None:
        self._quick = quick
        self._rules = rules
        self._mirror = mirror
        self._contention = Contention()
        self._doubted: set[AccountKey] = set()

    def depth(self, key: AccountKey) -> int:
        """How many batches an account may be in at once: one may build on another, unless what is
        in mind of the account has to be read again."""
        return 1 if key in self._doubted or self._contention.is_contended(key) else QUICK_LANES

    async def carry_out(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """Each command's outcome, or LEFT, or AGAIN. That the answer to a write was lost is an
        outcome of those commands that were in it."""
        outcomes: list[Outcome] = [LEFT] * len(commands)
        hopeless = {one.key for one in commands if self._contention.is_hopeless(one.key)}
        self._contention.won(hopeless)  # they will be, once they are locked
        asked = [n for n, one in enumerate(commands) if one.is_quick and one.key not in hopeless]
        if asked:
            try:
                await self._decide_and_write(commands, asked, outcomes)
            except NotReadError:
                _logger.info("a quick read failed", exc_info=True)
        return outcomes

    async def _decide_and_write(
        self, commands: Sequence[Command[Any]], asked: Sequence[int], outcomes: list[Outcome]
    ) -> None:
        keys = {commands[n].key for n in asked}
        read = await self._read([commands[n] for n in asked], keys)
        now = self._quick.now()
        if now is None:
            return  # none of the accounts is there yet
        desks = self._desks(keys, now)
        sure = {key for key in read if self._is_written(key)}
        holds = self._holds([commands[n] for n in asked])
        room = Room(self._rules, desks, tx=None, holds=holds, receipts={})
        doubtful: list[int] = []
        for n in asked:
            key = commands[n].key
            before = desks[key].account if key in desks else None
            try:
                outcomes[n] = commands[n].decide(room)
            except (NeedsLockError, LedgerInvariantError):  # or what was read does not fit together
                continue
            except GatekeeperError as error:
                outcomes[n] = error
                if key not in sure:
                    doubtful.append(n)
            except Exception:
                _logger.exception("a command was not decided in the quick way")
            else:
                if desks[key].account is before and key not in sure:
                    doubtful.append(n)  # nothing is written, so that nothing would be checked
        await self._write(commands, asked, desks, outcomes, now)
        for n in doubtful:
            outcomes[n] = AGAIN
            self._doubted.add(commands[n].key)

    async def _read(
        self, commands: Iterable[Command[Any]], keys: set[AccountKey]
    ) -> set[AccountKey]:
        """Read what is not in mind, or in doubt; returns the accounts that were read."""
        doubted = {
            key for key in keys if key in self._doubted or self._contention.is_contended(key)
        }
        unknown: set[AccountKey] = set()
        wanted: set[tuple[str, str]] = set()
        for command in commands:
            known = self._mirror.get(command.key)
            held = [key for key in command.hold_keys if command.needs_holds]
            is_in_mind = known is not None and all(known.hold(id_) for _, id_ in held)
            if not is_in_mind or command.key in doubted:
                unknown.add(command.key)
                wanted.update(held)
        if not unknown and self._quick.now() is not None:
            return unknown
        await _all_done([self._mirror.under_way(key) for key in unknown])
        found = await self._quick.read(unknown or keys, wanted)
        self._doubted -= unknown
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
            end = ends.get(key, _End.NOT_WRITTEN)
            if end is _End.MOVED:  # what was refused for want of it is decided anew, too
                outcomes[n] = AGAIN
            elif isinstance(end, StoreUnavailableError) and not _is_refused(outcomes[n]):
                outcomes[n] = end
            elif end is not _End.WRITTEN:
                outcomes[n] = LEFT

    async def _write_after(
        self, postings: Sequence[Posting], now: datetime
    ) -> "dict[AccountKey, _End | StoreUnavailableError]":
        """Write postings, each once the one that it builds on has been written.

        Returns what became of each account; an error if nobody knows.
        """
        loop = asyncio.get_running_loop()
        before = [self._mirror.under_way(posting.key) for posting in postings]
        ends = [loop.create_future() for _ in postings]
        for posting, end in zip(postings, ends, strict=True):
            self._mirror.begin(posting, end)
        written: set[AccountKey] = set()
        other: _End | StoreUnavailableError = _End.MOVED
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
            other = _End.NOT_WRITTEN
        except StoreUnavailableError as error:
            other = error
        finally:
            for posting, end in zip(postings, ends, strict=True):
                if posting.key in written:
                    self._mirror.wrote(posting)
                else:
                    self._mirror.forget(posting.key)
                end.set_result(posting.key in written)
        sent = {posting.key for posting in ready}
        self._contention.won(written)
        if other is _End.MOVED:
            self._contention.lost(sent - written)
        ends_by_key = dict.fromkeys((posting.key for posting in postings), _End.MOVED)
        return ends_by_key | dict.fromkeys(sent, other) | dict.fromkeys(written, _End.WRITTEN)


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
