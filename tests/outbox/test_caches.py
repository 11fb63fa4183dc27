"""The caches are told of every change, though whoever made it dies right after its commit."""

from pathlib import Path

import anyio
import pytest

import gatekeeper
from gatekeeper.entitlements import Override
from gatekeeper.errors import StoreUnavailableError
from gatekeeper.services import customers
from gatekeeper.services.outbox import caches
from gatekeeper.services.outbox.caches import CacheTeller, outdate
from gatekeeper.storage.port import Store
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.events import subscription
from tests.gates import CUSTOMER, new_gate
from tests.stripe.world import World

pytestmark = pytest.mark.anyio

PRO = Override(kind="plan", key="pro", value=True)


class Caches:
    """What is told to invalidate; it can fail."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.failure: Exception | None = None

    async def __call__(self, customer: str, version: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.told.append((customer, version))


async def test_the_latest_version_of_each_customer_is_told_once(store: Store) -> None:
    for customer in ("ada", "bob"):
        await store.write(lambda tx, of=customer: customers.ensure(tx, of))  # type: ignore[misc]
    versions = [await store.write(lambda tx: outdate(tx, "ada")) for _ in range(3)]
    other = await store.write(lambda tx: outdate(tx, "bob"))
    told = Caches()
    assert await CacheTeller(store, told).tell_due() == 4
    assert sorted(told.told) == [("ada", max(versions)), ("bob", other)]
    assert await CacheTeller(store, told).tell_due() == 0
    assert len(told.told) == 2


async def test_what_could_not_be_told_is_told_later(store: Store) -> None:
    await store.write(lambda tx: customers.put_override(tx, "ada", PRO))
    told = Caches()
    told.failure = StoreUnavailableError()
    with pytest.raises(StoreUnavailableError):
        await CacheTeller(store, told).tell_due()
    told.failure = None
    assert await CacheTeller(store, told).tell_due() == 1
    assert [customer for customer, _ in told.told] == ["ada"]


async def test_a_change_that_is_rolled_back_is_not_told(store: Store) -> None:
    def fail(tx: object) -> None:
        customers.put_override(tx, "ada", PRO)  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(fail)
    assert await CacheTeller(store, Caches()).tell_due() == 0


async def test_an_event_whose_process_dies_after_its_commit_has_told_the_caches_all_the_same(
    world: World,
) -> None:
    """What is written with a subscription names the version that the customer now has."""
    await world.customer()
    world.stripe.put(subscription())
    await world.projections.subscriptions.refresh("sub_1")
    known = await world.store.read(lambda tx: tx.customers.get("org_1"))
    assert known is not None
    told = Caches()
    assert await CacheTeller(world.store, told).tell_due() > 0
    assert told.told == [("org_1", known.version)]
    assert world.invalidated[-1] == ("org_1", known.version)  # the quick way


async def test_an_open_gate_hears_of_what_a_process_without_a_cache_has_changed(
    migrated_sqlite_url: str,
) -> None:
    clock = ManualClock()
    async with new_gate(migrated_sqlite_url, clock=clock) as gate:
        store = gate._parts.store
        await store.write(lambda tx: customers.put_override(tx, CUSTOMER, PRO))
        assert await gate.allows(CUSTOMER, "downloads")
        # As a process does that is killed after the commit: nothing is invalidated by it.
        await store.write(lambda tx: customers.remove_override(tx, CUSTOMER, "plan", "pro"))
        with anyio.fail_after(20):
            while await gate.allows(CUSTOMER, "downloads"):  # noqa: ASYNC110 -- nobody tells us
                await anyio.sleep(0.02)


async def test_it_goes_on_after_an_outage(
    memory_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caches, "POLL_SECONDS", 0.001)
    await memory_store.write(lambda tx: customers.put_override(tx, "ada", PRO))
    told = anyio.Event()
    failures = [StoreUnavailableError()]

    async def invalidate(customer: str, version: int) -> None:
        if failures:
            raise failures.pop()
        told.set()

    async with anyio.create_task_group() as group:
        group.start_soon(CacheTeller(memory_store, invalidate).run)
        with anyio.fail_after(20):
            await told.wait()
        group.cancel_scope.cancel()
    assert "telling the caches was interrupted" in caplog.text


def test_nobody_moves_a_version_on_without_telling_the_caches() -> None:
    root = Path(gatekeeper.__file__).parent
    callers = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if ".customers.touch(" in path.read_text()
    ]
    allowed = [one for one in callers if not one.startswith("testing/conformance/")]
    assert allowed == ["services/outbox/caches.py"]
