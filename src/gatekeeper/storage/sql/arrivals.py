"""Storing events that arrive together: of many, which are new, and which are there as dead letters.

On PostgreSQL it is one statement whatever their number, for each round trip is waited for by all
whose events are in it; on SQLite a statement costs no round trip.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.dml import Insert

from gatekeeper.storage.quick import Arrived
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.storage.sql.tables import inbox, inbox_objects

_DEAD_OF: Final = select(inbox.c.key).where(
    inbox.c.key.in_(bindparam("keys", expanding=True)), inbox.c.status == EventStatus.DEAD
)
_OBJECTS: Final = select(inbox_objects.c.object_key).where(
    inbox_objects.c.object_key.in_(bindparam("objects", expanding=True))
)


def distinct(events: Iterable[InboxEvent]) -> dict[str, InboxEvent]:
    """The first event of each key, in the order of the keys: two that store the same events at the
    same time don't wait for each other in a ring."""
    first: dict[str, InboxEvent] = {}
    for event in events:
        first.setdefault(event.key, event)
    return dict(sorted(first.items()))


def new_object(object_key: str) -> dict[str, Any]:
    """The row of an object that no event has been about yet."""
    return {"object_key": object_key, "taken": 0, "used": 0, "terminal": False}


# -- in several statements -------------------------------------------------------------------------


def arrive(
    connection: Connection, events: Sequence[InboxEvent], insert: Insert, insert_object: Insert
) -> Arrived:
    """Store what is not there yet; `insert` and `insert_object` leave alone what is."""
    rows = [msgspec.structs.asdict(event) for event in events]
    new = set(connection.execute(insert.returning(inbox.c.key), rows).scalars())
    _add_objects(connection, {e.object_key for e in events if e.key in new}, insert_object)
    known = [event.key for event in events if event.key not in new]
    dead = connection.execute(_DEAD_OF, {"keys": known}).scalars() if known else ()
    return Arrived(new, set(dead))


def _add_objects(connection: Connection, object_keys: set[str], insert: Insert) -> None:
    if not object_keys:
        return
    found = connection.execute(_OBJECTS, {"objects": list(object_keys)}).scalars()
    rows = [new_object(object_key) for object_key in sorted(object_keys.difference(found))]
    if rows:
        connection.execute(insert, rows)


# -- in one ----------------------------------------------------------------------------------------

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_NAMES: Final = InboxEvent.__struct_fields__
_SAME: Final = {"received_at": "n.now", "due_at": "n.now", "attempts": "0"}
"""What is the same for all that arrive."""
_LATER: Final = {"leased_until", "last_error", "error_kind"}
"""What only an event has that was worked on."""
ARRIVING: Final = tuple(name for name in _NAMES if name not in _SAME and name not in _LATER)
"""The columns of an event that arrives."""


def _given(names: Sequence[str], place: Callable[[str], str]) -> str:
    """Rows from parameters that are an array for each column."""
    arrays = (f"CAST({place(name)} AS {_type(name)}[])" for name in names)
    return f"SELECT * FROM unnest({', '.join(arrays)}) AS x({', '.join(names)})"  # noqa: S608


def _type(name: str) -> str:
    return inbox.c[name].type.compile(_DIALECT)


def _statement(given: str, columns: Mapping[str, str], more: str = "") -> str:
    """What stores the rows `given`, and returns the keys of the new ones and of the dead.

    Objects are looked up first: ON CONFLICT would wait for whoever is updating such a row, which a
    webhook must not. What is dead is seen as it was before the statement.
    """
    return f"""
WITH given AS MATERIALIZED ({given}),
stored AS (
  INSERT INTO {inbox.name} ({", ".join(columns)})
  SELECT {", ".join(columns.values())} FROM given{more} ORDER BY key
  ON CONFLICT (key) DO NOTHING
  RETURNING key, object_key
),
made AS (
  INSERT INTO {inbox_objects.name} (object_key, taken, used, terminal)
  SELECT DISTINCT s.object_key, 0, 0, false FROM stored s
  WHERE NOT EXISTS (SELECT FROM {inbox_objects.name} o WHERE o.object_key = s.object_key)
  ORDER BY s.object_key
  ON CONFLICT (object_key) DO NOTHING
)
SELECT key, true AS is_new FROM stored
UNION ALL
SELECT i.key, false FROM given g JOIN {inbox.name} i ON i.key = g.key
WHERE i.status = '{EventStatus.DEAD}'
"""  # noqa: S608 - the names are constants


_ARRIVE: Final = text(
    _statement(_given(_NAMES, lambda name: f":{name}"), {name: name for name in _NAMES})
)


def arrive_at_once(connection: Connection, events: Sequence[InboxEvent]) -> Arrived:
    """`arrive` by one statement, on PostgreSQL."""
    columns = {name: [getattr(event, name) for event in events] for name in _NAMES}
    return arrived_of(connection.execute(_ARRIVE, columns))


ARRIVE_ALONE: Final = _statement(
    _given(ARRIVING, lambda name: f"${ARRIVING.index(name) + 2}"),
    {name: name for name in ARRIVING} | _SAME,
    ", (SELECT coalesce(CAST($1 AS timestamptz), clock_timestamp()) AS now) AS n",
)
"""The same in asyncpg's words, to stand alone: $1 is the time, NULL for the database's own."""


def arrived_of(rows: Iterable[Any]) -> Arrived:
    """What such a statement returned."""
    arrived = Arrived(set(), set())
    for key, is_new in rows:
        (arrived.new if is_new else arrived.dead).add(key)
    return arrived
