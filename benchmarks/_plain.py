"""The same two steps in tables of the benchmark's own: what pgbench and SQLAlchemy are run on.

They have what a reservation can't do without: an account with its balance, its number and its
CHECKs; a hold that ends once and can be found when its time is over; an entry for each step. They
have no grants (ours spend from grants, in burn order), no debt, no idempotency, no caps, no index
on the hold's id, and nothing about who did it: less than ours writes, in their favour. The keys,
the types and the free space in accounts' pages are as ours, so that rows and indexes are alike.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    MetaData,
    Table,
    Text,
    text,
)

from benchmarks._databases import Database
from benchmarks._gates import CREDITS
from benchmarks._load import HOT, MANY

PREFIX: Final = "plain_"

metadata: Final = MetaData()
_TIME: Final = DateTime(timezone=True)

accounts: Final = Table(
    PREFIX + "accounts",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("posted", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("last_entry_at", _TIME),
    CheckConstraint("posted - held >= 0"),
    CheckConstraint("held >= 0"),
    postgresql_with={"fillfactor": 50},
)

holds: Final = Table(
    PREFIX + "holds",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("status", Text, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("ended_at", _TIME),
    Index(
        "ix_plain_holds_open_expiry",
        "expires_at",
        postgresql_where=text("status = 'open'"),
        sqlite_where=text("status = 'open'"),
    ),
)

entries: Final = Table(
    PREFIX + "entries",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", _TIME, nullable=False),
    Column("posted_delta", BigInteger, nullable=False),
    Column("held_delta", BigInteger, nullable=False),
    Column("hold_id", Text),
    sqlite_with_rowid=False,
)


def seed_plain(database: Database) -> None:
    """The customers of all workloads, with their credits. Their sums begin with a first entry."""
    for customer, source in (
        (f"'{HOT}'", "(SELECT 1) AS one"),
        ("'c' || n", database.numbers(MANY)),
    ):
        database.run(
            [
                f"INSERT INTO plain_accounts SELECT {customer}, 'credits', {CREDITS}, 0, 1, "
                f"CURRENT_TIMESTAMP FROM {source}",
                f"INSERT INTO plain_entries SELECT {customer}, 'credits', 1, 'grant', "
                f"CURRENT_TIMESTAMP, {CREDITS}, 0, NULL FROM {source}",
            ]
        )
    database.settle()
