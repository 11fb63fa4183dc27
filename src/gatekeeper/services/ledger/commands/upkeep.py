"""Commands that nobody asks for: what time brings about."""

from gatekeeper.ledger import notices
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
