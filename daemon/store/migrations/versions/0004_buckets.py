"""Buckets of accounts, and whose bucket an entry moved; units given once; what persons said that a balance was."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns that are empty for what was there, and two tables."""
    op.add_column("account", sa.Column("buckets", TEXT))
    op.add_column("account", sa.Column("bucket_due", BIG))
    there = sa.text("bucket_due IS NOT NULL")
    op.create_index("account_bucket_due", "account", ["bucket_due"], sqlite_where=there, postgresql_where=there)
    op.add_column("entry", sa.Column("bucket", TEXT, nullable=False, server_default=""))
    op.add_column("meter", sa.Column("expires_at", BIG, nullable=False, server_default="0"))
    op.create_table(
        "unit_grant",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("account", NUMBER, sa.ForeignKey("account.number"), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("units", BIG, nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("key", TEXT),
        sa.Column("who", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.UniqueConstraint("account", "key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "assertion",
        sa.Column("entry", NUMBER, primary_key=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("stated", BIG, nullable=False),
        sa.Column("found", BIG, nullable=False),
    )
