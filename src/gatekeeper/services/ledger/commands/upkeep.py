"""Commands that nobody asks for by themselves: what time brings about, and what is watched for."""

from gatekeeper.ledger import Balance, balance_of, notices, watched
from gatekeeper.services.ledger.commands.base import Command
from gatekeeper.services.ledger.overdue import end_overdue
from gatekeeper.services.ledger.room import Room
from gatekeeper.storage.postings import AccountKey


class ExpireCommand(Command[int]):
    """End the overdue holds of an account; how many it were."""

    def __init__(self, key: AccountKey) -> None:
        self.key = key

    def decide(self, room: Room) -> int:
        desk = room.desk(self.key)
        end_overdue(room.tx, room.rules, desk)
        return desk.expired


class NoticeCommand(Command[int]):
    """Tell of the grants of an account that are about to expire; how many it were."""

    def __init__(self, key: AccountKey) -> None:
        self.key = key

    def decide(self, room: Room) -> int:
        desk = room.desk(self.key)
        change = notices(desk.account, desk.now, room.rules.policy_of(self.key[1]))
        desk.take(change)
        return len(change.signals)


class WatchCommand(Command[Balance]):
    """Have it told when less than `below` can be spent (None: never); the balance as it is now."""

    def __init__(self, key: AccountKey, below: int | None) -> None:
        self.key = key
        self._below = below

    def decide(self, room: Room) -> Balance:
        desk = room.desk(self.key)
        if self._below is not None:
            desk.check_living()
        if desk.account.version or self._below is not None:
            desk.take(watched(desk.account, self._below, desk.now))
        return balance_of(desk.account, desk.now)
