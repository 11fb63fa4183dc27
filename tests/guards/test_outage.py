"""What guards answer while the database is away, or Redis: each with a real server that stops."""

from collections.abc import AsyncIterator

import pytest

from gatekeeper import Gatekeeper, consumes_credits, requires_feature, requires_plan
from gatekeeper.cache import CachePolicy, MemoryCache
from gatekeeper.entitlements import Entitlements
from gatekeeper.storage.migrations import upgrade
from gatekeeper.testing.clock import ManualClock
from tests.asgi.apps import Answer, app_of, ask, by_header
from tests.gates import CATALOG, CUSTOMER, available, new_gate
from tests.services.postgres import PrivatePostgres
from tests.services.redis import PrivateRedis

pytestmark = pytest.mark.anyio

SHORT = CachePolicy(ttl_seconds=0.000_001)
"""Nothing is fresh by the time it is asked for again; it is the last known all the same."""


@pytest.fixture
def database(private_postgres: PrivatePostgres) -> PrivatePostgres:
    upgrade(private_postgres.url)
    return private_postgres


@pytest.fixture
async def gate(database: PrivatePostgres) -> AsyncIterator[Gatekeeper]:
    loaded = new_gate(database.url).settings
    cache: MemoryCache[Entitlements] = MemoryCache(SHORT)
    async with Gatekeeper(CATALOG, loaded, cache=cache) as opened:
        by_header(opened)
        yield opened


async def ask_for(gate: Gatekeeper, feature: str) -> Answer:
    @requires_feature(feature)
    async def handler() -> None: ...

    return await ask(app_of(gate, handler))


async def test_each_feature_answers_an_outage_as_it_declares(
    gate: Gatekeeper, database: PrivatePostgres
) -> None:
    await gate.customers.override_plan(CUSTOMER, "team")
    for feature in ("downloads", "support"):
        assert (await ask_for(gate, feature)).status == 200
    assert (await ask_for(gate, "beta")).status == 402

    database.stop()
    denied = await ask_for(gate, "downloads")
    assert (denied.status, denied.problem["code"]) == (503, "store_unavailable")
    assert denied.headers["retry-after"] == "1"
    assert (await ask_for(gate, "beta")).status == 200  # on_outage="allow"
    assert (await ask_for(gate, "support")).status == 200  # on_outage="last_known"
    stranger = "org_never_seen"
    assert not await gate.allows(stranger, "support")
    assert await gate.allows(stranger, "beta")
    assert (await gate.decide(CUSTOMER, "support")).basis == "last_known"
    assert (await gate.decide(CUSTOMER, "beta")).basis == "outage_policy"

    database.start()
    assert (await ask_for(gate, "beta")).status == 402
    assert (await ask_for(gate, "downloads")).status == 200


async def test_plans_and_credits_fail_closed(gate: Gatekeeper, database: PrivatePostgres) -> None:
    ran = 0

    @requires_plan("free")
    async def planned() -> None:
        nonlocal ran
        ran += 1

    @consumes_credits("image")
    async def spending() -> None:
        nonlocal ran
        ran += 1

    database.stop()
    for handler in (planned, spending):
        answer = await ask(app_of(gate, handler))
        assert (answer.status, answer.problem["code"]) == (503, "store_unavailable")
        assert "retry-after" in answer.headers
    assert ran == 0
    database.start()
    for handler in (planned, spending):
        assert (await ask(app_of(gate, handler))).status == 200


async def test_a_database_that_goes_away_in_mid_request_charges_nothing(
    gate: Gatekeeper, database: PrivatePostgres
) -> None:
    @consumes_credits("image")
    async def handler() -> None:
        database.kill()

    answer = await ask(app_of(gate, handler))
    assert (answer.status, answer.problem["code"]) == (503, "store_unavailable")
    await gate.tasks.drained()
    database.start()
    await gate.keeper.settle_late()
    assert await available(gate) == 5


async def test_guards_go_on_while_redis_is_gone(
    migrated_sqlite_url: str, private_redis: PrivateRedis, clock: ManualClock
) -> None:
    gate = new_gate(migrated_sqlite_url, clock=clock, redis_url=private_redis.url)
    async with gate:
        by_header(gate)
        await gate.customers.override_plan(CUSTOMER, "pro")
        assert (await ask_for(gate, "downloads")).status == 200
        private_redis.kill()
        assert (await ask_for(gate, "downloads")).status == 200
        assert await gate.customers.remove_override(CUSTOMER, "plan", "pro")
        assert (await ask_for(gate, "downloads")).status == 402

        @consumes_credits("image")
        async def handler() -> None: ...

        assert (await ask(app_of(gate, handler))).status == 200
        assert await available(gate) == 1
