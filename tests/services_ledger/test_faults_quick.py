"""The quick way without a database: a quick ledger over the store in memory, and a second gate on
that store as another process. What `tests/faults` breaks in the quick way is shown here."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial

import pytest

from gatekeeper import Catalog, Gatekeeper, Plan, Settings, Unit
from gatekeeper.errors import (
    CustomerNotFoundError,
    GatekeeperError,
    HoldEndedError,
    StoreUnavailableError,
)
from gatekeeper.ledger import HoldStatus
from gatekeeper.services.credit_options import reserve_request
from gatekeeper.services.ledger import contention
from gatekeeper.services.ledger.batch import AGAIN
from gatekeeper.services.ledger.commands import ReserveCommand
from gatekeeper.services.ledger.contention import MAX_LOSSES
from gatekeeper.services.ledger.mirror import Mirror
from gatekeeper.services.ledger.quick_way import QuickWay
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.storage.quick import QuickLedger, QuickRead
from gatekeeper.storage.records import OutboxState
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available, held
from tests.services_ledger.scripted import settle_down

pytestmark = pytest.mark.anyio


class MemoryQuick(QuickLedger):
    """Each call is a transaction of its own.

    Attributes:
        writes: how many there were.
        is_locked: somebody has locked every account.
        loses_answers: what is written is written, and nobody hears of it.
        pause_seconds: how long each write takes.
        reads_wait, writes_wait: for what the next ones wait, the first of them first.
    """

    def __init__(self, store: "QuickStore", clock: ManualClock) -> None:
        self._store = store
        self._clock = clock
        self.writes = 0
        self.is_locked = self.loses_answers = False
        self.pause_seconds = 0.0
        self.reads_wait: list[asyncio.Event] = []
        self.writes_wait: list[asyncio.Event] = []

    def now(self) -> datetime:
        return self._clock()

    async def read(
        self, keys: Collection[AccountKey], hold_keys: Collection[tuple[str, str]]
    ) -> QuickRead:
        def work(tx: Transaction) -> QuickRead:
            accounts = {key: tx.ledger.account(*key, lock=False) for key in keys}
            found = {key: account for key, account in accounts.items() if account.revision}
            versions = tx.customers.versions({customer for customer, _ in found})
            return QuickRead(found, versions, tx.ledger.find_holds(hold_keys))

        if self.reads_wait:
            await self.reads_wait.pop(0).wait()
        return await self._store.read(work)

    async def write(self, postings: Sequence[Posting], now: datetime) -> set[AccountKey]:
        self.writes += 1
        await asyncio.sleep(self.pause_seconds)
        if self.writes_wait:
            await self.writes_wait.pop(0).wait()
        if self.is_locked:
            return set()
        written: set[AccountKey] = set()
        for posting in postings:
            if await self._store.write(partial(_write, posting=posting)):
                written.add(posting.key)
        if self.loses_answers:
            raise StoreUnavailableError("the answer was lost", outcome="unknown")
        return written

    async def close(self) -> None:
        """There is nothing to give back."""


def _write(tx: Transaction, posting: Posting) -> bool:
    before = tx.ledger.account(*posting.key, lock=True)
    version = tx.customers.versions([before.customer]).get(before.customer)
    if before != posting.before or posting.customer_version not in {None, version}:
        return False
    tx.ledger.post([posting])
    return True


class QuickStore(MemoryStore):
    """The store in memory, with a quick way."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.ledger = MemoryQuick(self, clock)

    @property
    def quick(self) -> QuickLedger:
        return self.ledger


@pytest.fixture
def store(clock: ManualClock) -> QuickStore:
    return QuickStore(clock)


@pytest.fixture
async def gates(
    store: QuickStore, clock: ManualClock
) -> AsyncIterator[tuple[Gatekeeper, Gatekeeper]]:
    """Two gates on one store; the first has the account in mind, with 5 of its 10 spent."""
    credits = Unit("credits", low=2)
    catalog = Catalog(plans=[Plan("free", default=True, grants=[credits.once(10)])])
    settings = Settings.load(database_url="sqlite:////nowhere")
    both = [Gatekeeper(catalog, settings, store=store, clock=clock) for _ in range(2)]
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(gate.connected()) for gate in both]
        for amount in (2, 3):
            async with one.reserve(CUSTOMER, "credits", amount):
                pass
        assert store.ledger.writes, "the quick way was not used"
        yield one, other


async def test_what_is_granted_elsewhere_is_seen_before_anybody_is_refused(
    gates: tuple[Gatekeeper, Gatekeeper],
) -> None:
    one, other = gates
    await other.grant(CUSTOMER, "credits", 50, reason="elsewhere")
    assert (await one.reserve(CUSTOMER, "credits", 55)).amount == 55


