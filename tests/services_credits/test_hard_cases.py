"""Hard cases of many at once, by several gates on one database: as by several processes."""

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gatekeeper import Gatekeeper
from gatekeeper.errors import GatekeeperError, HoldEndedError, TransactionConflictError
from gatekeeper.ledger import Hold
from gatekeeper.services.reservation import Reservation
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.sql.postgresql_runner import PostgresqlOptions
from gatekeeper.storage.sql.sqlite_runner import SqliteOptions
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.clock import ManualClock
from gatekeeper.types import utc_now
from tests.bank.checker import check, report
from tests.bank.reading import TABLES, execute, read_at_one_moment
from tests.gates import CATALOG, CUSTOMER, available, held, new_gate
from tests.sdk.hosts import async_host
from tests.services.postgres import PostgresServer, database_name

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

CLAIMANTS: Final = 64
RESOLVERS: Final = 8
ACCOUNTS: Final = 20
HANG_SECONDS: Final = 60


@asynccontextmanager
async def open_gates(url: str, count: int) -> AsyncIterator[list[Gatekeeper]]:
    """Several open gates on one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(new_gate(url)) for _ in range(count)]


async def assert_no_breach(url: str) -> None:
    await execute(url, "DROP TABLE IF EXISTS bank_rows", TABLES)
    breaches = await check(url)
    assert not breaches, await report(url, breaches)


async def claim(gate: Gatekeeper, amount: int, customer: str = CUSTOMER) -> Reservation | str:
    """A hold, or the code of the refusal."""
    try:
        return await gate.reserve(customer, "credits", amount)
    except GatekeeperError as error:
        return error.code


async def spend(gate: Gatekeeper, customer: str) -> None:
    async with gate.reserve(customer, "credits", 1):
        pass


# -- 51, 52 ---------------------------------------------------------------------------------------


async def race_for_the_last(gates: Sequence[Gatekeeper], rounds: int) -> None:
    """Each round, 64 claimants for one credit; the winner spends it, and there is another one."""
    async with gates[0].reserve(CUSTOMER, "credits", await available(gates[0]) - 1):
        pass
    for _ in range(rounds):
        found = await asyncio.gather(*(claim(gates[n % len(gates)], 1) for n in range(CLAIMANTS)))
        won = [one for one in found if isinstance(one, Reservation)]
        assert len(won) == 1
        assert Counter(one for one in found if isinstance(one, str)) == {
            "credits_required": CLAIMANTS - 1
        }
        await won[0].capture()
        await gates[0].grant(CUSTOMER, "credits", 1, reason="the next one")
    assert (await available(gates[0]), await held(gates[0])) == (1, 0)


async def test_case_51_one_of_64_wins_the_last_credit_each_of_1000_times_in_memory() -> None:
    settings = new_gate("sqlite:////nowhere").settings
    async with Gatekeeper(CATALOG, settings, store=MemoryStore()) as gate:
        await race_for_the_last([gate], 1_000)


async def test_case_51_one_of_64_wins_the_last_credit_each_time(gate_url: str) -> None:
    async with open_gates(gate_url, 4) as gates:
        await race_for_the_last(gates, 20)
    await assert_no_breach(gate_url)


@pytest.mark.long
async def test_case_51_one_of_64_wins_the_last_credit_each_of_1000_times(gate_url: str) -> None:
    async with open_gates(gate_url, 4) as gates:
        await race_for_the_last(gates, 1_000)
    await assert_no_breach(gate_url)


async def test_case_52_of_20_claims_of_75_against_500_exactly_6_succeed(gate_url: str) -> None:
    async with open_gates(gate_url, 4) as gates:
        await gates[0].grant(CUSTOMER, "credits", 495, reason="5 are there")
        found = await asyncio.gather(*(claim(gates[n % 4], 75) for n in range(20)))
        won = [one for one in found if isinstance(one, Reservation)]
        assert len(won) == 6
        assert [one for one in found if isinstance(one, str)] == ["credits_required"] * 14
        assert (await available(gates[1]), await held(gates[2])) == (50, 450)
        for one in won:
            await one.capture()
        assert (await available(gates[3]), await held(gates[3])) == (50, 0)
    await assert_no_breach(gate_url)


# -- 53 -------------------------------------------------------------------------------------------


async def test_case_53_of_8_resolvers_one_ends_each_hold(gate_url: str) -> None:
    await race_to_resolve(gate_url, holds=60)


@pytest.mark.long
async def test_case_53_of_8_resolvers_one_ends_each_of_5000_holds(gate_url: str) -> None:
    await race_to_resolve(gate_url, holds=5_000)


async def race_to_resolve(url: str, *, holds: int) -> None:
    """Holds of all ages, and resolvers that go through them in orders of their own."""
    rng = random.Random("case 53")
    lives = (0.01, 1 + holds / 500, 60)  # over before the race, during it, and after it
    async with open_gates(url, RESOLVERS) as gates:
        for n in range(ACCOUNTS):
            await gates[0].grant(f"org_{n}", "credits", 10 * holds, reason="enough")
        made = await asyncio.gather(
            *(
                gates[n % RESOLVERS].reserve(
                    f"org_{n % ACCOUNTS}",
                    "credits",
                    rng.randint(1, 9),
                    ttl=timedelta(seconds=lives[n % 3] * rng.uniform(0.5, 1)),
                )
                for n in range(holds)
            )
        )
        ids = [one.id for one in made]
        told = await asyncio.gather(
            *(resolve(gate, ids, random.Random(n)) for n, gate in enumerate(gates))
        )
    ends = [end for ended in told for end in ended.items()]
    assert len(ends) == len({hold_id for hold_id, _ in ends}), "a hold has ended twice"

    late = ManualClock(utc_now() + timedelta(hours=1))
    async with new_gate(url, clock=late).connected() as gate:
        await gate.credits.expire_holds()
    await assert_no_breach(url)
    [rows] = await read_at_one_moment(url, "SELECT id, status FROM gatekeeper_holds")
    statuses = {row["id"]: row["status"] for row in rows}
    assert statuses.keys() == set(ids)
    assert {hold_id: statuses[hold_id] for hold_id, _ in ends} == dict(ends)
    assert {statuses[hold_id] for hold_id in statuses.keys() - dict(ends).keys()} <= {"expired"}
    assert set(statuses.values()) == {"captured", "released", "expired"}


async def resolve(gate: Gatekeeper, ids: Sequence[str], rng: random.Random) -> dict[str, str]:
    """Capture, release or expire every hold, 32 at once; returns how those ended that it ended."""
    ended: dict[str, str] = {}
    waiting = list(ids)
    rng.shuffle(waiting)

    async def resolver() -> None:
        while waiting:
            hold_id, choice = waiting.pop(), rng.random()
            if choice < 0.02:
                with suppress(TransactionConflictError):
                    await gate.credits.expire_holds()
            settle: Callable[[str], Awaitable[Hold]]
            settle = gate.capture if choice < 0.5 else gate.release
            try:
                ended[hold_id] = str((await settle(hold_id)).status)
            except HoldEndedError:
                continue
            except TransactionConflictError:  # nothing was changed: all want the same accounts
                waiting.append(hold_id)

    await asyncio.gather(*(resolver() for _ in range(32)))
    return ended


@pytest.mark.parametrize("steps", range(6))
async def test_case_53_what_comes_right_after_sees_the_hold_as_it_was_left(
    gate_url: str, steps: int
) -> None:
    """A second command on a hold, some steps of the event loop after the first: while that waits
    for its batch, is decided, is being written, or is done."""
    async with new_gate(gate_url) as gate:
        await gate.grant(CUSTOMER, "credits", 10_000, reason="enough")
        firsts: tuple[Callable[[str], Awaitable[Hold]], ...] = (
            lambda id_: gate.extend(id_, add_amount=5),
            lambda id_: gate.capture(id_, 3, final=False),
            lambda id_: gate.capture(id_, 3),
            gate.release,
        )
        for first in firsts:
            for _ in range(8):
                hold = await gate.reserve(CUSTOMER, "credits", 8)
                one = asyncio.ensure_future(first(hold.id))
                for _ in range(steps):
                    await asyncio.sleep(0)
                two = asyncio.ensure_future(gate.capture(hold.id))
                await asyncio.wait([one, two])
                if (ended := two.exception()) is not None:
                    assert isinstance(ended, HoldEndedError)
                    assert one.result().status == ended.params["ended"]
                else:
                    assert two.result().captured == two.result().amount
                    assert one.exception() is not None or (
                        two.result().amount == one.result().amount
                    )
        assert await held(gate) == 0
    await assert_no_breach(gate_url)


async def test_a_key_whose_hold_was_spent_in_part_does_not_reserve_again(gate_url: str) -> None:
    """The work of the first request was charged, in part: a repeated request must not do it anew
    (DESIGN invariant 4)."""
    async with new_gate(gate_url) as gate:
        first = await gate.reserve(CUSTOMER, "credits", 4, idempotency_key="job")
        await gate.capture(first.id, 3, final=False)
        await gate.release(first.id)
        again = await gate.reserve(CUSTOMER, "credits", 4, idempotency_key="job", partial=False)
        assert again.id == first.id
        assert (await available(gate), await held(gate)) == (2, 0)


# -- 64 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("are_new", [False, True], ids=["known", "new"])
async def test_case_64_more_locked_accounts_than_connections_stop_no_other_customer(
    migrated_postgres_url: str, postgres_server: PostgresServer, are_new: bool
) -> None:
    """A pool has 10 connections: 30 accounts are locked by the host, and commands wait for all."""
    locked = [f"org_{n}" for n in range(30)]
    async with (
        asyncio.timeout(HANG_SECONDS),
        new_gate(migrated_postgres_url) as gate,
        async_host(migrated_postgres_url) as engine,
        AsyncSession(engine) as session,
    ):
        for customer in [] if are_new else locked:
            await gate.grant(customer, "credits", 1, reason="before")
        for customer in locked:
            await gate.grant(customer, "credits", 10, reason="host", session=session)
        waiting = [_elsewhere(spend(gate, customer)) for customer in locked for _ in range(3)]
        await _until_one_waits_for_a_lock(postgres_server, migrated_postgres_url)
        for _ in range(20):
            await _elsewhere(spend(gate, "org_free"))
            await gate.balance("org_0", "credits")  # whoever only looks does not wait
            await gate.grant("org_free", "credits", 1, reason="more")
        assert not any(task.done() for task in waiting)
        await session.commit()
        await asyncio.gather(*waiting)
        for customer in locked:
            assert await available(gate, customer=customer) == (12 if are_new else 13)
        assert await available(gate, customer="org_free") == 5
    await assert_no_breach(migrated_postgres_url)


async def test_case_64_who_is_free_again_is_served_while_others_still_wait(
    migrated_postgres_url: str, postgres_server: PostgresServer
) -> None:
    """An account that was locked for a moment does not queue up behind those that stay locked."""
    locked = [f"org_{n}" for n in range(30)]
    async with (
        asyncio.timeout(HANG_SECONDS),
        new_gate(migrated_postgres_url) as gate,
        async_host(migrated_postgres_url) as engine,
        AsyncSession(engine) as long,
        AsyncSession(engine) as short,
    ):
        for customer in (*locked, "org_short"):
            await gate.grant(customer, "credits", 1, reason="before")
        for customer in locked:
            await gate.grant(customer, "credits", 10, reason="host", session=long)
        waiting = [_elsewhere(spend(gate, customer)) for customer in locked]
        await _until_one_waits_for_a_lock(postgres_server, migrated_postgres_url)
        await gate.grant("org_short", "credits", 10, reason="host", session=short)
        served = _elsewhere(spend(gate, "org_short"))
        for _ in range(10):
            await _elsewhere(spend(gate, "org_free"))
            assert not served.done()
            await gate.grant("org_free", "credits", 1, reason="more")
        await short.commit()
        await served
        assert not any(task.done() for task in waiting), "they were given up meanwhile"
        await long.commit()
        await asyncio.gather(*waiting)
    await assert_no_breach(migrated_postgres_url)


async def test_case_64_a_host_transaction_that_does_not_end_is_told_of_and_hangs_nobody(
    gate_url: str,
) -> None:
    """On SQLite it keeps every writer out: they are told so, and readers go on."""
    store = store_for(
        gate_url,
        sqlite=SqliteOptions(busy_timeout_seconds=0.2),
        postgresql=PostgresqlOptions(lock_timeout_seconds=0.5),
    )
    async with (
        asyncio.timeout(HANG_SECONDS),
        new_gate(gate_url, store=store) as gate,
        async_host(gate_url) as engine,
        AsyncSession(engine) as session,
    ):
        await gate.grant(CUSTOMER, "credits", 1, reason="before")
        await gate.grant(CUSTOMER, "credits", 10, reason="host", session=session)
        with pytest.raises(TransactionConflictError):
            await _elsewhere(spend(gate, CUSTOMER))
        assert await available(gate) == 6
        await session.commit()
        await _elsewhere(spend(gate, CUSTOMER))
        assert (await available(gate), await held(gate)) == (15, 0)
    await assert_no_breach(gate_url)


def _elsewhere(work: Awaitable[None]) -> "asyncio.Task[None]":
    """A task that is none of the open host transaction's."""

    async def run() -> None:
        await work

    return asyncio.get_running_loop().create_task(run(), context=contextvars.Context())


async def _until_one_waits_for_a_lock(server: PostgresServer, url: str) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while server.sql(query, database=database_name(url)) == "0":  # noqa: ASYNC110 - it sends no event
        await asyncio.sleep(0)
