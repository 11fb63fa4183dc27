"""Commands on a hold that is there: capture, release, extend."""

from abc import abstractmethod
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

import msgspec

from gatekeeper.errors import HoldNotFoundError
from gatekeeper.ledger import (
    Capture,
    Extend,
    Hold,
    HoldCommand,
    Release,
    fingerprint,
    paths_of,
)
from gatekeeper.services.ledger.commands.base import Holds, hold_of
from gatekeeper.services.ledger.commands.keyed import KeyedCommand
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.reserving import check_ttl
from gatekeeper.services.ledger.room import Room
from gatekeeper.storage.postings import AccountKey
from gatekeeper.types import check_id


class HoldCommandOf(KeyedCommand[Hold]):
    """Do something to a hold; `idempotency_key` makes it safe to send again.

    Raises:
        HoldNotFoundError, HoldEndedError, and what the engine raises; nothing changes.
        CustomerNotFoundError: more is to be held for a customer who was deleted.
    """

    def __init__(self, key: AccountKey, hold_id: str, idempotency_key: str | None = None) -> None:
        super().__init__(key, idempotency_key)
        self.hold_id = check_id(hold_id, "hold")
        self.is_quick = idempotency_key is None

    @abstractmethod
    def command_at(self, now: datetime) -> HoldCommand:
        """What is asked of the engine."""

    @property
    def hold_keys(self) -> Collection[tuple[str, str]]:
        return ((self.key[0], self.hold_id),)

    def scopes(self, holds: Holds) -> Iterable[str]:
        hold = holds.get((self.key[0], self.hold_id))
        return () if hold is None else paths_of(hold.scope)

    def act(self, room: Room, desk: Desk) -> Hold:
        hold = room.hold(desk, self.hold_id)
        if hold is None or hold.unit != self.key[1]:
            raise HoldNotFoundError(f"Hold {self.hold_id!r} is not known.", hold=self.hold_id)
        command = self.command_at(desk.now)
        if isinstance(command, Extend) and command.add_amount:
            desk.check_living()
        return hold_of(desk.settle(hold, command))

    def packed(self, result: Hold) -> str:
        return msgspec.json.encode(result).decode()

    def unpacked(self, answer: str, desk: Desk) -> Hold:
        return msgspec.json.decode(answer, type=Hold)


class CaptureCommand(HoldCommandOf):
    """Spend from a hold; see `ledger.Capture`."""

    def __init__(
        self, key: AccountKey, hold_id: str, capture: Capture, idempotency_key: str | None = None
    ) -> None:
        super().__init__(key, hold_id, idempotency_key)
        self._capture = capture

    def command_at(self, now: datetime) -> HoldCommand:
        return self._capture

    def fingerprint(self) -> str:
        return fingerprint("capture", hold=self.hold_id, command=self._capture)


class ReleaseCommand(HoldCommandOf):
    """Give a hold back unspent."""

    def command_at(self, now: datetime) -> HoldCommand:
        return Release()

    def fingerprint(self) -> str:
        return fingerprint("release", hold=self.hold_id)


class ExtendCommand(HoldCommandOf):
    """Keep a hold for `ttl` from now, and claim `add_amount` more."""

    def __init__(
        self,
        key: AccountKey,
        hold_id: str,
        ttl: timedelta,
        add_amount: int = 0,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(key, hold_id, idempotency_key)
        self._ttl = check_ttl(ttl)
        self._add_amount = add_amount

    def command_at(self, now: datetime) -> HoldCommand:
        return Extend(expires_at=now + self._ttl, add_amount=self._add_amount)

    def fingerprint(self) -> str:
        return fingerprint(
            "extend",
            hold=self.hold_id,
            seconds=self._ttl.total_seconds(),
            add_amount=self._add_amount,
        )
