"""Keys under which clients make a request once."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, select, tuple_

from gatekeeper.storage.request_keys import RequestKey, RequestKeys
from gatekeeper.storage.sql.aggregate import Aggregate, columns_of, select_of, struct_of
from gatekeeper.storage.sql.tables import request_keys

_GET: Final = select_of(request_keys, RequestKey).where(
    request_keys.c.customer == bindparam("of_customer"), request_keys.c.key == bindparam("of_key")
)
_FORGET: Final = delete(request_keys).where(
    request_keys.c.customer == bindparam("of_customer"), request_keys.c.key == bindparam("of_key")
)
_PLACE: Final = (request_keys.c.customer, request_keys.c.key)
_PRUNE: Final = delete(request_keys).where(
    tuple_(*_PLACE).in_(
        select(*_PLACE)
        .where(request_keys.c.created_at < bindparam("before"))
        .order_by(request_keys.c.created_at)
        .limit(bindparam("at_most"))
    )
)


class SqlRequestKeys(Aggregate, RequestKeys):
    """`RequestKeys` over the table `request_keys`."""

    def use(self, used: RequestKey) -> RequestKey:
        if self._changed(self._dialect.insert_new(request_keys), columns_of(used)):
            return used
        which = {"of_customer": used.customer, "of_key": used.key}
        rows = self._connection.execute(_GET, which)
        # It may have been erased or pruned in between, by another transaction.
        return struct_of(rows.mappings().one_or_none(), RequestKey) or used

    def forget(self, used: RequestKey) -> None:
        self._changed(_FORGET, {"of_customer": used.customer, "of_key": used.key})

    def prune(self, before: datetime, limit: int) -> int:
        return self._changed(_PRUNE, {"before": before, "at_most": limit})
