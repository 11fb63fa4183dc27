"""A process of the bank: so many tasks that do what chance tells them, until it is killed or asked
to stop."""

import asyncio
import logging
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bank.actions import Bank, Teller
from tests.bank.answers import FaultHandler
from tests.bank.hosting import HostTeller
from tests.bank.journal import SUFFIX, Journal
from tests.bank.shop import host_engine, new_gate

HOST_SHARE: Final = 0.12
"""How much of what a task does is done in a host transaction."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is started with. `lifeline` is the end of a pipe that closes when the
    supervisor has ended, however it did."""

    url: str
    folder: Path
    name: str
    seed: str
    tasks: int
    lifeline: int


def run(job: Job) -> None:
    """Work until SIGTERM, then close in order."""
    asyncio.run(_work(job))


async def _work(job: Job) -> None:
    loop = asyncio.get_running_loop()
    loop.add_reader(job.lifeline, os._exit, 1)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    journal = Journal(job.folder / f"{job.name}{SUFFIX}")
    logging.getLogger().addHandler(FaultHandler(journal))
    async with new_gate(job.url) as gate, host_engine(job.url) as engine:
        bank = Bank(gate, journal)

        async def task(number: int) -> None:
            rng = random.Random(f"{job.seed}/{job.name}/{number}")
            teller, host = Teller(bank, rng), HostTeller(bank, engine, rng)
            while not stop.is_set():
                await (host if rng.random() < HOST_SHARE else teller).act()
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for number in range(job.tasks):
                group.create_task(task(number))
