"""The quick way (PostgreSQL): decided by what is in mind, and right all the same.

`gate` and `other` are two processes, as far as the database can tell: they share nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    ConflictError,
    CreditsRequiredError,
    CustomerNotFoundError,
    GatekeeperError,
    HoldEndedError,
    StoreUnavailableError,
)
from gatekeeper.ledger import HoldStatus
from gatekeeper.services.ledger import contention
from gatekeeper.services.ledger import mirror as mirror_module
from gatekeeper.services.ledger.contention import MAX_LOSSES
from gatekeeper.services.ledger.mirror import Mirror
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available, held, new_gate
from tests.services.postgres import PostgresServer, database_name
from tests.services_ledger.books import assert_no_breach, run_sql
from tests.services_ledger.catalogs import rated_gate
from tests.services_ledger.scripted import settle_down
from tests.services_ledger.watched import Loss, WatchedStore, not_read, refused

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]


@pytest.fixture
def store(postgres_store: WatchedStore) -> WatchedStore:
    return postgres_store


@pytest.fixture
async def gate(
    postgres_gate: Gatekeeper, store: WatchedStore, migrated_postgres_url: str
) -> AsyncIterator[Gatekeeper]:
    """A gate that has the customer's account in mind: 100 credits, none of them held."""
    await postgres_gate.grant(CUSTOMER, "credits", 95, reason="test")
    hold = await postgres_gate.reserve(CUSTOMER, "credits", 1)
    await postgres_gate.release(hold.id)
    store.forget_counts()
    yield postgres_gate
    await assert_no_breach(migrated_postgres_url)


@pytest.fixture
def other(other_gate: Gatekeeper) -> Gatekeeper:
    return other_gate


@pytest.fixture
def no_contention(monkeypatch: pytest.MonkeyPatch) -> None:
    """That somebody else writes an account too is forgotten at once."""
    monkeypatch.setattr(contention, "CONTENDED_SECONDS", 0.0)


# -- what is usual --------------------------------------------------------------------------------


async def test_what_is_usual_takes_one_statement_and_no_transaction(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 7)
    await gate.extend(hold.id, add_amount=3)
    await gate.capture(hold.id, 4, final=False)
    ended = await gate.capture(hold.id, 2)
    assert (ended.amount, ended.captured) == (10, 6)
    await gate.release((await gate.reserve(CUSTOMER, "credits", 1)).id)
    assert (store.quick_writes.calls, store.quick_reads.calls, store.writes.calls) == (6, 0, 0)
    assert (await available(gate), await held(gate)) == (94, 0)


