"""Group commit: what arrives while a batch is under way becomes the next one."""

import asyncio

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import CreditsRequiredError
from gatekeeper.ledger import Entry, HoldStatus
from gatekeeper.services.ledger.batcher import BatchLimits
from gatekeeper.storage.port import Transaction
from tests.gates import CUSTOMER, available, held
from tests.services_ledger.watched import WatchedStore

pytestmark = pytest.mark.anyio


async def entries(store: WatchedStore, customer: str = CUSTOMER) -> list[Entry]:
    def work(tx: Transaction) -> list[Entry]:
        return list(tx.ledger.entries(customer, "credits", 0, 10_000))

    return await store.read(work)


async def test_commands_at_once_share_transactions(gate: Gatekeeper, store: WatchedStore) -> None:
    await gate.grant(CUSTOMER, "credits", 50_000, reason="test")
    store.forget_counts()
    made = await asyncio.gather(
        *(gate.reserve(CUSTOMER, "credits", n, reference=f"job {n}") for n in range(1, 201))
    )
    assert store.transactions <= 4
    assert [(one.amount, one.hold.reference) for one in made] == [
        (n, f"job {n}") for n in range(1, 201)
    ]
    store.forget_counts()
    ended = await asyncio.gather(*(gate.capture(one.id) for one in made))
    assert store.transactions <= 4
    assert [hold.captured for hold in ended] == list(range(1, 201))
    written = await entries(store)
    assert [entry.sequence for entry in written] == list(range(1, len(written) + 1))
    assert [entry.hold_id for entry in written if entry.kind == "hold"] == [one.id for one in made]
    assert await available(gate) == 50_005 - sum(range(1, 201))


async def test_a_batch_of_one_is_a_batch(gate: Gatekeeper, store: WatchedStore) -> None:
    await gate.reserve(CUSTOMER, "credits", 1)
    store.forget_counts()
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    assert (store.transactions, hold.amount) == (1, 2)
    ended = await gate.capture(hold.id, 1)
    assert (store.transactions, ended.status) == (2, HoldStatus.CAPTURED)
    assert (await available(gate), await held(gate)) == (3, 1)


async def test_a_batch_is_no_larger_than_its_limit(gate: Gatekeeper, store: WatchedStore) -> None:
    await gate.grant(CUSTOMER, "credits", 100, reason="test")
    gate.credits._batcher._limits = BatchLimits(max_batch=10)
    store.forget_counts()
    await asyncio.gather(*(gate.reserve(CUSTOMER, "credits", 1) for _ in range(35)))
    assert store.transactions >= 4
    assert await held(gate) == 35


async def test_of_more_than_there_is_as_much_is_granted_as_there_is(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    """Everybody begins with 5 credits. Where there is one batch at a time, the first five get
    them."""
    outcomes = await asyncio.gather(
        *(gate.reserve(CUSTOMER, "credits", 1) for _ in range(8)), return_exceptions=True
    )
    refused = [isinstance(one, CreditsRequiredError) for one in outcomes]
    assert sum(refused) == 3
    assert store.quick is not None or refused == [False] * 5 + [True] * 3


async def test_many_accounts_are_in_one_transaction(gate: Gatekeeper, store: WatchedStore) -> None:
    names = [f"org_{n}" for n in range(60)]
    await asyncio.gather(*(gate.reserve(name, "credits", 1) for name in names))
    store.forget_counts()
    await asyncio.gather(*(gate.reserve(name, "credits", 2) for name in names))
    assert store.transactions <= 4
    for name in names:
        assert await held(gate, customer=name) == 3
        assert [entry.sequence for entry in await entries(store, name)] == [1, 2, 3]


async def test_what_arrives_while_a_batch_is_under_way_is_the_next_one(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    await gate.grant(CUSTOMER, "exports", 100, reason="test")
    store.forget_counts()
    store.writes.turnstile.shut()
    first = asyncio.create_task(gate.grant(CUSTOMER, "exports", 1, reason="first"))
    await store.writes.turnstile.arrived.wait()
    later = [
        asyncio.create_task(gate.grant(CUSTOMER, "exports", 1, reason="later")) for _ in range(20)
    ]
    await asyncio.sleep(0)
    assert store.writes.calls == 1
    store.writes.turnstile.open()
    await asyncio.gather(first, *later)
    # Where two batches may be under way, the second finds the account locked, and looks again.
    assert store.transactions <= (2 if store.quick is None else 6)
    assert await available(gate, "exports") == 121
