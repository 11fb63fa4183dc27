"""The engine against a naive ledger: bare, and through every store.

`make test-long` runs it with Hypothesis' profile `long`.
"""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from tests.ledger.drivers import Driver, PureDriver, StoreDriver
from tests.ledger.machine import LedgerMachine

pytestmark = pytest.mark.unmeasured

IS_LONG = settings.get_current_profile_name() == "long"


def _profile(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


IN_MEMORY = _profile(2_000, 50) if IS_LONG else _profile(100, 30)
IN_STORES_MEMORY = _profile(2_000, 50) if IS_LONG else _profile(40, 30)
IN_SQL = _profile(500, 40) if IS_LONG else _profile(15, 20)


def test_the_engine_agrees_with_the_naive_ledger() -> None:
    class Machine(LedgerMachine):
        def make_driver(self) -> Driver:
            return PureDriver()

    run_state_machine_as_test(Machine, settings=IN_MEMORY)


def test_the_memory_store_agrees_with_the_naive_ledger() -> None:
    _run(MemoryStore(), IN_STORES_MEMORY)


def test_sqlite_agrees_with_the_naive_ledger(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    _run(store_for(sqlite_url), IN_SQL)


def test_postgresql_agrees_with_the_naive_ledger(postgres_url: str) -> None:
    upgrade(postgres_url)
    _run(store_for(postgres_url), IN_SQL)


def _run(store: Store, profile: settings) -> None:
    customers = (f"customer {number}" for number in itertools.count())
    with _opened(store) as runner:

        class Machine(LedgerMachine):
            def make_driver(self) -> Driver:
                return StoreDriver(store, runner, next(customers))

        run_state_machine_as_test(Machine, settings=profile)


@contextmanager
def _opened(store: Store) -> Iterator[asyncio.Runner]:
    """One event loop for all examples, with the store opened on it."""
    with asyncio.Runner() as runner:
        runner.run(store.open())
        try:
            yield runner
        finally:
            runner.run(store.close())
