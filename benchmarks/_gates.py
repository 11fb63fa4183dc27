"""The gate to measure: the schema and the settings that ship, and customers with credits."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks._books import Books, copy_customer
from benchmarks._databases import Database
from benchmarks._load import BACK_OFF_SECONDS, HOT, MANY, Pair
from benchmarks._side import LocalSide
from gatekeeper import Catalog, Gatekeeper, Plan, Settings, Unit
from gatekeeper.errors import UnavailableError

CREDITS: Final = 1_000_000_000
"""What each account begins with: more than a benchmark spends, and far from a number's end."""

_TEMPLATE: Final = "template"
_credits: Final = Unit("credits")


def new_gate(url: str, **settings: Any) -> Gatekeeper:
    """A closed gate on a database, with the default settings but for those given."""
    catalog = Catalog(plans=[Plan("free", default=True)], declares=[_credits])
    return Gatekeeper(catalog, Settings.load(database_url=url, **settings))


@contextmanager
def opened(gate: Gatekeeper, runner: asyncio.Runner) -> Iterator[Gatekeeper]:
    """The gate, open on the loop of `runner`, which may stand still in between."""
    runner.run(gate.__aenter__())
    try:
        yield gate
    finally:
        runner.run(gate.__aexit__(None, None, None))


@contextmanager
def opened_for_commands(gate: Gatekeeper, runner: asyncio.Runner) -> Iterator[Gatekeeper]:
    """The gate without its background work, on the loop of `runner`."""
    connected = gate.connected()
    runner.run(connected.__aenter__())
    try:
        yield gate
    finally:
        runner.run(connected.__aexit__(None, None, None))


def pair_of(gate: Gatekeeper) -> Pair:
    """What is measured: reserve one credit, capture it. Two commands, each durable by itself."""

    async def pair(customer: str) -> None:
        hold = await gate.reserve(customer, "credits", 1)
        while True:
            try:
                await gate.capture(hold.id, customer=customer)
            except UnavailableError:  # its time goes on: a hold that was made is captured
                await asyncio.sleep(BACK_OFF_SECONDS)
            else:
                return

    return pair


def seed(database: Database, runner: asyncio.Runner) -> None:
    """Give the customers of all workloads their credits: one grant each, through the gate for one
    of them, the others as its copies."""

    async def grant(gate: Gatekeeper) -> None:
        for customer in (HOT, _TEMPLATE):
            await gate.grant(customer, "credits", CREDITS, reason="benchmark")
            await pair_of(gate)(customer)

    with opened(new_gate(database.url), runner) as gate:
        runner.run(grant(gate))
    copy_customer(database, _TEMPLATE, MANY)


def gate_side(gate: Gatekeeper, database: Database, runner: asyncio.Runner) -> LocalSide:
    """Our side of a comparison, for an open gate."""
    return LocalSide(f"Gatekeeper, {database.title}", pair_of(gate), Books(database), runner)
