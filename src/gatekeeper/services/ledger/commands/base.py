"""What every command is: it says what it has to read, and decides by it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

from gatekeeper.ledger import Change, Hold
from gatekeeper.services.ledger.room import Room
from gatekeeper.storage.postings import AccountKey

R = TypeVar("R")

Holds = Mapping[tuple[str, str], Hold]
"""Holds by their customer and id."""


class Command(ABC, Generic[R]):
    """Something to be done to the account `key`, all of it or nothing.

    Attributes:
        needs_holds: whether the holds of `hold_keys` must be there.
        is_quick: whether it can be decided by the account and its holds alone.
    """

    key: AccountKey
    needs_holds = True
    is_quick = False

    @property
    def hold_keys(self) -> Collection[tuple[str, str]]:
        """The holds that have to be read, by customer and id."""
        return ()

    @property
    def receipt_keys(self) -> Collection[tuple[str, str]]:
        """The receipts that have to be read, by customer and idempotency key."""
        return ()

    def scopes(self, holds: Holds) -> Iterable[str]:
        """The parts of the account whose caps have to be read."""
        return ()

    def undo(self, result: object) -> "Command[Any] | None":
        """What takes a result back that nobody has waited for."""
        return None

    @abstractmethod
    def decide(self, room: Room) -> R:
        """Carry it out on its account's desk.

        Raises:
            GatekeeperError: it is refused; nothing changes.
        """


def hold_of(change: Change) -> Hold:
    """The hold of a change to a hold."""
    if change.hold is None:
        raise AssertionError("The engine returns the hold of every command on a hold.")
    return change.hold
