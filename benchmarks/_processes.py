"""One ledger, several processes: the clients are shared out among programs with a gate each.

Run as `python -m benchmarks._processes URL`, this is such a program: it opens its gate, reads what
to do from standard input, a line for each run, and answers with a line.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from benchmarks import _program
from benchmarks._books import Books
from benchmarks._gates import new_gate, pair_of
from benchmarks._load import Workload, record
from benchmarks._pace import Pace
from benchmarks._program import Program
from benchmarks._samples import Recorder, Sample

_MODULE: Final = "benchmarks._processes"


class Processes:
    """Our side of a comparison, with the clients shared out among processes."""

    def __init__(self, workers: Sequence[Program], books: Books) -> None:
        count = len(workers)
        self.title = f"Gatekeeper, {count} process{'es' if count > 1 else ''}"
        self._workers = workers
        self._books = books

    def run(self, clients: int, workload: Workload, pace: Pace) -> Sample:
        """Run the load once in all processes, and check the books."""
        share, rest = divmod(clients, len(self._workers))
        first = 0
        for number, worker in enumerate(self._workers):
            own = share + (number < rest)
            worker.ask(
                clients=own,
                first=first,
                customers=list(workload.customers),
                seconds=pace.seconds,
                warm_up=pace.warm_up,
            )
            first += own
        total = Recorder(0.0, pace.seconds)
        for worker in self._workers:
            found = json.loads(worker.answer())
            total.done += found["done"]
            total.refused += found["refused"]
            total.latencies.extend(found["latencies"])
        self._books.check(total.done)
        return total.sample()


@contextmanager
def started(count: int, url: str, books: Books) -> Iterator[Processes]:
    """So many processes, whose gates are open. `books` are those of all on this database."""
    with ExitStack() as stack:
        command = [sys.executable, "-m", _MODULE, url]
        workers = [
            stack.enter_context(_program.started(f"process {number}", command))
            for number in range(1, count + 1)
        ]
        for worker in workers:
            worker.answer()  # it is ready
        yield Processes(workers, books)


async def _serve(url: str) -> None:
    async with new_gate(url).connected() as gate:
        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            pace = Pace(runs=1, seconds=asked["seconds"], warm_up=asked["warm_up"], quick=False)
            found = await record(
                pair_of(gate), asked["clients"], asked["customers"], pace, first=asked["first"]
            )
            told = {
                "done": found.done,
                "refused": found.refused,
                "latencies": found.latencies.tolist(),
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
