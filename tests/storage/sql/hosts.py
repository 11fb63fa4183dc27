"""A host's own SQLAlchemy, on the same database: its engine, its table, its sessions."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker


class Base(DeclarativeBase):
    pass


class Order(Base):
    """The host's own row, written in the same transaction as Gatekeeper's."""

    __tablename__ = "host_orders"

    id: Mapped[str] = mapped_column(primary_key=True)


class AsyncHost:
    """An asynchronous host."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.session = async_sessionmaker(engine, expire_on_commit=False)


class SyncHost:
    """A synchronous host."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.session = sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def async_host(url: str) -> AsyncIterator[AsyncHost]:
    """A host on asyncpg or aiosqlite, as its URL says."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        parsed = parsed.set(drivername="sqlite+aiosqlite")
    engine = create_async_engine(parsed)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    try:
        yield AsyncHost(engine)
    finally:
        await engine.dispose()


@contextmanager
def sqlite_host(url: str) -> Iterator[SyncHost]:
    """A host on the standard library's driver."""
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    try:
        yield SyncHost(engine)
    finally:
        engine.dispose()
