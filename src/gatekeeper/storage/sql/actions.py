"""What the back office has done."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, literal, tuple_

from gatekeeper.storage.actions import Action, ActionPlace, ActionQuery, Actions
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.tables import actions
from gatekeeper.storage.sql.types import UtcDateTime

_GET: Final = select_of(actions, Action).where(actions.c.id == bindparam("of_id"))
_LISTED: Final = select_of(actions, Action).order_by(actions.c.at.desc(), actions.c.id.desc())


class SqlActions(Aggregate, Actions):
    """`Actions` over the table `actions`."""

    def add(self, action: Action) -> bool:
        return self._changed(self._dialect.insert_new(actions), columns_of(action)) == 1

    def get(self, action_id: str) -> Action | None:
        row = self._connection.execute(_GET, {"of_id": action_id}).mappings().one_or_none()
        return struct_of(row, Action)

    def listed(
        self, query: ActionQuery, limit: int, before: ActionPlace | None = None
    ) -> Sequence[Action]:
        statement: Any = _LISTED.limit(limit)
        for name in ("customer", "actor", "kind"):
            if (wanted := getattr(query, name)) is not None:
                statement = statement.where(actions.c[name] == wanted)
        if query.since is not None:
            statement = statement.where(actions.c.at >= query.since)
        if query.until is not None:
            statement = statement.where(actions.c.at < query.until)
        if before is not None:
            passed = tuple_(literal(before[0], UtcDateTime()), literal(before[1]))
            statement = statement.where(tuple_(actions.c.at, actions.c.id) < passed)
        return [Action(**row) for row in self._connection.execute(statement).mappings()]
