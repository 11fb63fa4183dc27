"""What the workers sell, to whom, and the gate and database that they do it with."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from gatekeeper import Catalog, Gatekeeper, Meter, Plan, Price, Settings, Unit
from gatekeeper.ledger import Hold
from gatekeeper.types import Clock

credits, tokens = Unit("credits", low=50), Unit("tokens")

CATALOG: Final = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(300), tokens.once(60)]),
        Plan(
            "pro",
            includes="free",
            prices=[Price("pro", amount_minor=999, currency="eur", every="month")],
            grants=[
                tokens.every("month", 50, overage=Meter("extra_tokens", event_name="tokens")),
            ],
        ),
    ],
)

HOT: Final = tuple(f"hot-{n}" for n in range(3))
COLD: Final = tuple(f"cold-{n:03}" for n in range(300))

POOL_SIZE: Final = 5
"""Connections of each worker's own, beside the library's."""

_ROW: Final = text("INSERT INTO bank_rows VALUES (:id, :kind, :ref, :amount)")


@dataclass(frozen=True, slots=True)
class Ref:
    """A hold that somebody has made. `beside`: it is only captured beside a row of the host's."""

    id: str
    customer: str
    unit: str
    beside: bool

    @classmethod
    def of(cls, hold: Hold) -> "Ref":
        """The reference to a hold, whoever has made it."""
        return cls(hold.id, hold.customer, hold.unit, "beside" in (hold.reference or ""))


def some_account(rng: random.Random) -> tuple[str, str]:
    """A customer, often a hot one, and a unit."""
    customer = rng.choice(HOT if rng.random() < 0.4 else COLD)
    return customer, "credits" if rng.random() < 0.8 else "tokens"


def shared_key(rng: random.Random, what: str) -> str:
    """An idempotency key that other workers use at about the same time."""
    return f"{what}-{time.time() // 0.5:.0f}-{rng.randrange(6)}"


def new_gate(url: str, clock: Clock | None = None) -> Gatekeeper:
    """A closed gate."""
    return Gatekeeper(CATALOG, Settings.load(database_url=url), clock=clock)


async def add_row(session: AsyncSession, id_: str, kind: str, ref: str, amount: int) -> None:
    """Write a row of the host's in its open transaction."""
    await session.execute(_ROW, {"id": id_, "kind": kind, "ref": ref, "amount": amount})


@asynccontextmanager
async def host_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """The host's own connections, to the same database."""
    lite = url.startswith("sqlite")
    engine = create_async_engine(
        url.replace("sqlite:", "sqlite+aiosqlite:", 1),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=60,
        # They take accounts in any order. A deadlock that is found soon leaves time for more.
        connect_args={} if lite else {"server_settings": {"deadlock_timeout": "50ms"}},
    )
    if lite:
        _begin_immediate(engine)
    try:
        yield engine
    finally:
        await engine.dispose()


def _begin_immediate(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def leave_transactions_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
