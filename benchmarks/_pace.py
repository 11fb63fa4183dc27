"""How long the ledger's benchmarks take: how many runs, of how many seconds each.

`BENCH_RUNS` and `BENCH_SECONDS` set them; `BENCH_QUICK=1` (or `--quick`) is a look, not a result.
"""

import os
from dataclasses import dataclass, replace
from typing import Final, Self

QUICK_VARIABLE: Final = "BENCH_QUICK"
RUNS_VARIABLE: Final = "BENCH_RUNS"
SECONDS_VARIABLE: Final = "BENCH_SECONDS"


@dataclass(frozen=True, slots=True)
class Pace:
    """Each figure is the median of `runs` runs of `seconds` each, after `warm_up` seconds that do
    not count."""

    runs: int
    seconds: float
    warm_up: float
    quick: bool

    def for_clients(self, clients: int) -> Self:
        """Many clients take longer until all of them are at it: the first pairs of 256 wait for one
        another."""
        return replace(self, warm_up=self.warm_up * max(1.0, clients / 64))

    @property
    def words(self) -> str:
        """For a table's title."""
        if self.runs == 1:
            return f"one run of {self.seconds:g} s: a look, not a result"
        return f"medians of {self.runs} runs of {self.seconds:g} s"


def pace() -> Pace:
    """What the environment asks for.

    Raises:
        ValueError: a variable is no number.
    """
    quick = os.environ.get(QUICK_VARIABLE, "") not in ("", "0")
    runs, seconds, warm_up = (1, 0.4, 0.1) if quick else (3, 1.2, 0.3)
    return Pace(
        runs=int(os.environ.get(RUNS_VARIABLE) or runs),
        seconds=float(os.environ.get(SECONDS_VARIABLE) or seconds),
        warm_up=warm_up,
        quick=quick,
    )
