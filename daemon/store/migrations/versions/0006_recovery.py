"""What each start of a daemon found open, for the operator's report of recovery."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create both tables; of earlier starts nobody kept anything."""
    op.create_table(
        "recovery",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("daemon", TEXT, nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("journalled", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recovery_call",
        sa.Column("recovery", NUMBER, sa.ForeignKey("recovery.number"), primary_key=True),
        sa.Column("grant_id", TEXT, primary_key=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("adopted_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("recovery_by_grant", "recovery_call", ["grant_id"])
