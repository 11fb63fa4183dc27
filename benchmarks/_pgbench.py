"""pgbench with the smallest honest equivalent of a pair: two statements, prepared.

Each statement is one round trip and one transaction of its own, as our two commands are. The first
locks and changes the account if there is enough, and writes the hold and the entry; the second ends
the hold, once, and writes the account and the entry. The client learns the id of its hold and hands
it back, as a caller does. What they leave out is said in `_plain`.
"""

import math
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks._books import Books
from benchmarks._databases import PostgresDatabase
from benchmarks._load import HOT, Workload
from benchmarks._pace import Pace
from benchmarks._plain import PREFIX
from benchmarks._samples import Sample, sample_of
from tests.services.postgres import SUPERUSER, binaries
from tests.services.process import LOOPBACK

_RESERVE: Final = """\
WITH account AS (
  UPDATE plain_accounts
  SET held = held + 1, version = version + 1, last_entry_at = clock_timestamp()
  WHERE customer = {customer} AND unit = 'credits' AND posted - held >= 1
  RETURNING customer, unit, version, last_entry_at
), hold AS (
  INSERT INTO plain_holds (customer, id, unit, amount, created_at, expires_at, status, captured)
  SELECT customer, uuidv7()::text, unit, 1, last_entry_at, last_entry_at + interval '300 s',
    'open', 0
  FROM account
  RETURNING id
), entry AS (
  INSERT INTO plain_entries (customer, unit, sequence, kind, at, posted_delta, held_delta, hold_id)
  SELECT customer, unit, version, 'hold', last_entry_at, 0, 1, hold.id FROM account, hold
)
SELECT id FROM hold \\gset hold_
"""

_CAPTURE: Final = """\
WITH hold AS (
  UPDATE plain_holds SET status = 'captured', captured = amount, ended_at = clock_timestamp()
  WHERE customer = {customer} AND id = :hold_id AND status = 'open'
  RETURNING id, customer, unit, amount
), account AS (
  UPDATE plain_accounts AS a
  SET posted = posted - amount, held = held - amount, version = version + 1,
    last_entry_at = clock_timestamp()
  FROM hold WHERE a.customer = hold.customer AND a.unit = hold.unit
  RETURNING a.version, a.last_entry_at
)
INSERT INTO plain_entries (customer, unit, sequence, kind, at, posted_delta, held_delta, hold_id)
SELECT customer, unit, version, 'capture', last_entry_at, -amount, -amount, id FROM hold, account;
"""

_THREADS: Final = 2
_SLACK_SECONDS: Final = 120
_FAILED: Final = re.compile(r"number of failed transactions: (\d+)")


class PgbenchError(RuntimeError):
    """pgbench did not do what it was told."""


class Pgbench:
    """pgbench's side of a comparison, on a database that `_plain.seed_plain` has filled."""

    title = "pgbench, two prepared CTE statements"

    def __init__(self, port: int, database: PostgresDatabase) -> None:
        self._port = port
        self._database = database
        self._books = Books(database, prefix=PREFIX)

    def run(self, clients: int, workload: Workload, pace: Pace) -> Sample:
        """Run it once, and check its books. The figures are from its log of transactions, in the
        time after the warm-up: its own summary has no percentiles.

        Raises:
            PgbenchError: it failed, or a transaction of it did.
        """
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "pair.sql"
            script.write_text(_script(workload))
            command = [
                str(binaries() / "pgbench"),
                *("-h", LOOPBACK, "-p", str(self._port), "-U", SUPERUSER, "-n"),
                *("-M", "prepared", "-f", str(script), "-l", "--log-prefix", f"{folder}/log"),
                *("-c", str(clients), "-j", str(min(_THREADS, clients))),
                *("-T", str(math.ceil(pace.warm_up + pace.seconds)), self._database.name),
            ]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=pace.seconds + _SLACK_SECONDS,
                check=False,  # its error text is worth more than the exception's
            )
            if done.returncode or failed_in(done.stdout) != 0:
                raise PgbenchError(f"{done.stdout}\n{done.stderr}")
            sample = _measured(read_logs(Path(folder)), pace)
        self._books.check(sample.done)
        return sample


def _script(workload: Workload) -> str:
    if workload.is_hot:
        return (_RESERVE + _CAPTURE).format(customer=f"'{HOT}'")
    choose = f"\\set number random(1, {len(workload.customers)})\n"
    return choose + (_RESERVE + _CAPTURE).format(customer="'c' || :number::text")


def failed_in(output: str) -> int | None:
    """How many transactions failed, as pgbench says; None if it does not say."""
    failed = _FAILED.search(output)
    return None if failed is None else int(failed[1])


def read_logs(folder: Path) -> list[tuple[float, float]]:
    """When each transaction ended, and how long it took, in seconds. A line of the log is: client,
    number, microseconds, script, the second it ended, and its microseconds
    (https://www.postgresql.org/docs/current/pgbench.html, "Per-Transaction Logging")."""
    pairs = []
    for log in folder.glob("log*"):
        for line in log.read_text().splitlines():
            words = line.split()
            pairs.append((int(words[4]) + int(words[5]) / 1e6, int(words[2]) / 1e6))
    return pairs


def _measured(pairs: Sequence[tuple[float, float]], pace: Pace) -> Sample:
    first = min((ended - took for ended, took in pairs), default=0.0)
    start, end = first + pace.warm_up, first + pace.warm_up + pace.seconds
    measured = [took for ended, took in pairs if start <= ended <= end]
    return sample_of(measured, pace.seconds, done=len(pairs))
