"""What a run of a load generator found, and the medians of several runs.

The peers' programs use this too, in an environment of their own: nothing but the standard library.
"""

import json
import math
import statistics
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. `per_second` and the latencies are of the pairs that ended within the measured
    time; `done` counts all, those of the warm-up and of the drain too."""

    per_second: float
    p50_ms: float
    p99_ms: float
    done: int
    refused: int = 0

    def to_json(self) -> str:
        """One line, for a pipe."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read such a line."""
        return cls(**json.loads(line))


@dataclass(slots=True)
class Recorder:
    """Counts what the clients of one run do. Times are `time.perf_counter()`'s, in seconds."""

    start: float
    end: float
    done: int = 0
    refused: int = 0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, begun: float, ended: float) -> None:
        """One pair was carried out."""
        self.done += 1
        if self.start <= ended <= self.end:
            self.latencies.append(ended - begun)

    def sample(self) -> Sample:
        """What was found."""
        return sample_of(
            self.latencies, self.end - self.start, done=self.done, refused=self.refused
        )


def sample_of(latencies: Iterable[float], seconds: float, *, done: int, refused: int = 0) -> Sample:
    """The figures of pairs that took `latencies` seconds each, all ended within `seconds`."""
    ordered = sorted(latencies)
    return Sample(
        per_second=len(ordered) / seconds,
        p50_ms=percentile(ordered, 0.50) * 1e3,
        p99_ms=percentile(ordered, 0.99) * 1e3,
        done=done,
        refused=refused,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed; not a number if there are
    none."""
    if not ordered:
        return float("nan")
    return ordered[math.ceil(share * len(ordered)) - 1]


@dataclass(frozen=True, slots=True)
class Found:
    """The medians of several runs, and the slowest and fastest of them."""

    per_second: float
    p50_ms: float
    p99_ms: float
    slowest: float
    fastest: float
    refused: int

    def cells(self, what: str = "pairs/s") -> dict[str, str]:
        """The columns of a table's row."""
        cells = {
            what: f"{self.per_second:,.0f}",
            "of the runs": f"{self.slowest:,.0f}-{self.fastest:,.0f}",
            "p50 ms": _milliseconds(self.p50_ms),
            "p99 ms": _milliseconds(self.p99_ms),
        }
        return cells | ({"refused": f"{self.refused:,}"} if self.refused else {})


def _milliseconds(value: float) -> str:
    return f"{value:,.2f}" if value >= 1 else f"{value:.3f}"


def found_in(samples: Sequence[Sample]) -> Found:
    """The medians of several runs."""
    rates = [sample.per_second for sample in samples]
    return Found(
        per_second=statistics.median(rates),
        p50_ms=statistics.median(sample.p50_ms for sample in samples),
        p99_ms=statistics.median(sample.p99_ms for sample in samples),
        slowest=min(rates),
        fastest=max(rates),
        refused=sum(sample.refused for sample in samples),
    )
