"""What the back office has done, in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from gatekeeper.storage.actions import Action, ActionPlace, ActionQuery, Actions
from gatekeeper.storage.memory.tables import Journal, Table


class MemoryActions(Actions):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._actions: Table[str, Action] = Table(journal)

    def add(self, action: Action) -> bool:
        return self._actions.insert(action.id, action)

    def get(self, action_id: str) -> Action | None:
        return self._actions.get(action_id)

    def listed(
        self, query: ActionQuery, limit: int, before: ActionPlace | None = None
    ) -> Sequence[Action]:
        found = [
            one
            for one in self._actions.values()
            if query.has(one) and (before is None or one.place < before)
        ]
        return sorted(found, key=lambda one: one.place, reverse=True)[:limit]

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer, and wipe what was said of them."""
        for one in self._actions.values():
            if one.actor == customer:
                self._actions.put(one.id, replace(one, actor=pseudonym))
        for one in self._actions.values():
            if one.customer == customer:
                plain = replace(
                    one,
                    customer=pseudonym,
                    subject=None,
                    reason="",
                    before=None,
                    after=None,
                    fingerprint="",
                )
                self._actions.put(one.id, plain)
