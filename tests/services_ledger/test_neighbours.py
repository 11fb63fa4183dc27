"""One bad command never fails its neighbours, whichever way the batch goes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    ConflictError,
    CreditsRequiredError,
    GatekeeperError,
    HoldEndedError,
    HoldNotFoundError,
    LedgerInvariantError,
    StoreUnavailableError,
)
from gatekeeper.ledger import Capture, Hold
from gatekeeper.services.ledger import ways
from gatekeeper.services.ledger.commands import CaptureCommand, Command
from gatekeeper.services.ledger.room import Room
from gatekeeper.storage.sql.store import store_for
from tests.gates import CUSTOMER, available, held, new_gate
from tests.services_ledger.books import assert_no_breach, run_sql
from tests.services_ledger.watched import WatchedStore

pytestmark = pytest.mark.anyio

NAMES = [f"org_{n}" for n in range(6)]


@pytest.fixture
def store(gate_url: str) -> WatchedStore:
    return WatchedStore(store_for(gate_url))


@pytest.fixture
async def gate(gate_url: str, store: WatchedStore) -> AsyncIterator[Gatekeeper]:
    """Six customers whose accounts are up to date, and in mind where a gate keeps them."""
    async with new_gate(gate_url, store=store).connected() as opened:
        for name in (*NAMES, CUSTOMER):
            await opened.grant(name, "credits", 95, reason="test")
            await opened.grant(name, "exports", 100, reason="test")
        yield opened
    await assert_no_breach(gate_url)


async def together(gate: Gatekeeper, *bad: Any) -> list[Any]:
    """Reserve for everybody, with `bad` in between; returns what came of the bad ones."""
    before = {name: await held(gate, customer=name) for name in NAMES}
    good = [gate.reserve(name, "credits", 1) for name in NAMES]
    outcomes: list[Any] = await asyncio.gather(*good[:3], *bad, *good[3:], return_exceptions=True)
    for name in NAMES:
        assert await held(gate, customer=name) == before[name] + 1
    neighbours = [*outcomes[:3], *outcomes[-3:]]
    assert [one.hold.customer for one in neighbours] == NAMES
    return outcomes[3:-3]


async def test_who_lacks_credits_is_refused_alone(gate: Gatekeeper) -> None:
    [bad, again] = await together(
        gate, gate.reserve(CUSTOMER, "credits", 101), gate.reserve(CUSTOMER, "credits", 100)
    )
    assert isinstance(bad, CreditsRequiredError)
    assert again.amount == 100


async def test_one_of_two_holds_of_one_id_in_two_units_is_made(gate: Gatekeeper) -> None:
    outcomes = await together(
        gate,
        gate.reserve(CUSTOMER, "credits", 1, hold_id="same"),
        gate.reserve(CUSTOMER, "exports", 1, hold_id="same"),
        gate.reserve(CUSTOMER, "credits", 1),
        gate.reserve(CUSTOMER, "exports", 1),
    )
    assert sum(isinstance(one, ConflictError) for one in outcomes[:2]) == 1
    assert not any(isinstance(one, Exception) for one in outcomes[2:])
    assert await held(gate) + await held(gate, "exports") == 3


async def test_one_of_two_holds_of_one_id_in_one_unit_is_made(gate: Gatekeeper) -> None:
    outcomes = await together(
        gate,
        gate.reserve(CUSTOMER, "credits", 1, hold_id="same"),
        gate.reserve(CUSTOMER, "credits", 2, hold_id="same"),
    )
    [refused] = [one for one in outcomes if isinstance(one, ConflictError)]
    [made] = [one for one in outcomes if one is not refused]
    assert await held(gate) == made.amount


async def test_a_hold_id_that_was_used_before_is_refused_alone(gate: Gatekeeper) -> None:
    used = await gate.reserve(CUSTOMER, "credits", 1, hold_id="used")
    await gate.release(used.id)
    [bad, good] = await together(
        gate,
        gate.reserve(CUSTOMER, "exports", 1, hold_id="used"),
        gate.reserve(CUSTOMER, "exports", 1),
    )
    assert isinstance(bad, ConflictError)
    assert isinstance(good.hold, Hold)


async def test_an_unknown_hold_and_one_that_has_ended_are_refused_alone(gate: Gatekeeper) -> None:
    ended = await gate.reserve(CUSTOMER, "credits", 1)
    await gate.capture(ended.id)
    unknown = CaptureCommand((CUSTOMER, "credits"), "unknown", Capture())
    elsewhere = CaptureCommand((CUSTOMER, "exports"), ended.id, Capture())
    outcomes = await together(
        gate,
        gate.credits._batcher.run(unknown),
        gate.credits._batcher.run(elsewhere),
        gate.capture(ended.id),
    )
    assert [type(one) for one in outcomes] == [
        HoldNotFoundError,
        HoldNotFoundError,
        HoldEndedError,
    ]


async def test_what_the_database_refuses_is_refused_alone(
    gate: Gatekeeper, gate_url: str, store: WatchedStore
) -> None:
    """A CHECK of the database's, or what takes its place on SQLite, against one account."""
    if gate_url.startswith("sqlite"):
        make = (
            "CREATE TRIGGER no_more BEFORE UPDATE ON gatekeeper_accounts "
            f"WHEN new.customer = '{CUSTOMER}' AND new.held > 0 "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        drop = "DROP TRIGGER no_more"
    else:
        make = (
            "ALTER TABLE gatekeeper_accounts ADD CONSTRAINT no_more "
            f"CHECK (customer <> '{CUSTOMER}' OR held = 0)"
        )
        drop = "ALTER TABLE gatekeeper_accounts DROP CONSTRAINT no_more"
    await run_sql(gate_url, make)
    try:
        outcomes = await together(gate, *(gate.reserve(CUSTOMER, "credits", 1) for _ in range(3)))
    finally:
        await run_sql(gate_url, drop)
    for bad in outcomes:
        assert isinstance(bad, Exception)
        assert gate_url.startswith("sqlite") or isinstance(bad, LedgerInvariantError)
    assert (await gate.reserve(CUSTOMER, "credits", 1)).amount == 1


async def forget_all(gate: Gatekeeper) -> None:
    """As another process would begin: with nothing in mind."""
    mirror = gate.credits._batcher._ways._mirror
    for name in (*NAMES, CUSTOMER):
        mirror.forget((name, "credits"))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("posted = posted + 7", LedgerInvariantError),
        ("grants = 'no json'", msgspec.DecodeError),
        ("standing = '[[[7]]]'", msgspec.ValidationError),
    ],
)
async def test_a_damaged_account_is_refused_alone(
    gate: Gatekeeper, gate_url: str, damage: str, error: type[Exception]
) -> None:
    where = f"WHERE customer = '{CUSTOMER}' AND unit = 'credits'"
    kept = "SELECT * FROM gatekeeper_accounts"
    await run_sql(
        gate_url,
        f"CREATE TABLE kept AS {kept}",
        f"UPDATE gatekeeper_accounts SET {damage} {where}",
    )
    try:
        await forget_all(gate)
        [bad] = await together(gate, gate.reserve(CUSTOMER, "credits", 1))
        assert isinstance(bad, error)
        [bad] = await together(gate, gate.reserve(CUSTOMER, "credits", 1))
        assert isinstance(bad, error)
    finally:
        column = damage.split(" = ", maxsplit=1)[0]
        await run_sql(
            gate_url,
            f"UPDATE gatekeeper_accounts SET {column} = (SELECT {column} FROM kept {where}) "
            f"{where}",
            "DROP TABLE kept",
        )


