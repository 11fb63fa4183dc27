"""Time functions against each other and print what came out as a table.

def run() -> list[Row]:
    with asyncio.Runner() as runner:
        ours, theirs = measure(repeated(check), repeated_async(runner, redis_get))
    return [Row("ours", ours.cells()), Row("theirs", theirs.cells() | less_cpu(ours, theirs))]
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

DEFAULT_ROUNDS: Final = 15
ROUND_SECONDS: Final = 0.05
"""How long one round of one function takes, about: long beside the clock's tick."""

Batch = Callable[[int], None]
"""Runs what is measured that many times."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what was measured, and its cells by the heading of their column."""

    subject: str
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a benchmark that has several."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one call costs: the medians of all rounds, in microseconds.

    `cpu_us` is the time of the whole process on a CPU, `wall_us` what a clock on the wall shows.
    """

    cpu_us: float
    wall_us: float

    def cells(self) -> dict[str, str]:
        """The columns of a `Row`."""
        return {"CPU us": f"{self.cpu_us:,.2f}", "wall us": f"{self.wall_us:,.2f}"}


def repeated(function: Callable[[], object]) -> Batch:
    """Calls `function` again and again. The loop itself costs about 0.02 us a call."""

    def batch(times: int) -> None:
        for _ in range(times):
            function()

    return batch


def repeated_async(runner: asyncio.Runner, function: Callable[[], Awaitable[object]]) -> Batch:
    """Awaits `function` again and again within one task, on the loop of `runner`."""

    async def loop(times: int) -> None:
        for _ in range(times):
            await function()

    return lambda times: runner.run(loop(times))


def measure(*batches: Batch, rounds: int = DEFAULT_ROUNDS) -> list[Measurement]:
    """Time each of `batches`, in turns, so that what else the machine does meets all alike.

    Each runs as often in a round as takes about `ROUND_SECONDS`; the first runs find that out and
    warm up. The garbage collector stays on: what a function leaves behind is part of its price.
    """
    times = [_calibrate(batch) for batch in batches]
    samples: list[list[tuple[float, float]]] = [[] for _ in batches]
    for _ in range(rounds):
        for batch, count, found in zip(batches, times, samples, strict=True):
            cpu_seconds, wall_seconds = _time(batch, count)
            found.append((cpu_seconds / count * 1e6, wall_seconds / count * 1e6))
    return [
        Measurement(
            cpu_us=statistics.median(cpu_us for cpu_us, _ in found),
            wall_us=statistics.median(wall_us for _, wall_us in found),
        )
        for found in samples
    ]


def less_cpu(ours: Measurement, theirs: Measurement, aim: float | None = None) -> dict[str, str]:
    """A cell that says how many times less CPU `ours` takes, and whether that reaches `aim`."""
    factor = theirs.cpu_us / ours.cpu_us
    text = f"{factor:,.1f} x"
    if aim is not None:
        text += f" (aim {aim:g} x: {'met' if factor >= aim else 'MISSED'})"
    return {"less CPU": text}


def render(title: str, rows: Sequence[Row]) -> str:
    """The table as text: the subject on the left, everything else to the right of its column."""
    headings = list(dict.fromkeys(heading for row in rows for heading in row.cells))
    lines = [["", *headings]]
    lines += [[row.subject, *(row.cells.get(heading, "") for heading in headings)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    return "\n".join([title, "-" * len(title), *shown])


def _calibrate(batch: Batch) -> int:
    """Find how often `batch` runs in about `ROUND_SECONDS`."""
    count = 1
    while True:
        # The least of three: one that was interrupted would make every round a single call.
        wall_seconds = min(_time(batch, count)[1] for _ in range(3))
        if wall_seconds >= ROUND_SECONDS / 4:
            return max(1, round(count * ROUND_SECONDS / wall_seconds))
        count *= 4


def _time(batch: Batch, count: int) -> tuple[float, float]:
    wall_start, cpu_start = time.perf_counter(), time.process_time()
    batch(count)
    return time.process_time() - cpu_start, time.perf_counter() - wall_start
