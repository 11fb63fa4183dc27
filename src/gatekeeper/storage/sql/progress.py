"""How far long work has come."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, or_, update

from gatekeeper.storage.progress import Milestone, Progress
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.tables import progress

_GET: Final = select_of(progress, Milestone).where(progress.c.name == bindparam("work"))
_LEASE: Final = (
    update(progress)
    .where(
        progress.c.name == bindparam("work"),
        or_(progress.c.leased_until.is_(None), progress.c.leased_until <= bindparam("now")),
    )
    .values(leased_until=bindparam("until"))
)
_RENEW: Final = (
    update(progress)
    .where(progress.c.name == bindparam("work"), progress.c.leased_until == bindparam("held"))
    .values(leased_until=bindparam("until"))
)


class SqlProgress(Aggregate, Progress):
    """`Progress` over the table `progress`."""

    def get(self, name: str) -> Milestone | None:
        rows = self._connection.execute(_GET, {"work": name})
        return struct_of(rows.mappings().one_or_none(), Milestone)

    def put(self, name: str, state: str, at: datetime) -> None:
        self._connection.execute(
            self._dialect.upsert(progress, keep=("leased_until",)),
            columns_of(Milestone(name=name, state=state, updated_at=at)),
        )

    def lease(self, name: str, now: datetime, until: datetime, *, state: str) -> bool:
        first = Milestone(name=name, state=state, updated_at=now, leased_until=until)
        if self._changed(self._dialect.insert_new(progress), columns_of(first)):
            return True
        return bool(self._changed(_LEASE, {"work": name, "now": now, "until": until}))

    def renew(self, name: str, held: datetime, until: datetime | None) -> bool:
        return bool(self._changed(_RENEW, {"work": name, "held": held, "until": until}))
