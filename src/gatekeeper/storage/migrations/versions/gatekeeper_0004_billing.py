"""The billing API: the first use of each client's key, and what the routes stand on.

All of it is new, so that releases of schema 2 go on beside it.

Revision ID: gatekeeper_0004
Revises: gatekeeper_0003
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "gatekeeper_0004"
down_revision: Final = "gatekeeper_0003"
branch_labels: Final = None
depends_on: Final = None

_INSTANT: Final = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
"""As `UtcDateTime` is stored. A migration imports nothing that a later release may change."""


def upgrade() -> None:
    """From schema 3."""
    _create_request_keys()
    op.execute(sa.text("UPDATE gatekeeper_schema SET version = 4, readable_from = 2"))


def downgrade() -> None:
    """Refused: what was paid and done since would be forgotten."""
    raise NotImplementedError(
        "Gatekeeper's fourth schema can't be taken back: what was written since would be lost."
    )


def _create_request_keys() -> None:
    keys = "gatekeeper_request_keys"
    op.create_table(
        keys,
        _text("customer", comment="Whose it is; or who in the back office."),
        _text("key"),
        _text("body_hash", comment="Of all that was asked with it."),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("customer", "key", name=op.f(f"pk_{keys}")),
        comment="The first use of each Idempotency-Key of the billing API.",
    )
    op.create_index(op.f(f"ix_{keys}_created_at"), keys, ["created_at"], unique=False)


def _text(name: str, *, null: bool = False, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=null, comment=comment)


def _instant(name: str, *, null: bool = False, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, _INSTANT, nullable=null, comment=comment)
