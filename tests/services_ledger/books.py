"""What must be true of a database's ledger whatever happened, and statements for its rows."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.bank.checker import check, report
from tests.bank.reading import TABLES, execute


async def assert_no_breach(url: str) -> None:
    """Every sum agrees with its parts: accounts, grants, holds, entries."""
    await execute(url, "DROP TABLE IF EXISTS bank_rows", TABLES)
    breaches = await check(url)
    assert not breaches, await report(url, breaches)


async def run_sql(url: str, *statements: str) -> None:
    """Run statements in one transaction, beside every gate."""
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:", 1), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()
