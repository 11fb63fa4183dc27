"""A COMMIT whose answer was lost: looked up by the command's ids, and sent again if it is not there
(DESIGN section 7). The store here is real; what is lost is its answer."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, TypeVar

import anyio
import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import CreditsRequiredError, HoldEndedError, StoreUnavailableError
from gatekeeper.ledger import HoldStatus
from gatekeeper.services import credits as credits_
from gatekeeper.services.upkeep import Upkeep
from gatekeeper.storage.port import Joined, JoinedSync, Store, Transaction
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.clock import ManualClock
from tests.gates import CATALOG, CUSTOMER, available, held, new_gate

pytestmark = pytest.mark.anyio

T = TypeVar("T")

Loss = Literal["before", "after", "late"]
"""The COMMIT never arrived; it arrived and its answer did not; it arrives after we have looked."""


class LosingStore(Store):
    """Loses the answers of the next writes, as told by `losses`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.losses: list[Loss] = []
        self._pending: Callable[[Transaction], object] | None = None

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        if self._pending is not None:  # the COMMIT that was late comes now
            late, self._pending = self._pending, None
            await self._store.write(late)
        loss = self.losses.pop(0) if self.losses else None
        if loss is None:
            return await self._store.write(work)
        if loss == "after":
            await self._store.write(work)
        if loss == "late":
            self._pending = work
        raise StoreUnavailableError("COMMIT failed", outcome="unknown")

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._store.read(work)

    def join(self, session: object) -> AbstractAsyncContextManager[Joined]:
        return self._store.join(session)

    def join_sync(self, session: object) -> JoinedSync:
        return self._store.join_sync(session)


@pytest.fixture
def store(gate_url: str, clock: ManualClock) -> LosingStore:
    return LosingStore(store_for(gate_url, clock=clock))


@pytest.fixture
async def gate(
    gate_url: str, store: LosingStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gatekeeper]:
    """Beside the test nothing runs that could meet a loss: no dispatcher, and no upkeep."""

    async def nothing(_upkeep: Upkeep) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(Upkeep, "run", nothing)
    settings = new_gate(gate_url, inline_dispatch=True).settings
    async with Gatekeeper(CATALOG, settings, store=store) as opened:
        await opened.tasks.drained()
        await opened.customers.ensure(CUSTOMER)
        yield opened


LOSSES: list[Loss] = ["before", "after", "late"]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_reserve_is_made_once(gate: Gatekeeper, store: LosingStore, loss: Loss) -> None:
    store.losses = [loss]
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    assert (await available(gate), await held(gate)) == (3, 2)
    assert (await gate.capture(hold.id)).captured == 2


async def test_a_denial_after_a_lost_answer_is_told_as_any_other(
    gate: Gatekeeper, store: LosingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str | None] = []
    monkeypatch.setattr(credits_, "tell_denial", lambda _to, _error, name: told.append(name))
    store.losses = ["before"]
    with pytest.raises(CreditsRequiredError):
        await gate.reserve(CUSTOMER, "credits", 6)
    assert told == ["credits"]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_capture_is_made_once(gate: Gatekeeper, store: LosingStore, loss: Loss) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    store.losses = [loss]
    ended = await gate.capture(hold.id, 1)
    assert (ended.status, ended.captured) == (HoldStatus.CAPTURED, 1)
    assert (await available(gate), await held(gate)) == (4, 0)


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_release_is_made_once(gate: Gatekeeper, store: LosingStore, loss: Loss) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    store.losses = [loss]
    assert (await gate.release(hold.id)).status is HoldStatus.RELEASED
    assert (await available(gate), await held(gate)) == (5, 0)


@pytest.mark.parametrize("loss", LOSSES)
async def test_several_captures_are_made_once(
    gate: Gatekeeper, store: LosingStore, loss: Loss
) -> None:
    await gate.grant(CUSTOMER, "exports", 3, reason="test")
    holds = [
        (await gate.reserve(CUSTOMER, "exports", 2)).hold,
        (await gate.reserve(CUSTOMER, "credits", 1)).hold,
    ]
    store.losses = [loss]
    ended = await gate.credits.capture_all(holds)
    assert [hold.id for hold in ended] == [hold.id for hold in holds]
    assert [hold.captured for hold in ended] == [2, 1]
    assert (await available(gate), await available(gate, "exports")) == (4, 1)


async def test_an_end_that_is_not_ours_is_not_taken_for_it(
    gate: Gatekeeper, store: LosingStore
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    await gate.release(hold.id)
    store.losses = ["before"]
    with pytest.raises(HoldEndedError):
        await gate.capture(hold.id)
    store.losses = ["before"]
    with pytest.raises(HoldEndedError):
        await gate.credits.capture_all([hold.hold])


async def test_a_second_loss_is_told(gate: Gatekeeper, store: LosingStore) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)
    store.losses = ["before", "before"]
    with pytest.raises(StoreUnavailableError):
        await gate.capture(hold.id)
    assert await held(gate) == 2


async def test_a_grant_is_sent_again_by_the_host_under_its_key(
    gate: Gatekeeper, store: LosingStore
) -> None:
    store.losses = ["after"]
    with pytest.raises(StoreUnavailableError) as failed:
        await gate.grant(CUSTOMER, "credits", 7, reason="sorry", idempotency_key="ticket")
    assert failed.value.params["outcome"] == "unknown"
    await gate.grant(CUSTOMER, "credits", 7, reason="sorry", idempotency_key="ticket")
    assert await available(gate) == 12


async def test_what_is_known_to_have_failed_is_told_at_once(
    gate: Gatekeeper, store: LosingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 2)

    async def away(work: Callable[[Transaction], T]) -> T:
        raise StoreUnavailableError

    monkeypatch.setattr(store, "write", away)
    with pytest.raises(StoreUnavailableError):
        await gate.reserve(CUSTOMER, "credits", 1)
    with pytest.raises(StoreUnavailableError):
        await gate.capture(hold.id)
    with pytest.raises(StoreUnavailableError):
        await gate.credits.capture_all([hold.hold])
    monkeypatch.undo()
    assert await held(gate) == 2