async def test_what_is_not_usual_goes_the_locking_way(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    await gate.grant(CUSTOMER, "credits", 1, reason="a grant")
    one = await gate.reserve(CUSTOMER, "credits", 1, idempotency_key="a key")
    two = await gate.reserve(CUSTOMER, "credits", 1, scope="design")
    await gate.capture(one.id, idempotency_key="another")
    assert (store.quick_writes.calls, store.writes.calls) == (0, 4)
    await gate.release(two.id)  # its scope may have caps
    assert store.writes.calls == 5
    assert await available(gate) == 100


async def test_a_customers_first_command_makes_them_known(gate: Gatekeeper) -> None:
    assert (await gate.reserve("org_new", "credits", 5)).amount == 5
    refused_ = await asyncio.gather(gate.reserve("org_new", "credits", 1), return_exceptions=True)
    assert isinstance(refused_[0], CreditsRequiredError)


# -- (a) to (d): somebody else has been there -----------------------------------------------------


async def test_what_another_process_grants_is_seen_at_once(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    with pytest.raises(CreditsRequiredError) as refusal:
        await gate.reserve(CUSTOMER, "credits", 101)
    assert refusal.value.params["available"] == 100
    for n in range(5):
        await other.grant(CUSTOMER, "credits", 100, reason="more")
        hold = await gate.reserve(CUSTOMER, "credits", 101 + n * 100)
        await gate.release(hold.id)


async def test_what_another_process_has_spent_is_refused(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    hold = await other.reserve(CUSTOMER, "credits", 100)
    with pytest.raises(CreditsRequiredError) as refusal:
        await gate.reserve(CUSTOMER, "credits", 1)
    assert refusal.value.params["available"] == 0
    await other.capture(hold.id, 99)
    assert (await gate.reserve(CUSTOMER, "credits", 1)).amount == 1
    with pytest.raises(CreditsRequiredError):
        await gate.reserve(CUSTOMER, "credits", 1)


async def test_a_refusal_in_the_wake_of_what_was_not_written_is_decided_anew(
    gate: Gatekeeper, other: Gatekeeper, store: WatchedStore
) -> None:
    """In one batch: 100 are held, one more is refused for it. What was held is not written, since
    somebody has granted more meanwhile: the one more is there."""
    mirror(gate).forget((CUSTOMER, "credits"))  # so that the refusal is by what was just read
    store.quick_writes.turnstile.shut()
    tasks = [asyncio.create_task(one_batch(gate, 100, 1))]
    await store.quick_writes.turnstile.arrived.wait()
    await other.grant(CUSTOMER, "credits", 50, reason="more")
    store.quick_writes.turnstile.open()
    [(all_of_it, one_more)] = await asyncio.gather(*tasks)
    assert (all_of_it.amount, one_more.amount) == (100, 1)


async def one_batch(gate: Gatekeeper, *amounts: int) -> list[Any]:
    """Reserve all at once, in one batch: two lanes share them, so that each has its double."""
    lanes = pytest.MonkeyPatch()
    lanes.setattr("gatekeeper.services.ledger.ways.QUICK_LANES", 1)
    try:
        return await asyncio.gather(
            *(gate.reserve(CUSTOMER, "credits", amount) for amount in amounts),
            return_exceptions=True,
        )
    finally:
        lanes.undo()


async def test_a_hold_that_another_process_has_captured_has_ended(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    await other.capture(hold.id, 2)
    for end in (gate.capture, gate.release):
        with pytest.raises(HoldEndedError) as ended:
            await end(hold.id)
        assert ended.value.params["ended"] == "captured"
    assert (await available(gate), await held(gate)) == (98, 0)


async def test_a_hold_that_another_process_has_made_or_extended_can_be_settled(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    theirs = await other.reserve(CUSTOMER, "credits", 3)
    assert (await gate.capture(theirs.id, 1)).captured == 1
    ours = await gate.reserve(CUSTOMER, "credits", 3)
    await other.extend(ours.id, add_amount=4)
    assert (await gate.capture(ours.id)).captured == 7
    assert (await available(gate), await held(gate)) == (92, 0)


async def test_a_plan_that_is_given_or_taken_is_seen_by_the_next_command(
    migrated_postgres_url: str,
) -> None:
    """The plan has more credits, and a better rate: 2,000 tokens for one."""
    async with (
        rated_gate(migrated_postgres_url).connected() as gate,
        rated_gate(migrated_postgres_url).connected() as other,
    ):

        async def price() -> int:
            hold = await gate.reserve(CUSTOMER, "text", 2_000)
            await gate.release(hold.id)
            return hold.amount

        assert await price() == 2
        with pytest.raises(CreditsRequiredError):
            await gate.reserve(CUSTOMER, "credits", 6)
        await other.customers.override_plan(CUSTOMER, "pro")
        assert await price() == 1
        hold = await gate.reserve(CUSTOMER, "credits", 6)
        await gate.release(hold.id)
        await other.customers.remove_override(CUSTOMER, "plan", "pro")
        assert await price() == 2
        await gate.customers.override_plan(CUSTOMER, "pro")
        assert await price() == 1
    await assert_no_breach(migrated_postgres_url)


async def test_a_customer_who_was_deleted_elsewhere_can_hold_no_more(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    await other.customers.delete(CUSTOMER)
    with pytest.raises(CustomerNotFoundError):
        await gate.reserve(CUSTOMER, "credits", 1)
    assert (await gate.capture(hold.id)).status is HoldStatus.CAPTURED


async def test_what_changes_nothing_is_not_answered_by_what_is_in_mind(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    """Nothing would be written, so that the database would check nothing."""
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    await other.release(hold.id)
    with pytest.raises(HoldEndedError):
        await gate.capture(hold.id, 0, final=False)
    with pytest.raises(HoldEndedError):
        await gate.extend(hold.id, timedelta(seconds=1))


async def test_an_account_that_is_read_behind_its_customer_is_brought_up_to_date(
    gate: Gatekeeper, other: Gatekeeper, store: WatchedStore
) -> None:
    mirror(gate).forget((CUSTOMER, "credits"))
    await other.customers.override_plan(CUSTOMER, "pro")
    await gate.reserve(CUSTOMER, "credits", 1)
    assert (store.quick_writes.calls, store.writes.calls) == (0, 1)
    await gate.reserve(CUSTOMER, "credits", 1)
    assert (store.quick_writes.calls, store.writes.calls) == (1, 1)


async def test_a_grant_that_has_expired_is_not_spent(
    migrated_postgres_url: str, clock: ManualClock
) -> None:
    async with new_gate(migrated_postgres_url, clock=clock).connected() as gate:
        expires_at = clock() + timedelta(hours=1)
        await gate.grant(CUSTOMER, "exports", 10, reason="test", expires_at=expires_at)
        await gate.reserve(CUSTOMER, "exports", 1)
        clock.set(expires_at)
        with pytest.raises(CreditsRequiredError):
            await gate.reserve(CUSTOMER, "exports", 1)
    await assert_no_breach(migrated_postgres_url)


# -- (e): the clock -------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-3, 3])
async def test_a_clock_that_is_off_writes_nothing_and_the_command_succeeds(
    gate: Gatekeeper, store: WatchedStore, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(contention, "LOSING_SECONDS", 3_600.0)
    store.clock_off_by = timedelta(seconds=seconds)
    before = await _database_time(store)
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    assert store.quick_writes.calls == MAX_LOSSES
    assert store.writes.calls == 1
    assert before <= hold.hold.created_at <= await _database_time(store)
    store.clock_off_by = timedelta(0)


async def test_a_clock_that_is_a_little_off_never_goes_behind_the_last_entry(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    first = await gate.reserve(CUSTOMER, "credits", 1)
    store.clock_off_by = timedelta(seconds=-0.5)
    second = await gate.reserve(CUSTOMER, "credits", 1)
    assert store.writes.calls == 0
    assert second.hold.created_at >= first.hold.created_at


async def test_under_a_clock_of_the_tests_the_databases_is_not_asked(
    migrated_postgres_url: str, clock: ManualClock
) -> None:
    async with new_gate(migrated_postgres_url, clock=clock).connected() as gate:
        await gate.reserve(CUSTOMER, "credits", 1)
        clock.advance(days=400)
        hold = await gate.reserve(CUSTOMER, "credits", 1)
        assert hold.hold.created_at == clock()


async def _database_time(store: WatchedStore) -> Any:
    return await store.read(lambda tx: tx.now())


# -- (f): batches that build on one another -------------------------------------------------------


async def two_batches(gate: Gatekeeper, store: WatchedStore, *amounts: int) -> list[Any]:
    """The first reserve is being written when the second is decided, once at least."""
    store.quick_writes.turnstile.shut()
    first = asyncio.create_task(_made(gate, amounts[0]))
    await store.quick_writes.turnstile.arrived.wait()
    second = asyncio.create_task(_made(gate, amounts[1]))
    await settle_down()
    assert not second.done()
    store.quick_writes.turnstile.open()
    return [await first, await second]


async def _made(gate: Gatekeeper, amount: int) -> Any:
    try:
        return (await gate.reserve(CUSTOMER, "credits", amount)).hold
    except GatekeeperError as error:
        return error


async def test_a_second_batch_builds_on_the_first(gate: Gatekeeper, store: WatchedStore) -> None:
    first, second = await two_batches(gate, store, 60, 40)
    assert (first.amount, second.amount) == (60, 40)
    assert (store.quick_writes.calls, store.writes.calls) == (2, 0)
    assert await held(gate) == 100


async def test_when_the_first_is_refused_the_second_is_decided_anew(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    store.quick_writes.refusals = [refused()]
    first, second = await two_batches(gate, store, 60, 40)
    assert (first.amount, second.amount) == (60, 40)
    assert await held(gate) == 100


async def test_of_a_first_that_comes_to_nothing_the_second_sees_nothing(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    """The first takes all there is, its write fails, and so does its second try: its credits are
    there for the second, which had been refused for want of them."""
    store.quick_writes.refusals = [refused()]
    store.writes.refusals = [StoreUnavailableError("away")]
    first, second = await two_batches(gate, store, 100, 1)
    assert isinstance(first, StoreUnavailableError)
    assert second.amount == 1
    assert await held(gate) == 1


async def test_an_extension_under_way_is_captured_too(
    gate: Gatekeeper, store: WatchedStore, migrated_postgres_url: str
) -> None:
    """A hold that a batch under way has changed is settled as it will be, not as it was."""
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    store.quick_writes.turnstile.shut()
    extending = asyncio.create_task(gate.extend(hold.id, add_amount=5))
    await store.quick_writes.turnstile.arrived.wait()
    capturing = asyncio.create_task(gate.capture(hold.id))
    await settle_down()
    store.quick_writes.turnstile.open()
    assert (await extending).amount == 8
    assert (await capturing).captured == 8
    assert (await available(gate), await held(gate)) == (92, 0)
    assert store.writes.calls == 0
    await assert_no_breach(migrated_postgres_url)


async def test_captures_in_part_at_once_are_all_counted(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 30)
    await asyncio.gather(*(gate.capture(hold.id, 1, final=False) for _ in range(25)))
    assert (await gate.hold(hold.id)).captured == 25
    assert (await available(gate), await held(gate)) == (70, 5)


async def test_a_hold_is_settled_once_by_two_batches(gate: Gatekeeper, store: WatchedStore) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    store.quick_writes.turnstile.shut()
    first = asyncio.create_task(gate.capture(hold.id))
    await store.quick_writes.turnstile.arrived.wait()
    second = asyncio.create_task(gate.release(hold.id))
    await settle_down()
    store.quick_writes.turnstile.open()
    assert (await first).captured == 3
    with pytest.raises(HoldEndedError):
        await second


async def test_a_hold_that_is_being_made_can_be_settled(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    store.quick_writes.turnstile.shut()
    making = asyncio.create_task(_named(gate, "job"))
    await store.quick_writes.turnstile.arrived.wait()
    gate.credits._writes._keys[CUSTOMER, "job"] = (CUSTOMER, "credits")  # as its maker will know
    ending = asyncio.create_task(gate.capture("job", customer=CUSTOMER))
    await settle_down()
    store.quick_writes.turnstile.open()
    await making
    assert (await ending).captured == 2
    assert store.writes.calls == 0


async def _named(gate: Gatekeeper, hold_id: str) -> None:
    await gate.reserve(CUSTOMER, "credits", 2, hold_id=hold_id)


async def test_while_an_account_is_read_again_nobody_else_is_let_in(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    """A refusal tells of what is really there: not of what is about to be written meanwhile."""
    store.quick_reads.turnstile.shut()
    asking = asyncio.create_task(_made(gate, 101))
    await store.quick_reads.turnstile.arrived.wait()
    taking = asyncio.create_task(_made(gate, 100))
    await settle_down()
    assert store.quick_writes.calls == 0
    store.quick_reads.turnstile.open()
    refusal = await asking
    assert isinstance(refusal, CreditsRequiredError)
    assert refusal.params["available"] == 100
    assert (await taking).amount == 100


# -- (g): lost answers ----------------------------------------------------------------------------

LOSSES: list[Loss] = ["before", "after"]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_reserve_whose_answer_was_lost_is_made_once(
    gate: Gatekeeper, store: WatchedStore, loss: Loss
) -> None:
    store.quick_writes.losses = [loss]
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    assert (await available(gate), await held(gate)) == (98, 2)
    assert (await gate.capture(hold.id)).captured == 2


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_capture_whose_answer_was_lost_is_made_once(
    gate: Gatekeeper, store: WatchedStore, loss: Loss
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    store.quick_writes.losses = [loss]
    assert (await gate.capture(hold.id, 1)).captured == 1
    assert (await available(gate), await held(gate)) == (99, 0)


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_release_whose_answer_was_lost_is_made_once(
    gate: Gatekeeper, store: WatchedStore, loss: Loss
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    store.quick_writes.losses = [loss]
    assert (await gate.release(hold.id)).status is HoldStatus.RELEASED
    assert (await available(gate), await held(gate)) == (100, 0)


@pytest.mark.parametrize("loss", LOSSES)
async def test_of_a_whole_batch_whose_answer_was_lost_each_is_made_once(
    gate: Gatekeeper, store: WatchedStore, loss: Loss
) -> None:
    names = [f"org_{n}" for n in range(5)]
    for name in names:
        await gate.reserve(name, "credits", 1)
    store.quick_writes.losses = [loss, loss]
    made = await asyncio.gather(*(gate.reserve(name, "credits", 2) for name in names * 2))
    assert len({hold.id for hold in made}) == 10
    assert [await held(gate, customer=name) for name in names] == [5] * 5


async def test_what_can_not_be_looked_up_is_told_to_be_unknown(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    store.quick_writes.losses = ["after"]
    with pytest.raises(StoreUnavailableError) as unknown:
        await gate.extend(hold.id, add_amount=1)
    assert unknown.value.params["outcome"] == "unknown"
    assert (await gate.hold(hold.id)).amount == 3


async def test_a_lost_answer_is_told_to_those_alone_who_were_in_that_statement(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    """An extension that was lost is told so; a refusal and a grant of the same batch are not."""
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    await gate.reserve("org_43", "credits", 5)
    store.quick_writes.losses = ["after"]
    outcomes = await asyncio.gather(
        gate.grant("org_44", "credits", 1, reason="test"),
        gate.extend(hold.id, add_amount=1),
        _made_for(gate, "org_43"),
        return_exceptions=True,
    )
    kinds = [type(one).__name__ for one in outcomes]
    assert kinds == ["Grant", "StoreUnavailableError", "CreditsRequiredError"]


async def _made_for(gate: Gatekeeper, customer: str) -> None:
    await gate.reserve(customer, "credits", 1)


async def test_a_refusal_beside_a_lost_answer_is_decided_anew(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    mirror(gate).forget((CUSTOMER, "credits"))
    store.quick_writes.losses = ["before"]
    all_of_it, one_more = await one_batch(gate, 100, 1)
    # The one that was refused for the other's sake is first now: the other is sent again after it.
    assert one_more.amount == 1
    assert isinstance(all_of_it, CreditsRequiredError)


# -- (h): broken connections ----------------------------------------------------------------------


async def test_after_the_kept_connections_have_died_the_next_command_succeeds(
    gate: Gatekeeper, postgres_server: PostgresServer, migrated_postgres_url: str
) -> None:
    for _ in range(2):
        hold = await gate.reserve(CUSTOMER, "credits", 1)
        _kill_all(postgres_server, migrated_postgres_url)
        assert (await gate.capture(hold.id)).captured == 1
        _kill_all(postgres_server, migrated_postgres_url)
        await gate.reserve(CUSTOMER, "credits", 1)
    assert (await available(gate), await held(gate)) == (96, 2)


def _kill_all(server: PostgresServer, url: str) -> None:
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        database=database_name(url),
    )


async def test_what_can_not_be_read_goes_the_locking_way(
    gate: Gatekeeper, store: WatchedStore, other: Gatekeeper
) -> None:
    theirs = await other.reserve(CUSTOMER, "credits", 3)
    store.quick_reads.refusals = [not_read()]
    assert (await gate.capture(theirs.id)).captured == 3
    assert store.writes.calls == 1
    store.quick_reads.refusals = [not_read()]
    with pytest.raises(CreditsRequiredError):  # a refusal that can't be made sure of otherwise
        await gate.reserve(CUSTOMER, "credits", 101)
    assert store.writes.calls == 2


# -- somebody else writes all the time ------------------------------------------------------------


async def test_an_account_that_others_write_too_is_read_again_first_for_a_while(
    gate: Gatekeeper, other: Gatekeeper, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contention, "CONTENDED_SECONDS", 3_600.0)
    await other.reserve(CUSTOMER, "credits", 1)
    await gate.reserve(CUSTOMER, "credits", 1)
    assert (store.quick_reads.calls, store.quick_writes.calls, store.writes.calls) == (1, 2, 0)
    for n in range(2, 5):
        await other.reserve(CUSTOMER, "credits", 1)
        await gate.reserve(CUSTOMER, "credits", 1)
        assert (store.quick_reads.calls, store.quick_writes.calls) == (n, n + 1)
    assert store.writes.calls == 0
    ways = gate.credits._batcher._ways
    assert (ways.depth((CUSTOMER, "credits")), ways.depth(("org_43", "credits"))) == (1, 2)


@pytest.mark.usefixtures("no_contention")
async def test_after_a_while_what_is_in_mind_is_trusted_again(
    gate: Gatekeeper, other: Gatekeeper, store: WatchedStore
) -> None:
    await other.reserve(CUSTOMER, "credits", 1)
    await gate.reserve(CUSTOMER, "credits", 1)
    store.forget_counts()
    await gate.reserve(CUSTOMER, "credits", 1)
    assert (store.quick_reads.calls, store.quick_writes.calls, store.writes.calls) == (0, 1, 0)
    assert gate.credits._batcher._ways.depth((CUSTOMER, "credits")) == 2


@pytest.mark.usefixtures("no_contention")
async def test_two_processes_that_write_one_account_lose_nothing(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    async def work(one: Gatekeeper, n: int) -> bool:
        try:
            hold = await one.reserve(CUSTOMER, "credits", 1)
        except CreditsRequiredError:
            return False
        await (one if n % 3 else other).capture(hold.id)
        return True

    done = await asyncio.gather(*(work((gate, other)[n % 2], n) for n in range(140)))
    assert sum(done) == 100
    assert (await available(gate), await held(gate)) == (0, 0)


# -- what is kept in mind -------------------------------------------------------------------------


def mirror(gate: Gatekeeper) -> Mirror:
    return gate.credits._batcher._ways._mirror


async def test_no_more_accounts_and_holds_are_kept_in_mind_than_there_is_room_for(
    gate: Gatekeeper, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror(gate), "_max_accounts", 3)
    monkeypatch.setattr(mirror_module, "MAX_HOLDS", 2)
    holds = [await gate.reserve(CUSTOMER, "credits", 1) for _ in range(4)]
    known = mirror(gate).get((CUSTOMER, "credits"))
    assert known is not None
    assert list(known.holds) == [hold.id for hold in holds[-2:]]
    assert (await gate.capture(holds[0].id)).captured == 1  # it is read again
    for n in range(4):
        await gate.reserve(f"org_{n}", "credits", 1)
    assert mirror(gate).get((CUSTOMER, "credits")) is None
    assert len(mirror(gate)._accounts) == 3
    assert (await gate.capture(holds[1].id)).captured == 1


async def test_an_account_forgotten_while_it_is_written_is_written(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    store.quick_writes.turnstile.shut()
    task = asyncio.create_task(_made(gate, 1))
    await store.quick_writes.turnstile.arrived.wait()
    mirror(gate).forget((CUSTOMER, "credits"))
    store.quick_writes.turnstile.open()
    assert (await task).amount == 1
    assert mirror(gate).get((CUSTOMER, "credits")) is None
    assert await held(gate) == 1


async def test_what_the_locking_way_has_read_later_stays_in_mind(
    gate: Gatekeeper, store: WatchedStore, other: Gatekeeper
) -> None:
    """An answer that comes late does not bring back the account as it was before it."""
    store.quick_writes.turnstile.shut()
    store.quick_writes.losses = [None]
    task = asyncio.create_task(_made(gate, 1))
    await store.quick_writes.turnstile.arrived.wait()
    await gate.grant(CUSTOMER, "credits", 5, reason="meanwhile")  # in the other lane
    store.quick_writes.turnstile.open()
    assert (await task).amount == 1
    assert await available(gate) == 104


async def test_overdue_holds_are_ended_before_anybody_is_refused(
    migrated_postgres_url: str, clock: ManualClock
) -> None:
    async with new_gate(migrated_postgres_url, clock=clock).connected() as gate:
        await gate.reserve(CUSTOMER, "credits", 3)
        await gate.reserve(CUSTOMER, "credits", 2)
        with pytest.raises(CreditsRequiredError):
            await gate.reserve(CUSTOMER, "credits", 1)
        clock.advance(minutes=6)
        assert (await gate.reserve(CUSTOMER, "credits", 5)).amount == 5
    await assert_no_breach(migrated_postgres_url)


async def test_a_second_hold_of_an_id_is_refused_by_the_database(
    gate: Gatekeeper, other: Gatekeeper
) -> None:
    await other.reserve(CUSTOMER, "credits", 1, hold_id="job")
    again = gate.reserve(CUSTOMER, "credits", 1, hold_id="job")
    with pytest.raises(ConflictError):
        await again
    assert await held(gate) == 1


async def test_the_gate_can_be_closed_and_opened_again(
    migrated_postgres_url: str, store: WatchedStore
) -> None:
    gate = new_gate(migrated_postgres_url, store=store)
    for n in range(3):
        async with gate.connected():
            await gate.reserve(CUSTOMER, "credits", 1)
            assert await held(gate) == n + 1


async def test_a_change_by_hand_in_the_database_is_met_by_the_version(
    gate: Gatekeeper, migrated_postgres_url: str
) -> None:
    """The revision alone is not trusted, since the release before this one leaves it as it is."""
    await run_sql(
        migrated_postgres_url,
        "UPDATE gatekeeper_accounts SET version = version + 1 "
        f"WHERE customer = '{CUSTOMER}' AND unit = 'credits'",
    )
    await gate.reserve(CUSTOMER, "credits", 1)

    def work(tx: Transaction) -> list[int]:
        return [entry.sequence for entry in tx.ledger.entries(CUSTOMER, "credits", 0, 100)]

    sequences = await gate._parts.store.read(work)
    assert sequences[-1] == sequences[-2] + 2
    await run_sql(
        migrated_postgres_url,
        "DELETE FROM gatekeeper_entries",
        "DELETE FROM gatekeeper_holds",
        "DELETE FROM gatekeeper_accounts",
        "DELETE FROM gatekeeper_grants",
    )
