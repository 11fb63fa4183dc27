"""pgbench that stores events as plainly as can be: a prepared INSERT for each, in a transaction of
its own.

No signature is checked, nothing is parsed, and nobody learns whether the event was new: a row comes
from the script's variables. Every fifth is one that is there already, which is left alone, as with
us. The body is a parameter, sent anew each time.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from benchmarks._databases import PostgresDatabase
from benchmarks._pgbench import PgbenchError, failed_in, read_logs
from benchmarks._samples import Sample, sample_of
from tests.services.postgres import SUPERUSER, binaries
from tests.services.process import LOOPBACK

BARE: Final = "bare_inbox"
OURS: Final = "gatekeeper_inbox"

_SCRIPT: Final = """\
\\set n :n + 1
\\set k CASE WHEN :n % {every} = 0 THEN :n - 1 ELSE :n END
INSERT INTO {table} (key, event_id, type, livemode, api_version, object_type, object_id, object_key,
  created_at, received_at, payload, status, attempts, due_at)
SELECT '/' || x.id, x.id, 'invoice.paid', false, '2026-06-24.dahlia', 'invoice', 'in_' || x.id,
  'test//invoice/in_' || x.id, now(), now(), CAST(:body AS bytea), 'pending', 0, now()
FROM (SELECT 'evt_{prefix}_' || CAST(:client_id AS text) || '_' || CAST(:k AS text)) AS x(id)
ON CONFLICT (key) DO NOTHING;
"""

_THREADS: Final = 2
_PATIENCE_SECONDS: Final = 300


class Inserting:
    """pgbench's side, into one table of a database."""

    def __init__(self, title: str, port: int, database: PostgresDatabase, table: str) -> None:
        self.title = title
        self.database = database
        self.table = table
        self._port = port

    def run(self, events: int, clients: int, every: int, prefix: str, body: bytes) -> Sample:
        """Insert so many, duplicates included; how fast.

        Raises:
            PgbenchError: it failed, or there are not as many rows as there should be.
        """
        self.database.run([f"TRUNCATE {self.table}"])
        self.database.settle()
        each = -(-events // clients)
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "insert.sql"
            script.write_text(_SCRIPT.format(table=self.table, every=every, prefix=prefix))
            command = [
                str(binaries() / "pgbench"),
                *("-h", LOOPBACK, "-p", str(self._port), "-U", SUPERUSER, "-n"),
                *("-M", "prepared", "-f", str(script), "-l", "--log-prefix", f"{folder}/log"),
                *("-c", str(clients), "-j", str(min(_THREADS, clients)), "-t", str(each)),
                *("-D", "n=0", "-D", f"body={body.decode()}", self.database.name),
            ]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,  # its error text is worth more than the exception's
            )
            if done.returncode or failed_in(done.stdout) != 0:
                raise PgbenchError(f"{done.stdout}\n{done.stderr}")
            inserts = read_logs(Path(folder))
        rows = self.database.number(f"SELECT count(*) FROM {self.table}")
        wanted = clients * (each - each // every)
        if rows != wanted:
            raise PgbenchError(f"{rows} rows are there and not {wanted}")
        first = min(ended - took for ended, took in inserts)
        seconds = max(ended for ended, _ in inserts) - first
        return sample_of([took for _, took in inserts], seconds, done=len(inserts))


def make_bare_table(database: PostgresDatabase) -> None:
    """The inbox's columns with a primary key, and no other index."""
    database.run(
        [
            f"CREATE TABLE {BARE} (LIKE {OURS} INCLUDING DEFAULTS INCLUDING STORAGE)",
            f"ALTER TABLE {BARE} ADD PRIMARY KEY (key)",
        ]
    )
