"""The sides of a comparison, and the rows of a table from what they did in turns."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from benchmarks._books import Books
from benchmarks._load import Pair, Workload, drive
from benchmarks._pace import Pace
from benchmarks._samples import Found, Sample, found_in
from benchmarks.table import Row


class Side(Protocol):
    """One of those compared."""

    title: str

    def run(self, clients: int, workload: Workload, pace: Pace) -> Sample:
        """Run the load once, and check what it has left behind."""


class LocalSide:
    """A side in this process: its load runs on the loop of `runner`, then its books are checked."""

    def __init__(self, title: str, pair: Pair, books: Books, runner: asyncio.Runner) -> None:
        self.title = title
        self._pair = pair
        self._books = books
        self._runner = runner

    def run(self, clients: int, workload: Workload, pace: Pace) -> Sample:
        """Run the load once, and check the books."""
        sample = self._runner.run(drive(self._pair, clients, workload.customers, pace))
        self._books.check(sample.done)
        return sample


def compare(
    sides: Sequence[Side], clients: int, workload: Workload, pace: Pace
) -> dict[str, Found]:
    """Run the sides in turns, so that what else the machine does meets all alike. By title."""
    samples: dict[str, list[Sample]] = {side.title: [] for side in sides}
    pace = pace.for_clients(clients)
    for _ in range(pace.runs):
        for side in sides:
            samples[side.title].append(side.run(clients, workload, pace))
    return {title: found_in(found) for title, found in samples.items()}


Verdict = Callable[[int, str, Mapping[str, Found]], Mapping[str, str]]
"""More cells of a row: for a number of clients, a side, and what all sides did."""


def rows_of(
    sides: Sequence[Side],
    client_counts: Sequence[int],
    workload: Workload,
    pace: Pace,
    verdict: Verdict,
) -> Iterator[Row]:
    """A row for each side at each number of clients."""
    for clients in client_counts:
        found = compare(sides, clients, workload, pace)
        for title, figures in found.items():
            cells = figures.cells() | dict(verdict(clients, title, found))
            yield Row(f"{clients:>3} client{'s' if clients > 1 else ' '}  {title}", cells)