async def test_what_is_spent_elsewhere_is_not_spent_again(
    gates: tuple[Gatekeeper, Gatekeeper],
) -> None:
    one, other = gates
    hold = await one.reserve(CUSTOMER, "credits", 1)
    await other.capture(hold.id)
    with pytest.raises(HoldEndedError):
        await one.release(hold.id)
    async with other.reserve(CUSTOMER, "credits", 3):
        assert (await one.reserve(CUSTOMER, "credits", 1)).amount == 1
    assert (await available(one), await held(one)) == (0, 1)


async def test_nobody_is_refused_by_what_is_only_under_way(
    gates: tuple[Gatekeeper, Gatekeeper], store: QuickStore
) -> None:
    """While one reads, the other begins to write what would leave too little, and then is not
    written."""
    rules = gates[0].credits._rules
    way = QuickWay(store.ledger, rules, Mirror())
    read, written = asyncio.Event(), asyncio.Event()
    store.ledger.reads_wait.append(read)
    store.ledger.writes_wait.append(written)
    requests = [reserve_request(CUSTOMER, "credits", amount) for amount in (3, 4)]
    first, second = (
        asyncio.create_task(way.carry_out([ReserveCommand(rules, request)])) for request in requests
    )
    await settle_down()
    assert not store.ledger.writes_wait, "the second one is not under way"
    read.set()
    await settle_down()  # the first one decides, or sees that it can't
    store.ledger.is_locked = True
    written.set()
    assert await second == [AGAIN]
    store.ledger.is_locked = False
    [outcome] = await first
    assert not isinstance(outcome, GatekeeperError)


async def test_a_customer_who_is_deleted_elsewhere_holds_no_more(
    gates: tuple[Gatekeeper, Gatekeeper],
) -> None:
    one, other = gates
    await other.customers.delete(CUSTOMER)
    with pytest.raises(CustomerNotFoundError):
        await one.reserve(CUSTOMER, "credits", 1)


async def test_overdue_holds_are_ended_before_anybody_is_refused(
    gates: tuple[Gatekeeper, Gatekeeper], clock: ManualClock
) -> None:
    one, _ = gates
    await one.reserve(CUSTOMER, "credits", 5, ttl=timedelta(minutes=1))
    clock.advance(minutes=1)
    assert (await one.reserve(CUSTOMER, "credits", 5)).amount == 5


async def test_thresholds_are_told(gates: tuple[Gatekeeper, Gatekeeper], store: QuickStore) -> None:
    one, _ = gates
    async with one.reserve(CUSTOMER, "credits", 3):
        pass
    told = await store.read(lambda tx: tx.outbox.listing(OutboxState.WAITING, 10))
    assert [message.topic for message in told] == ["customer.created", "credits.low"]


async def test_what_somebody_keeps_locked_is_done_the_locking_way(
    gates: tuple[Gatekeeper, Gatekeeper], store: QuickStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contention, "LOSING_SECONDS", 3_600.0)
    one, _ = gates
    store.ledger.is_locked = True
    before = store.ledger.writes
    hold = await one.reserve(CUSTOMER, "credits", 4)
    assert store.ledger.writes - before == MAX_LOSSES
    assert await held(one) == 4
    assert (await one.capture(hold.id)).status is HoldStatus.CAPTURED
    assert (await available(one), await held(one)) == (1, 0)


async def test_what_is_written_too_late_again_and_again_is_done_the_locking_way(
    gates: tuple[Gatekeeper, Gatekeeper], store: QuickStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round takes longer than an account counts as contended, and others come meanwhile."""
    monkeypatch.setattr(contention, "CONTENDED_SECONDS", 0.005)
    monkeypatch.setattr(contention, "LOSING_SECONDS", 0.02)
    one, _ = gates
    store.ledger.is_locked = True
    store.ledger.pause_seconds = 0.01
    asked = []
    for _ in range(4):
        asked.append(asyncio.create_task(_reserved(one, 1)))
        await asyncio.sleep(0.007)
    assert await asyncio.gather(*asked) == [1, 1, 1, 1]
    assert store.ledger.writes < MAX_LOSSES
    assert await held(one) == 4


async def _reserved(gate: Gatekeeper, amount: int) -> int:
    return (await gate.reserve(CUSTOMER, "credits", amount)).amount


async def test_what_was_done_and_not_heard_of_is_done_once(
    gates: tuple[Gatekeeper, Gatekeeper], store: QuickStore
) -> None:
    one, _ = gates
    store.ledger.loses_answers = True
    hold = await one.reserve(CUSTOMER, "credits", 2)
    assert (await one.capture(hold.id)).captured == 2
    assert (await available(one), await held(one)) == (3, 0)
