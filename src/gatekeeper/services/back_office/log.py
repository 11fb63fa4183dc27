"""The record of what the back office has done, for whoever looks into it."""

from collections.abc import Sequence

from gatekeeper.storage.actions import Action, ActionPlace, ActionQuery
from gatekeeper.storage.port import Store
from gatekeeper.types import check_limit


class ActionLog:
    """The actions of one gate."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(
        self,
        query: ActionQuery | None = None,
        *,
        limit: int = 100,
        after: ActionPlace | None = None,
    ) -> Sequence[Action]:
        """Actions, the newest first; `after` is the place of the last of the page before.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        wanted = query or ActionQuery()
        return await self._store.read(lambda tx: tx.actions.listed(wanted, limit, after))
