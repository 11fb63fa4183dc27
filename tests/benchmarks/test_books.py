"""The benchmarks' own checks: they must find what is wrong, and load what is right."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks._books import Books, BrokenBooksError, copy_customer, copy_history
from benchmarks._databases import Database, PostgresDatabase, SqliteDatabase
from benchmarks._gates import new_gate, opened, pair_of
from benchmarks._load import HOT, drive, name_of
from benchmarks._pace import Pace
from benchmarks._samples import Recorder, Sample, percentile
from tests.services.postgres import PostgresServer

pytestmark = pytest.mark.unmeasured

GRANTED = 1_000
A_MOMENT = Pace(runs=1, seconds=0.05, warm_up=0.0, quick=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield SqliteDatabase(tmp_path / "ours.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    made = PostgresDatabase(server)
    yield made
    server.drop_database(made.url)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def hold_id(database: Database, runner: asyncio.Runner) -> str:
    """A customer with credits, and the id of a hold of it that was released."""

    async def begin() -> str:
        async with new_gate(database.url) as gate:
            await gate.grant(HOT, "credits", GRANTED, reason="test")
            hold = await gate.reserve(HOT, "credits", 1)
            await gate.release(hold.id, customer=HOT)
            return hold.id

    return runner.run(begin())


def test_a_run_leaves_books_that_add_up_and_as_many_captures_as_pairs(
    database: Database, runner: asyncio.Runner, hold_id: str
) -> None:
    books = Books(database)
    with opened(new_gate(database.url), runner) as gate:
        sample = runner.run(drive(pair_of(gate), 4, [HOT], A_MOMENT))
    assert sample.done > 0
    books.check(sample.done)
    with pytest.raises(BrokenBooksError, match="1 pairs were done, but 0 holds captured"):
        books.check(1)


def test_copied_customers_and_copied_history_are_consistent_and_can_be_spent_from(
    database: Database, runner: asyncio.Runner, hold_id: str
) -> None:
    copy_history(database, HOT, hold_id, 25)
    copy_history(database, HOT, hold_id, 25)
    copy_customer(database, HOT, 3)
    books = Books(database)
    books.check(0)
    assert database.number("SELECT count(*) FROM gatekeeper_entries") == 4 * (1 + 2 + 100)

    async def spend() -> int | None:
        async with new_gate(database.url) as gate:
            await pair_of(gate)(name_of(3))
            return (await gate.balance(name_of(3), "credits")).available

    assert runner.run(spend()) == GRANTED - 1
    books.check(1)


@pytest.mark.parametrize(
    ("damage", "claim"),
    [
        ("UPDATE gatekeeper_accounts SET posted = posted + 1", "sums of the entries"),
        ("DELETE FROM gatekeeper_entries WHERE sequence = 2", "sums of the entries"),
        ("UPDATE gatekeeper_holds SET status = 'open'", "sum of the open holds"),
        ("UPDATE gatekeeper_accounts SET version = version + 1", "without a gap"),
    ],
)
def test_damage_is_found(
    database: Database, runner: asyncio.Runner, hold_id: str, damage: str, claim: str
) -> None:
    books = Books(database)
    database.run([damage])
    with pytest.raises(BrokenBooksError, match=claim):
        books.check(0)


def test_what_ends_outside_the_measured_time_is_counted_but_not_measured() -> None:
    recorder = Recorder(start=10.0, end=12.0)
    for begun, ended in ((9.0, 9.5), (9.5, 10.5), (10.5, 11.0), (11.5, 12.5)):
        recorder.add(begun, ended)
    assert recorder.sample() == Sample(per_second=1.0, p50_ms=500.0, p99_ms=1000.0, done=4)


def test_percentiles_are_values_that_were_seen() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert (percentile(ordered, 0.5), percentile(ordered, 0.99)) == (50.0, 99.0)
    assert percentile([7.0], 0.99) == 7.0
