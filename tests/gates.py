"""Gates to test: a catalogue, and a gate on a database of the test's own.

A conftest imports the fixtures: `clock`, `gate_url` (SQLite and PostgreSQL in turn) and `gate`
(open, on SQLite, on the clock).
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gatekeeper import Balance, Catalog, Feature, Gatekeeper, Limit, Plan, Settings, Unit
from gatekeeper.ledger import Entry, Hold
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.clock import ManualClock
from gatekeeper.types import Clock

CUSTOMER = "org_42"

credits, exports = Unit("credits"), Unit("exports")

CATALOG = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(5)]),
        Plan("pro", includes="free", features=[Feature("downloads")]),
        Plan("team", includes="pro", features=[Feature("support", on_outage="last_known")]),
    ],
    costs={"image": credits(4), "chat": credits.per(1_000)},
    declares=[exports, Feature("beta", on_outage="allow"), Limit("seats")],
)
"""Everybody begins with 5 credits."""

UPGRADE_URL = "/pricing"
WEBHOOK_SECRET = "whsec_" + "t" * 32


def new_gate(
    url: str, *, clock: Clock | None = None, store: Store | None = None, **settings: Any
) -> Gatekeeper:
    """A closed gate on a database that has our tables."""
    defaults = {"upgrade_url": UPGRADE_URL, "stripe_webhook_secret": WEBHOOK_SECRET}
    loaded = Settings.load(database_url=url, **{**defaults, **settings})
    return Gatekeeper(CATALOG, loaded, clock=clock, store=store)


async def balance(gate: Gatekeeper, unit: str = "credits", customer: str = CUSTOMER) -> Balance:
    return await gate.balance(customer, unit)


async def available(gate: Gatekeeper, unit: str = "credits", customer: str = CUSTOMER) -> int:
    found = (await gate.balance(customer, unit)).available
    assert found is not None
    return found


async def held(gate: Gatekeeper, unit: str = "credits", customer: str = CUSTOMER) -> int:
    return (await gate.balance(customer, unit)).held


class Books:
    """What the ledger of a database says, read by a connection beside the gate's."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._url = url
        self._clock = clock

    async def entries(self, unit: str = "credits", customer: str = CUSTOMER) -> list[Entry]:
        found: list[Entry] = await self._read(
            lambda tx: list(tx.ledger.entries(customer, unit, 0, 10_000))
        )
        return found

    async def hold(self, hold_id: str) -> Hold:
        found = await self._read(lambda tx: tx.ledger.find_hold(hold_id, customer=None))
        assert isinstance(found, Hold)
        return found

    async def spent(self, unit: str = "credits", customer: str = CUSTOMER) -> int:
        """What captures have taken."""
        entries = await self.entries(unit, customer)
        return -sum(entry.posted_delta for entry in entries if entry.kind == "capture")

    async def held(self, unit: str = "credits", customer: str = CUSTOMER) -> int:
        """What holds still claim, by the sum of the entries."""
        return sum(entry.held_delta for entry in await self.entries(unit, customer))

    async def _read(self, work: Any) -> Any:
        async with store_for(self._url, clock=self._clock) as store:

            def in_transaction(tx: Transaction) -> Any:
                return work(tx)

            return await store.read(in_transaction)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


# On PostgreSQL what is above the storage runs through the same lines.
ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.unmeasured)


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def gate_url(request: pytest.FixtureRequest) -> str:
    """Each database in turn."""
    name = "migrated_sqlite_url" if request.param == "sqlite" else "migrated_postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def gate(migrated_sqlite_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    """Open, on SQLite, in the time of `clock`."""
    async with new_gate(migrated_sqlite_url, clock=clock) as opened:
        yield opened
