"""The ledger at full strength: revisions, caps, scopes, grants that begin later; and erasure.

Every new column has a default or may be NULL, so that what still runs of schema 1 goes on; but it
does not know grants that begin later, captures in parts or caps, and would drop them. So no release
of schema 1 starts on this one: end those that run before the new features are used.

Revision ID: gatekeeper_0002
Revises: gatekeeper_0001
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "gatekeeper_0002"
down_revision: Final = "gatekeeper_0001"
branch_labels: Final = None
depends_on: Final = None

_INSTANT: Final = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
"""As `UtcDateTime` is stored. A migration imports nothing that a later release may change."""

_METADATA: Final = "The caller's own, a JSON object."


def upgrade() -> None:
    """From schema 1. No table is written anew: the defaults are constants."""
    _widen_accounts()
    _widen_entries()
    _widen_grants()
    _widen_holds()
    _create_caps()
    _create_erased()
    op.execute(sa.text("UPDATE gatekeeper_schema SET version = 2, readable_from = 2"))


def downgrade() -> None:
    """Refused: caps and the metadata of entries would be lost."""
    raise NotImplementedError(
        "Gatekeeper's second schema can't be taken back: what was written since would be lost."
    )


def _widen_accounts() -> None:
    accounts = "gatekeeper_accounts"
    op.add_column(
        accounts,
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="Moves on with every write of the row.",
        ),
    )
    op.add_column(
        accounts,
        sa.Column(
            "standing",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'[]'"),
            comment="Caps, alerts and until when it is up to date, packed JSON.",
        ),
    )
    op.add_column(
        accounts,
        sa.Column(
            "notice_due_at",
            _INSTANT,
            nullable=True,
            comment="When a grant's expiry is to be told of.",
        ),
    )
    _partial_index(
        "ix_gatekeeper_accounts_notice", accounts, ["notice_due_at"], "notice_due_at IS NOT NULL"
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute(sa.text(f"ALTER TABLE {accounts} SET (fillfactor = 50)"))


def _widen_entries() -> None:
    entries = "gatekeeper_entries"
    _add_scope(entries)
    op.add_column(entries, sa.Column("metadata", sa.Text(), nullable=True, comment=_METADATA))
    _partial_index(
        "ix_gatekeeper_entries_captures", entries, ["customer", "at"], "kind = 'capture'"
    )


def _widen_grants() -> None:
    grants = "gatekeeper_grants"
    op.add_column(
        grants,
        sa.Column("effective_at", _INSTANT, nullable=True, comment="NULL: from created_at on."),
    )
    op.add_column(
        grants,
        sa.Column("priority", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    op.add_column(grants, sa.Column("metadata", sa.Text(), nullable=True, comment=_METADATA))


def _widen_holds() -> None:
    holds = "gatekeeper_holds"
    _add_scope(holds)
    op.add_column(holds, sa.Column("metadata", sa.Text(), nullable=True, comment=_METADATA))
    op.add_column(
        holds,
        sa.Column(
            "formula",
            sa.Text(),
            nullable=True,
            comment="What it costs, if by a formula: packed JSON.",
        ),
    )


def _create_caps() -> None:
    op.create_table(
        "gatekeeper_caps",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("every", sa.Text(), nullable=False),
        sa.Column(
            "cap_limit", sa.BigInteger(), nullable=True, comment="NULL: counted, not refused."
        ),
        sa.Column("window_start", _INSTANT, nullable=False),
        sa.Column("window_end", _INSTANT, nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("reached", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "customer", "unit", "scope", "every", name=op.f("pk_gatekeeper_caps")
        ),
        comment=(
            "How much a part of an account may use in each window; kept under the account's lock."
        ),
    )


def _create_erased() -> None:
    op.create_table(
        "gatekeeper_erased",
        sa.Column("id_hash", sa.Text(), nullable=False),
        sa.Column("erased_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_gatekeeper_erased")),
        comment="Customers who were erased, by a hash of their id: it is not used again.",
    )


def _add_scope(table: str) -> None:
    op.add_column(
        table, sa.Column("scope", sa.Text(), nullable=False, server_default=sa.text("''"))
    )


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition)
