"""The checker: all rules over one moment of a database, and over what the workers were told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bank import packed, told
from tests.bank.journal import Journals, read_journals
from tests.bank.reading import Row, read_at_one_moment
from tests.bank.rules import RULES

SHOWN_BREACHES: Final = 20
SHOWN_ENTRIES: Final = 12


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold, and the row that shows it."""

    rule: str
    row: Row

    @property
    def account(self) -> tuple[str, str] | None:
        """The account that it is about, if it is about one."""
        if "customer" not in self.row or "unit" not in self.row:
            return None
        return self.row["customer"], self.row["unit"]


async def check(url: str, journals: Path | None = None) -> list[Breach]:
    """The breaches of every rule, at one moment.

    Args:
        journals: the folder of the workers' journals; None if there were no workers. They may be
            at work.
    """
    before = Journals() if journals is None else read_journals(journals)
    queries = (*(rule.sql for rule in RULES), *packed.QUERIES, *told.QUERIES)
    rows = await read_at_one_moment(url, *queries)
    after = Journals() if journals is None else read_journals(journals)

    found = [
        Breach(rule.name, row) for rule, broken in zip(RULES, rows, strict=False) for row in broken
    ]
    rest = rows[len(RULES) :]
    found += [Breach(*one) for one in packed.breaches(rest[: len(packed.QUERIES)])]
    if journals is not None:
        found += [Breach(*one) for one in told.breaches(rest[len(packed.QUERIES) :], before, after)]
    return found


async def report(url: str, breaches: list[Breach]) -> str:
    """The breaches for people: each with the last entries of its account."""
    lines = [f"{len(breaches)} breaches"]
    for breach in breaches[:SHOWN_BREACHES]:
        lines.append(f"- not so: {breach.rule}: {breach.row}")
        if breach.account is not None:
            lines += [f"    {row}" for row in await _last_entries(url, *breach.account)]
    return "\n".join(lines)


async def _last_entries(url: str, customer: str, unit: str) -> list[Row]:
    # Customers and units are the test's own words, without a quote in them.
    [rows] = await read_at_one_moment(
        url,
        "SELECT sequence, kind, posted_delta, held_delta, debt_delta, grant_id, hold_id, reference "
        f"FROM gatekeeper_entries WHERE customer = '{customer}' AND unit = '{unit}' "
        f"ORDER BY sequence DESC LIMIT {SHOWN_ENTRIES}",
    )
    return rows[::-1]
