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
    _create_orders()
    _create_order_payments()
    _create_actions()
    _create_refunds()
    _index_objects()
    _index_customers()
    _create_sellers()
    _create_paybacks()
    _send_from_the_balance()
    _create_top_ups()
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


def _create_orders() -> None:
    orders = "gatekeeper_orders"
    op.create_table(
        orders,
        _text("id"),
        _text("customer", comment="Who pays."),
        _text("status"),
        _whole("amount_minor"),
        _text("currency"),
        _instant("created_at"),
        _instant("updated_at"),
        _text("actor", null=True, comment="Who has made it for them."),
        _text("reference", null=True, comment="The host's own id of it."),
        _text("description", null=True),
        _text("items", comment="JSON: what was asked for, and priced."),
        _text("metadata", comment="JSON: the host's words, for Stripe."),
        _text("capture"),
        _text("seller", null=True, comment="The customer whose sale it is."),
        _whole("commission_minor"),
        _text("transfers"),
        sa.Column("revision", sa.Integer(), nullable=False, comment="How often it was priced."),
        _text("payment_id", null=True, comment="The payment that is being made, or was."),
        _text("checkout_session_id", null=True),
        _whole("authorized_minor"),
        _whole("captured_minor"),
        _whole("refunded_minor"),
        _text("failure", null=True),
        _instant("paid_at", null=True),
        _instant("canceled_at", null=True),
        _text("cancel_reason", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{orders}")),
        comment="What customers pay once, as the host has priced it.",
    )
    for whose in ("customer", "seller"):
        name = op.f(f"ix_{orders}_{whose}_created_at_id")
        op.create_index(name, orders, [whose, "created_at", "id"], unique=False)
    session = "checkout_session_id"
    op.create_index(op.f(f"ix_{orders}_{session}"), orders, [session], unique=False)
    unsettled = sa.text("status IN ('pending', 'processing', 'failed')")
    op.create_index(
        "ix_gatekeeper_orders_unsettled",
        orders,
        ["id"],
        unique=False,
        postgresql_where=unsettled,
        sqlite_where=unsettled,
    )
    own = ["customer", "reference"]
    op.create_index("uq_gatekeeper_orders_reference", orders, own, unique=True)


def _create_order_payments() -> None:
    payments = "gatekeeper_order_payments"
    op.create_table(
        payments,
        _text("id", comment="Of the payment intent."),
        _text("order_id"),
        _text("customer"),
        _text("status"),
        _whole("amount_minor"),
        _text("currency"),
        _instant("created_at"),
        _whole("capturable_minor"),
        _whole("received_minor"),
        _whole("returned_minor"),
        _text("charge_id", null=True),
        _text("failure", null=True),
        _text("fault", null=True, comment="Why it can't pay the order."),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{payments}")),
        comment="The payments that were begun for orders, as Stripe has them.",
    )
    for column in ("order_id", "customer"):
        op.create_index(op.f(f"ix_{payments}_{column}"), payments, [column], unique=False)


def _create_actions() -> None:
    actions = "gatekeeper_actions"
    op.create_table(
        actions,
        _text("id"),
        _instant("at"),
        _text("actor", comment="Who did it, by the host's own id."),
        _text("kind"),
        _text("customer", null=True),
        _text("subject", null=True, comment="What it was done to: 'kind/id'."),
        _text("reason"),
        _text("before", null=True, comment="What has changed, as it was: a JSON object."),
        _text("after", null=True, comment="The same as it is."),
        _text("fingerprint", comment="Of all that was asked."),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{actions}")),
        comment="What people have changed in the back office: append-only.",
    )
    op.create_index(op.f(f"ix_{actions}_at_id"), actions, ["at", "id"], unique=False)
    op.create_index(
        op.f(f"ix_{actions}_customer_at_id"), actions, ["customer", "at", "id"], unique=False
    )


def _create_refunds() -> None:
    refunds = "gatekeeper_refunds"
    op.create_table(
        refunds,
        _text("id"),
        _text("customer", null=True, comment="Who has paid."),
        _text("payment_id"),
        _text("charge_id"),
        _text("invoice_id", null=True),
        _text("order_id", null=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        _text("currency"),
        _text("reason", null=True, comment="Stripe's word for it."),
        _text("note", comment="Why, in the actor's words."),
        _text("actor"),
        _text("status"),
        _text("refund_id", null=True, comment="Stripe's, once it is made."),
        _instant("created_at"),
        _instant("ended_at", null=True),
        _text("last_error", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{refunds}")),
        comment="Refunds that were asked for here; what became of each, its copy in objects tells.",
    )
    for column in ("customer", "payment_id", "refund_id"):
        op.create_index(op.f(f"ix_{refunds}_{column}"), refunds, [column], unique=False)
    _partial_index(f"ix_{refunds}_unmade", refunds, ["created_at", "id"], "status <> 'made'")


def _index_objects() -> None:
    objects = "gatekeeper_objects"
    for kind in ("balance_transaction", "dispute", "refund"):
        _partial_index(f"ix_{objects}_{kind}s", objects, ["created_at", "id"], f"kind = '{kind}'")


def _index_customers() -> None:
    customers = "gatekeeper_customers"
    op.create_index(op.f(f"ix_{customers}_email"), customers, ["email"], unique=False)


def _partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=False, postgresql_where=where, sqlite_where=where)


def _create_sellers() -> None:
    sellers = "gatekeeper_sellers"
    op.create_table(
        sellers,
        _text("customer"),
        _text("country", comment="ISO 3166-1, two letters."),
        _text("account_id", null=True, comment="Stripe's; NULL while it is being made."),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("customer", name=op.f(f"pk_{sellers}")),
        comment="The customers who sell, each on a connected account.",
    )
    op.create_index(op.f(f"ix_{sellers}_account_id"), sellers, ["account_id"], unique=True)


def _create_paybacks() -> None:
    paybacks = "gatekeeper_paybacks"
    op.create_table(
        paybacks,
        _text("id", comment="What it is for: 'refund/re_1'."),
        _text("order_id"),
        _text("customer", comment="Who has paid."),
        _text("destination", comment="The seller's connected account."),
        _text("owed_id", null=True, comment="Our own transfer that it is of."),
        _text("transfer_id", null=True, comment="Stripe's."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        _text("currency"),
        _text("status"),
        _instant("created_at"),
        _instant("due_at", comment="When it may be tried, until made."),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="How often Stripe has refused it."
        ),
        _text("reversal_id", null=True, comment="Stripe's."),
        _text("last_error", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{paybacks}")),
        comment="What sellers give back of what they got, because the buyer's money goes back.",
    )
    for column in ("customer", "order_id"):
        op.create_index(op.f(f"ix_{paybacks}_{column}"), paybacks, [column], unique=False)
    waiting = sa.text("status IN ('owed', 'failed')")
    op.create_index(
        f"ix_{paybacks}_due",
        paybacks,
        ["due_at"],
        unique=False,
        postgresql_where=waiting,
        sqlite_where=waiting,
    )


def _send_from_the_balance() -> None:
    op.add_column(
        "gatekeeper_transfers",
        sa.Column(
            "of_balance",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="Sent out of what the platform has, and not out of the charge.",
        ),
    )


def _create_top_ups() -> None:
    top_ups = "gatekeeper_top_ups"
    op.create_table(
        top_ups,
        _text("customer"),
        _text("unit"),
        _whole("threshold", comment="Due when less can be spent."),
        _text("pack"),
        _text("price", comment="The lookup key of the pack's price."),
        _whole("amount_minor", comment="The price that was agreed to."),
        _text("currency"),
        _whole("cap_minor", comment="The most in a calendar month."),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        _instant("agreed_at"),
        _text("agreed_by", null=True),
        _text("state"),
        _text("reason", null=True, comment="What it is blocked by."),
        _text("error", null=True, comment="Stripe's code of the last decline."),
        sa.Column("declines", sa.Integer(), nullable=False),
        _instant("month", null=True, comment="The beginning of the month of spent_minor."),
        _whole("spent_minor", comment="Paid, or being paid."),
        _whole("paying_minor", comment="What of it is being paid."),
        _text("purchase_id", null=True, comment="What is being paid, or was last."),
        _instant("begun_at", null=True),
        _text("card", null=True, comment="The payment method, Stripe's id."),
        _text("card_mark", null=True, comment="Tells the card apart from the one after it."),
        _instant("due_at", null=True, comment="When it is looked at next."),
        _instant("updated_at"),
        sa.PrimaryKeyConstraint("customer", "unit", name=op.f(f"pk_{top_ups}")),
        comment="Automatic top-ups: what is bought by itself, how far that is, and what stops it.",
    )
    _partial_index(f"ix_{top_ups}_due", top_ups, ["due_at"], "due_at IS NOT NULL")


def _whole(name: str, *, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, comment=comment)


def _text(name: str, *, null: bool = False, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=null, comment=comment)


def _instant(name: str, *, null: bool = False, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, _INSTANT, nullable=null, comment=comment)
