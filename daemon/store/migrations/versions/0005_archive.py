"""Archives: which months left the store, what they leave behind in it, and the keys that still have to be known."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SUMS = ("balance", "reserved", "uncollected", "channels_in", "channels_out")


def upgrade() -> None:
    """Create the tables, empty: nothing has left the store yet."""
    op.create_table(
        "archive",
        sa.Column("month", TEXT, primary_key=True),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("entries_until", sa.BigInteger(), nullable=False),
        sa.Column("entries_done", sa.BigInteger(), nullable=False),
        sa.Column("calls_done", sa.BigInteger(), nullable=False),
        sa.Column("manifest_sha256", TEXT, nullable=False),
        sa.Column("is_done", sa.Integer(), nullable=False),
    )
    op.create_table(
        "archive_kept",
        sa.Column("month", TEXT, primary_key=True),
        sa.Column("grant_id", TEXT, primary_key=True),
    )
    op.create_table(
        "opening",
        sa.Column("account", NUMBER, sa.ForeignKey("account.number"), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
    )
    op.create_table(
        "spent_key",
        sa.Column("account", NUMBER, sa.ForeignKey("account.number"), primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("bucket", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