class Broken(Command[int]):
    """A command with a bug."""

    def __init__(self, *, is_quick: bool) -> None:
        self.key = (CUSTOMER, "credits")
        self.is_quick = is_quick

    def decide(self, room: Room) -> int:
        return room.desk(self.key).account.held // 0


@pytest.mark.parametrize("is_quick", [True, False])
async def test_a_bug_in_one_command_is_told_to_its_caller_alone(
    gate: Gatekeeper, is_quick: bool
) -> None:
    [bad, good] = await together(
        gate,
        gate.credits._batcher.run(Broken(is_quick=is_quick)),
        gate.reserve(CUSTOMER, "credits", 1),
    )
    assert isinstance(bad, ZeroDivisionError)
    assert good.amount == 1


async def test_many_bad_ones_among_many_good_ones(gate: Gatekeeper) -> None:
    """Each of the bad ones breaks the whole transaction, by the id of its hold."""
    await gate.reserve(CUSTOMER, "credits", 1, hold_id="used")
    outcomes = await asyncio.gather(
        *(
            gate.reserve(CUSTOMER, "exports", 1, hold_id="used")
            if n % 20 == 7
            else gate.reserve(NAMES[n % 6], "credits", 1)
            for n in range(120)
        ),
        return_exceptions=True,
    )
    refused = [n for n, one in enumerate(outcomes) if isinstance(one, GatekeeperError)]
    assert refused == [n for n in range(120) if n % 20 == 7]


async def test_an_outage_is_told_to_those_alone_whom_it_met(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    """On PostgreSQL a reserve is written by itself, and a grant goes the locking way: what is
    done is not told as failed because of it. On SQLite both share one transaction."""
    store.writes.refusals = [StoreUnavailableError("away")]
    reserved, granted = await asyncio.gather(
        gate.reserve(NAMES[0], "credits", 1),
        gate.grant(NAMES[1], "credits", 1, reason="lost"),
        return_exceptions=True,
    )
    assert isinstance(granted, StoreUnavailableError)
    assert await available(gate, customer=NAMES[1]) == 100
    made = not isinstance(reserved, BaseException)
    assert made is (store.quick is not None)
    assert await held(gate, customer=NAMES[0]) == int(made)


async def test_an_outage_amid_a_broken_batch_is_told_to_its_half_alone(
    gate: Gatekeeper, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction breaks by a bug, and is halved; then the database is away for one half."""
    monkeypatch.setattr(ways, "QUICK_LANES", 1)
    store.writes.refusals = [None, None, StoreUnavailableError("away")]
    outcomes = await asyncio.gather(
        gate.grant(NAMES[0], "credits", 1, reason="done"),
        gate.credits._batcher.run(Broken(is_quick=False)),
        gate.grant(NAMES[1], "credits", 1, reason="done"),
        return_exceptions=True,
    )
    kinds = [type(one).__name__ for one in outcomes]
    assert kinds == ["Grant", "StoreUnavailableError", "StoreUnavailableError"]
    assert [await available(gate, customer=name) for name in NAMES[:2]] == [101, 100]
