"""What the database knows of itself."""

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Integer, Text

from gatekeeper.storage.sql.tables.base import required, table

stamp: Final = table(
    "stamp",
    Column("id", Integer, autoincrement=False),
    required("account"),
    required("livemode", Boolean),
    CheckConstraint("id = 1", name="single"),
    key=("id",),
    comment="The one Stripe account and mode that this database belongs to.",
)

schema: Final = table(
    "schema",
    Column("id", Integer, autoincrement=False),
    Column("version", Integer, nullable=False, comment="The number of this schema."),
    Column(
        "readable_from",
        Integer,
        nullable=False,
        comment="The oldest schema number whose releases still run on this schema.",
    ),
    Column(
        "database_id", Text, nullable=False, comment="Made at random once; tells databases apart."
    ),
    CheckConstraint("id = 1", name="single"),
    key=("id",),
    comment="What releases this schema is good for; each migration writes it.",
)
