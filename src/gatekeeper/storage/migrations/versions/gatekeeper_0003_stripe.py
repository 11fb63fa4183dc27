"""Stripe at full strength: copies of its objects, outgoing requests, metered usage, freezes.

All of it is new, so that releases of schema 2 go on beside it.

Revision ID: gatekeeper_0003
Revises: gatekeeper_0002
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "gatekeeper_0003"
down_revision: Final = "gatekeeper_0002"
branch_labels: Final = None
depends_on: Final = None

_INSTANT: Final = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
"""As `UtcDateTime` is stored. A migration imports nothing that a later release may change."""


def upgrade() -> None:
    """From schema 2."""
    _create_objects()
    _create_subscription_changes()
    _create_requests()
    _create_progress()
    _create_usage()
    _create_freezes()
    _create_payments()
    _create_transfers()
    _give_the_outbox_receivers()
    _index_purchases()
    _tell_of_failures()
    op.add_column(
        "gatekeeper_invoices",
        sa.Column(
            "failures_told",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("0"),
            comment="The last attempt of whose failure was told.",
        ),
    )
    _note_what_is_returned()
    op.execute(sa.text("UPDATE gatekeeper_schema SET version = 3, readable_from = 2"))


def downgrade() -> None:
    """Refused: usage that was not yet told to Stripe would be lost."""
    raise NotImplementedError(
        "Gatekeeper's third schema can't be taken back: what was written since would be lost."
    )


def _note_what_is_returned() -> None:
    for table, name, comment in (
        ("paid_lines", "paid_minor", "What was paid for the whole invoice."),
        ("paid_lines", "returned_minor", "What of that has gone back."),
        ("invoices", "credited_minor", "What credit notes gave back."),
    ):
        op.add_column(
            f"gatekeeper_{table}",
            sa.Column(
                name,
                sa.BigInteger(),
                nullable=False,
                server_default=sa.text("0"),
                comment=comment,
            ),
        )


def _create_objects() -> None:
    objects = "gatekeeper_objects"
    op.create_table(
        objects,
        _text("kind"),
        _text("id"),
        _text("account", comment="The Connect account; '' for our own."),
        _text("customer", null=True, comment="The host's customer, where it is known."),
        _text("stripe_customer", null=True),
        _text("parent", null=True, comment="'kind/id' of the object that it belongs to."),
        _text("status", null=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        _text("currency", null=True),
        _instant("created_at", null=True),
        _text("facts"),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        _instant("seen_at"),
        sa.PrimaryKeyConstraint("kind", "id", "account", name=op.f("pk_gatekeeper_objects")),
        comment="Stripe's objects as last fetched: facts is JSON, by projection/.",
    )
    op.create_index(
        op.f("ix_gatekeeper_objects_customer_kind"), objects, ["customer", "kind"], unique=False
    )
    op.create_index(
        op.f("ix_gatekeeper_objects_parent_kind"), objects, ["parent", "kind"], unique=False
    )
    _partial_index(
        "ix_gatekeeper_objects_nobodys", objects, ["stripe_customer"], "customer IS NULL"
    )


def _create_subscription_changes() -> None:
    changes = "gatekeeper_subscription_changes"
    op.create_table(
        changes,
        _text("subscription_id"),
        sa.Column(
            "sequence", sa.BigInteger(), nullable=False, comment="From 1, within the subscription."
        ),
        _text("customer"),
        _instant("at"),
        _text("cause"),
        _text("event_key", null=True, comment="The event of the inbox that caused it, if one did."),
        _text("status"),
        _text("facts"),
        sa.PrimaryKeyConstraint("subscription_id", "sequence", name=op.f(f"pk_{changes}")),
        comment="The states of each subscription, append-only, with what caused each.",
        sqlite_with_rowid=False,
    )
    op.create_index(op.f(f"ix_{changes}_customer"), changes, ["customer"], unique=False)


def _tell_of_failures() -> None:
    inbox = "gatekeeper_inbox"
    op.add_column(
        inbox, _text("error_kind", null=True, comment="Why it failed: transient, dependency, ...")
    )
    twin = "The key of the snapshot event that a thin one stands for."
    op.add_column(inbox, _text("twin", null=True, comment=twin))


def _create_requests() -> None:
    requests = "gatekeeper_requests"
    op.create_table(
        requests,
        _text("id"),
        _text("operation"),
        _text("path"),
        _text("idempotency_key"),
        _text("customer", null=True),
        _text("account", null=True),
        _text("params"),
        _text("status"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _instant("created_at"),
        _instant("due_at", comment="When it may be sent again, while open."),
        _instant("key_until", comment="Until when the idempotency key makes two sends one."),
        _instant("ended_at", null=True),
        _text("answer_id", null=True, comment="The id of what Stripe made."),
        _text("last_error", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_requests")),
        comment="Requests that change something at Stripe, written before they are sent.",
    )
    _partial_index("ix_gatekeeper_requests_open", requests, ["due_at"], "status = 'open'")
    _partial_index("ix_gatekeeper_requests_ended", requests, ["ended_at"], "status <> 'open'")


def _create_progress() -> None:
    op.create_table(
        "gatekeeper_progress",
        _text("name"),
        _text("state"),
        _instant("updated_at"),
        _instant("leased_until", null=True, comment="Until when one process works on it."),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_gatekeeper_progress")),
        comment="How far reconciliation, backfill and moves of prices have come: state is JSON.",
    )


def _create_usage() -> None:
    op.create_table(
        "gatekeeper_usage",
        _text("customer"),
        _text("meter"),
        _text("id"),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        _instant("at"),
        _instant("received_at"),
        _text("window_id", null=True, comment="The sealed window that it went into."),
        sa.PrimaryKeyConstraint("customer", "meter", "id", name=op.f("pk_gatekeeper_usage")),
        comment="Usage as it happened: append-only but for the window that it is sealed into.",
    )
    _partial_index(
        "ix_gatekeeper_usage_unsealed",
        "gatekeeper_usage",
        ["customer", "meter", "at"],
        "window_id IS NULL",
    )
    windows = "gatekeeper_usage_windows"
    op.create_table(
        windows,
        _text("customer"),
        _text("meter"),
        _text("id"),
        _instant("start"),
        _instant("at"),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        _text("identifier"),
        _text("status"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _instant("created_at"),
        _instant("due_at"),
        _instant("tried_at", null=True, comment="Since when it may have reached Stripe."),
        _instant("leased_until", null=True),
        _instant("sent_at", null=True),
        _text("last_error", null=True),
        sa.PrimaryKeyConstraint("customer", "meter", "id", name=op.f(f"pk_{windows}")),
        comment="Sealed sums of usage, each one meter event of Stripe's; corrections are new rows.",
    )
    op.create_index("ix_gatekeeper_usage_windows_identifier", windows, ["identifier"], unique=True)
    _partial_index("ix_gatekeeper_usage_windows_due", windows, ["due_at"], "status = 'pending'")
    _partial_index("ix_gatekeeper_usage_windows_dead", windows, ["created_at"], "status = 'dead'")


def _create_freezes() -> None:
    op.create_table(
        "gatekeeper_freezes",
        _text("customer"),
        _text("key", comment="What it is for, 'kind/id': the same one once."),
        _text("reason"),
        _instant("since"),
        _instant("lifted_at", null=True),
        _text("actor", null=True),
        sa.PrimaryKeyConstraint("customer", "key", name=op.f("pk_gatekeeper_freezes")),
    )


def _create_transfers() -> None:
    transfers = "gatekeeper_transfers"
    op.create_table(
        transfers,
        _text("id"),
        _text("customer", comment="Who has paid."),
        _text("charge_id"),
        _text("destination", comment="The seller's connected account."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        _text("currency"),
        _text("status"),
        _instant("created_at"),
        _instant("due_at", comment="When it may be tried, until sent."),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="How often Stripe has refused it."
        ),
        _text("transfer_id", null=True, comment="Stripe's."),
        sa.Column("reversed_minor", sa.BigInteger(), nullable=False),
        _instant("sent_at", null=True),
        _text("last_error", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_transfers")),
        comment="What is owed to sellers of what buyers have paid, and was sent to them.",
    )
    for column in ("customer", "transfer_id"):
        op.create_index(
            op.f(f"ix_gatekeeper_transfers_{column}"), transfers, [column], unique=False
        )
    waiting = sa.text("status <> 'sent'")
    op.create_index(
        "ix_gatekeeper_transfers_due",
        transfers,
        ["due_at"],
        unique=False,
        postgresql_where=waiting,
        sqlite_where=waiting,
    )


def _create_payments() -> None:
    payments = "gatekeeper_payments"
    op.create_table(
        payments,
        _text("id", comment="Of the payment intent, or of the charge."),
        _text("customer", null=True),
        _text("invoice_id", null=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("returned_minor", sa.BigInteger(), nullable=False),
        _text("shares", comment="JSON: the grants it has made."),
        _instant("updated_at", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gatekeeper_payments")),
        comment="What payments have granted, and how much of it was taken back.",
    )
    op.create_index(op.f("ix_gatekeeper_payments_customer"), payments, ["customer"], unique=False)
    op.create_index(
        op.f("ix_gatekeeper_payments_invoice_id"), payments, ["invoice_id"], unique=False
    )


def _give_the_outbox_receivers() -> None:
    outbox = "gatekeeper_outbox"
    op.add_column(
        outbox,
        sa.Column(
            "receiver",
            sa.Text(),
            nullable=False,
            server_default=sa.text("''"),
            comment="Whom it is for; empty: for all who receive its topic.",
        ),
    )
    waits = "CASE WHEN dead THEN false ELSE sent_at IS NULL END"
    op.drop_index("ix_gatekeeper_outbox_order", table_name=outbox)  # was by topic too
    order = ["customer", "receiver", "created_at", "id"]
    _partial_index("ix_gatekeeper_outbox_order", outbox, order, waits)
    op.drop_index("ix_gatekeeper_outbox_due", table_name=outbox)  # the oldest are asked for
    _partial_index("ix_gatekeeper_outbox_waiting", outbox, ["created_at", "id"], waits)
    unsent = "sent_at IS NULL AND NOT dead"
    by_receiver = ["receiver", "created_at", "id"]
    _partial_index("ix_gatekeeper_outbox_receiver", outbox, by_receiver, unsent)
    _partial_index("ix_gatekeeper_outbox_dead", outbox, ["created_at"], "dead")
    _partial_index("ix_gatekeeper_outbox_sent", outbox, ["sent_at"], "sent_at IS NOT NULL")


def _index_purchases() -> None:
    """A refund names the payment that it is of. What was paid twice is looked for."""
    for table, comment in (
        ("subscriptions", "The subscription that it was bought beside by mistake."),
        ("purchases", "The purchase of the same that it was paid beside."),
    ):
        op.add_column(f"gatekeeper_{table}", _text("duplicate_of", null=True, comment=comment))
    twice = sa.text("duplicate_of IS NOT NULL")
    op.create_index(
        "ix_gatekeeper_purchases_duplicates",
        "gatekeeper_purchases",
        ["created_at"],
        unique=False,
        postgresql_where=twice,
        sqlite_where=twice,
    )
    op.create_index(
        op.f("ix_gatekeeper_purchases_payment_intent_id"),
        "gatekeeper_purchases",
        ["payment_intent_id"],
        unique=False,
    )


def _text(name: str, *, null: bool = False, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=null, comment=comment)


def _instant(name: str, *, null: bool = False, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, _INSTANT, nullable=null, comment=comment)


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition)
