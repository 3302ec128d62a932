"""Vouchers; and since when an account is suspended because its money came to its end."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column that says of nobody that he is suspended, and the tables of vouchers, which are empty."""
    op.add_column("account", sa.Column("suspended_at", BIG, nullable=False, server_default="0"))
    marks = sa.text("kind IN ('suspend', 'resume')")
    op.create_index("entry_of_rule", "entry", ["number"], sqlite_where=marks, postgresql_where=marks)
    op.create_table(
        "voucher_batch",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("units", BIG, nullable=False),
        sa.Column("bundle", TEXT, nullable=False),
        sa.Column("bucket", TEXT, nullable=False),
        sa.Column("bucket_kind", TEXT, nullable=False),
        sa.Column("bucket_days", sa.Integer(), nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("blocked_at", BIG, nullable=False),
        sa.Column("is_published", sa.Integer(), nullable=False),
        sa.Column("who", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.UniqueConstraint("tenant", "id"),
        sa.CheckConstraint("(amount > 0 AND units = 0) OR (amount = 0 AND units > 0)"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "voucher",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("batch", NUMBER, sa.ForeignKey("voucher_batch.number"), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("blocked_at", BIG, nullable=False),
        sa.Column("account", NUMBER, sa.ForeignKey("account.number")),
        sa.Column("redeemed_at", BIG, nullable=False),
        sa.UniqueConstraint("batch", "serial"),
        sa.CheckConstraint("(account IS NULL AND redeemed_at = 0) OR (account IS NOT NULL AND redeemed_at > 0)"),
        sqlite_with_rowid=False,
    )
    taken = sa.text("account IS NOT NULL")
    op.create_index("voucher_redeemed", "voucher", ["batch", "serial"], sqlite_where=taken, postgresql_where=taken)
    blocked = sa.text("blocked_at > 0")
    op.create_index("voucher_blocked", "voucher", ["batch"], sqlite_where=blocked, postgresql_where=blocked)
    op.create_table(
        "voucher_salt",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("value", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "voucher_failure",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("account", NUMBER, sa.ForeignKey("account.number"), nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("batch", TEXT, nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
    )
    op.create_index("voucher_failure_by_account", "voucher_failure", ["account", "at"])
    op.create_index("voucher_failure_by_token", "voucher_failure", ["token", "at"])
    op.create_index("voucher_failure_by_time", "voucher_failure", ["at"])
