"""Commands that an idempotency key makes safe to send again (DESIGN invariant 4)."""

from abc import abstractmethod
from collections.abc import Collection
from typing import TypeVar

from gatekeeper.ledger import Receipt, check_replay
from gatekeeper.services.ledger.commands.base import Command
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.room import Room
from gatekeeper.storage.postings import AccountKey
from gatekeeper.types import check_id

R = TypeVar("R")


class KeyedCommand(Command[R]):
    """Acts once under its key, and tells the stored answer to whoever repeats the request.

    Raises:
        InvalidIdError: the key can't be one.
        IdempotencyConflictError: it was used for another request.
    """

    def __init__(self, key: AccountKey, idempotency_key: str | None = None) -> None:
        self.key = key
        if idempotency_key is not None:
            check_id(idempotency_key, "idempotency key")
        self._idempotency_key = idempotency_key

    @property
    def receipt_keys(self) -> Collection[tuple[str, str]]:
        used = self._idempotency_key
        return () if used is None else ((self.key[0], used),)

    @abstractmethod
    def fingerprint(self) -> str:
        """What makes two requests the same request."""

    @abstractmethod
    def act(self, room: Room, desk: Desk) -> R:
        """As `decide`, for a request that is new."""

    @abstractmethod
    def packed(self, result: R) -> str:
        """The answer as a receipt keeps it."""

    @abstractmethod
    def unpacked(self, answer: str, desk: Desk) -> R:
        """The answer of a receipt."""

    def decide(self, room: Room) -> R:
        desk, used = room.desk(self.key), self._idempotency_key
        if used is None:
            return self.act(room, desk)
        wanted = self.fingerprint()
        receipt = room.receipt(self.key[0], used)
        if receipt is not None:
            return self.unpacked(check_replay(receipt, wanted), desk)
        result = self.act(room, desk)
        answer = self.packed(result)
        room.put_receipt(desk, Receipt(self.key[0], used, wanted, answer, desk.now))
        return result
