"""Any interleaving of reads, commits, invalidations and write-backs: nothing below a floor.

Hypothesis chooses the order in which two processes read a customer from a database, get the answer
of the read, commit, invalidate, forget by eviction, and let time pass.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatekeeper.cache import Cache, CachePolicy, MemoryCache
from gatekeeper.cache._base import LocalCache
from gatekeeper.cache.redis import RedisCache, RedisOptions
from gatekeeper.testing.conformance.cache import ManualTime, Sample, SampleCodec

CUSTOMER = "org"
POLICY = CachePolicy(max_customers=1)  # every other customer evicts ours, and its floor
FRESH_SECONDS = RedisOptions().fresh_seconds


@dataclass(eq=False)
class Read:
    """A read of the database whose answer is on its way."""

    value: Sample
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class World:
    """A database, the processes before it, and what has been told."""

    caches: list[Cache[Sample]]
    time: ManualTime
    version: int = 1
    reads: list[Read] = field(default_factory=list)
    callers: list[tuple[int, asyncio.Task[Sample]]] = field(default_factory=list)
    floors: dict[int, int] = field(default_factory=dict)
    told: list[tuple[float, int]] = field(default_factory=list)

    async def load(self) -> Sample:
        read = Read(Sample(self.version))
        self.reads.append(read)
        await read.arrived.wait()
        return read.value

    async def other(self) -> Sample:
        return Sample(1)

    async def commit(self, _: int) -> None:
        self.version += 1

    async def invalidate(self, process: int) -> None:
        version = self.version
        await self.caches[process].invalidate(CUSTOMER, version)
        self.floors[process] = version
        self.told.append((self.time.monotonic(), version))

    async def begin(self, process: int) -> None:
        cache = self.caches[process]
        floor = self.floors.get(process, 0)
        if len(self.caches) > 1 and cache.peek(CUSTOMER) is None and not self.flights(cache):
            # It has to ask outside, and there it finds what any process has told.
            floor = max((version for _, version in self.told), default=0)
        task = asyncio.create_task(cache.get_or_load(CUSTOMER, self.load))
        self.callers.append((floor, task))
        await self.breathe()

    async def answer(self, number: int) -> None:
        if self.reads:
            self.reads.pop(number % len(self.reads)).arrived.set()
            await self.breathe()

    async def evict(self, process: int) -> None:
        cache = self.caches[process]
        await cache.invalidate("somebody", 1)
        await cache.get_or_load("somebody else", self.other)

    async def wait(self, tenths: int) -> None:
        self.time.advance(FRESH_SECONDS * tenths / 2)

    async def breathe(self) -> None:
        """Let the tasks go on until each waits for the database or is done."""
        await asyncio.sleep(0)
        while sum(map(self.flights, self.caches)) > len(self.reads):  # noqa: ASYNC110 - see `eventually`
            await asyncio.sleep(0)

    @staticmethod
    def flights(cache: Cache[Sample]) -> int:
        assert isinstance(cache, LocalCache)
        return len(cache._flights)

    def check(self) -> None:
        now = self.time.monotonic()
        overdue = max((v for at, v in self.told if at <= now - FRESH_SECONDS), default=0)
        for process, cache in enumerate(self.caches):
            for value in (cache.peek(CUSTOMER), cache.last_known(CUSTOMER)):
                assert value is None or value.version >= self.floors.get(process, 0)
            served = cache.peek(CUSTOMER)
            if len(self.caches) > 1:
                assert served is None or served.version >= overdue
        for floor, task in self.callers:
            if task.done():
                assert task.result().version >= floor

    async def end(self) -> None:
        while any(not task.done() for _, task in self.callers):
            for read in self.reads:
                read.arrived.set()
            self.reads.clear()
            await asyncio.sleep(0)
        self.check()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["commit", "invalidate", "begin", "begin", "answer", "answer", "evict", "wait"]
        ),
        st.integers(0, 1),
    ),
    max_size=25,
)


async def live(
    make: Callable[[ManualTime], Cache[Sample]], processes: int, steps: list[tuple[str, int]]
) -> None:
    time = ManualTime()
    async with AsyncExitStack() as stack:
        caches = []
        for _ in range(processes):
            cache = make(time)
            stack.push_async_callback(cache.aclose)
            caches.append(cache)
        world = World(caches, time)
        for name, number in steps:
            argument = number if name in ("answer", "wait") else number % processes
            await getattr(world, name)(argument)
            world.check()
        await world.end()


@given(steps=STEPS)
@settings(max_examples=300)
def test_case_60_no_interleaving_serves_below_the_floor_in_one_process(
    steps: list[tuple[str, int]],
) -> None:
    asyncio.run(
        live(lambda time: MemoryCache(POLICY, clock=time.clock, monotonic=time.monotonic), 1, steps)
    )


@given(steps=STEPS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_case_60_no_interleaving_serves_below_the_floor_in_two_processes(
    redis_server_url: str, steps: list[tuple[str, int]]
) -> None:
    options = RedisOptions(namespace=f"test-{uuid4().hex}")
    asyncio.run(
        live(
            lambda time: RedisCache(
                redis_server_url,
                SampleCodec(),
                POLICY,
                options,
                clock=time.clock,
                monotonic=time.monotonic,
            ),
            2,
            steps,
        )
    )
