"""The load: so many clients, each of which begins its next pair when its last one has ended.

The clients are tasks of the event loop that the gate runs on, as the requests of a web app are:
what they cost is part of what is measured.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks._pace import Pace
from benchmarks._samples import Recorder, Sample
from gatekeeper.errors import UnavailableError

Pair = Callable[[str], Awaitable[object]]
"""Reserves one credit of a customer and captures it."""

BACK_OFF_SECONDS: Final = 0.01
"""How long a client that was refused waits: less than any Retry-After."""

HOT: Final = "hot"
MANY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Workload:
    """Whose credits are spent: each pair is on one of `customers`, drawn evenly."""

    title: str
    customers: Sequence[str]

    @property
    def is_hot(self) -> bool:
        """Whether all pairs are on one account."""
        return len(self.customers) == 1


def name_of(number: int) -> str:
    """The id of one of many customers, numbered from 1."""
    return f"c{number}"


WORKLOADS: Final = (
    Workload("one hot account", (HOT,)),
    Workload(f"{MANY:,} accounts", [name_of(number) for number in range(1, MANY + 1)]),
)
CUSTOMERS: Final = tuple(name for workload in WORKLOADS for name in workload.customers)


async def drive(pair: Pair, clients: int, customers: Sequence[str], pace: Pace) -> Sample:
    """Run the load once, as `record` does."""
    return (await record(pair, clients, customers, pace)).sample()


async def record(
    pair: Pair, clients: int, customers: Sequence[str], pace: Pace, *, first: int = 0
) -> Recorder:
    """Run the load once. A pair that has begun is ended, so that no hold stays open.

    A reserve that is refused for want of room (a full queue, a lost connection) is counted and
    tried again; any other error ends the benchmark. `first` is the number of the first client.
    """
    start = time.perf_counter() + pace.warm_up
    recorder = Recorder(start, start + pace.seconds)

    async def client(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - the same customers in every run
        last = len(customers) - 1
        while (begun := time.perf_counter()) < recorder.end:
            try:
                await pair(customers[chance.randint(0, last)])
            except UnavailableError:
                recorder.refused += 1
                await asyncio.sleep(BACK_OFF_SECONDS)
                continue
            recorder.add(begun, time.perf_counter())

    await asyncio.gather(*(client(number) for number in range(first, first + clients)))
    return recorder
