"""What must be true of the ledger after each run, in plain SQL; and rows to begin with.

The rows are copies of ones that the gate itself has written, column by column, so that they are
what it would have written whatever columns a later schema adds.
"""

from collections.abc import Mapping
from typing import Final

from benchmarks._databases import Database

PREFIX: Final = "gatekeeper_"

_INVARIANTS: Final = {
    "posted and held are the sums of the entries": """
        SELECT count(*) FROM {prefix}accounts AS a LEFT JOIN (
            SELECT customer, unit, sum(posted_delta) AS posted, sum(held_delta) AS held
            FROM {prefix}entries GROUP BY customer, unit
        ) AS e ON e.customer = a.customer AND e.unit = a.unit
        WHERE a.posted <> coalesce(e.posted, 0) OR a.held <> coalesce(e.held, 0)""",
    "held is the sum of the open holds": """
        SELECT count(*) FROM {prefix}accounts AS a LEFT JOIN (
            SELECT customer, unit, sum(amount) AS held
            FROM {prefix}holds WHERE status = 'open' GROUP BY customer, unit
        ) AS h ON h.customer = a.customer AND h.unit = a.unit
        WHERE a.held <> coalesce(h.held, 0)""",
    "nothing is below zero": """
        SELECT count(*) FROM {prefix}accounts
        WHERE held < 0 OR posted - held < 0""",
    "entries are numbered without a gap": """
        SELECT count(*) FROM {prefix}accounts AS a LEFT JOIN (
            SELECT customer, unit, count(*) AS entries, max(sequence) AS last
            FROM {prefix}entries GROUP BY customer, unit
        ) AS e ON e.customer = a.customer AND e.unit = a.unit
        WHERE a.version <> coalesce(e.last, 0) OR coalesce(e.entries, 0) <> coalesce(e.last, 0)""",
}
"""Each counts the accounts of which it is not true."""

_CAPTURED: Final = "SELECT count(*) FROM {prefix}holds WHERE status = 'captured'"
_OPEN: Final = "SELECT count(*) FROM {prefix}holds WHERE status = 'open'"


class BrokenBooksError(AssertionError):
    """A benchmark whose ledger does not add up has measured nothing."""


class Books:
    """The ledger of one database, in our tables or in those of `_plain`; tell it of each run."""

    def __init__(self, database: Database, *, prefix: str = PREFIX) -> None:
        self._database = database
        self._prefix = prefix
        self._captured = self._number(_CAPTURED)

    def check(self, done: int) -> None:
        """After a run that has carried out `done` pairs.

        Raises:
            BrokenBooksError: naming what is not true.
        """
        for claim, statement in _INVARIANTS.items():
            if broken := self._number(statement):
                raise BrokenBooksError(f"{self._database.title}, {broken} accounts: {claim}")
        captured = self._number(_CAPTURED)
        if captured - self._captured != done:
            raise BrokenBooksError(
                f"{self._database.title}: {done} pairs were done, but "
                f"{captured - self._captured} holds captured"
            )
        if still_open := self._number(_OPEN):
            raise BrokenBooksError(f"{self._database.title}: {still_open} holds stayed open")
        self._captured = captured

    def _number(self, statement: str) -> int:
        return self._database.number(statement.format(prefix=self._prefix))


def copy_customer(database: Database, template: str, count: int) -> None:
    """Give customers c1, c2, ... (see `_load.name_of`) all the rows that `template` has."""
    statements = []
    for table, column in _tables_of_customers(database):
        columns = [name for name in database.columns(table) if name != column]
        statements.append(
            f"INSERT INTO {table} ({_names([column, *columns])}) "
            f"SELECT 'c' || n, {_names(columns)} FROM {table} CROSS JOIN {database.numbers(count)} "
            f"WHERE {_name(column)} = '{template}'"
        )
    database.run(statements)
    database.settle()


def copy_history(database: Database, customer: str, hold_id: str, pairs: int) -> None:
    """Add `pairs` times the two entries and the row of a hold that was released.

    What was held and released leaves the account's balances and grants as they are; only its
    numbering goes on.
    """
    account = f"customer = '{customer}' AND unit = 'credits'"
    first, last = (
        database.number(f"SELECT {which}(sequence) FROM gatekeeper_entries WHERE {of}")
        for which, of in (
            ("min", f"customer = '{customer}' AND hold_id = '{hold_id}'"),
            ("max", account),
        )
    )
    version = database.number(f"SELECT version FROM gatekeeper_accounts WHERE {account}")
    new_id = f"'{hold_id}-{version}-' || n"
    numbers = database.numbers(pairs)
    database.run(
        [
            _copies(
                database,
                "gatekeeper_entries",
                f"customer = '{customer}' AND hold_id = '{hold_id}'",
                numbers,
                {"hold_id": new_id, "sequence": f"{last} + (n - 1) * 2 + sequence - {first} + 1"},
            ),
            _copies(
                database,
                "gatekeeper_holds",
                f"customer = '{customer}' AND id = '{hold_id}'",
                numbers,
                {"id": new_id},
            ),
            f"UPDATE gatekeeper_accounts SET version = version + {2 * pairs} WHERE {account}",
        ]
    )
    database.settle()


def _copies(
    database: Database, table: str, where: str, numbers: str, changed: Mapping[str, str]
) -> str:
    columns = database.columns(table)
    values = ", ".join(changed.get(name, _name(name)) for name in columns)
    return (
        f"INSERT INTO {table} ({_names(columns)}) "
        f"SELECT {values} FROM {table} CROSS JOIN {numbers} WHERE {where}"
    )


def _tables_of_customers(database: Database) -> list[tuple[str, str]]:
    """Our tables whose rows belong to a customer, with the column that says to whom."""
    found = [(name, "customer") for name in database.tables_with("customer")]
    found.append((f"{PREFIX}customers", "id"))
    return sorted((table, column) for table, column in found if table.startswith(PREFIX))


def _names(columns: list[str]) -> str:
    return ", ".join(map(_name, columns))


def _name(column: str) -> str:
    return f'"{column}"'
