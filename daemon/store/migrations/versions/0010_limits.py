"""What accounts spend in a month, what fraud rules count of them, and the events of those rules."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns that count from now on, and a table; of the month that runs, what was spent before is not known."""
    op.add_column("account", sa.Column("month", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("account", sa.Column("month_spent", BIG, nullable=False, server_default="0"))
    op.add_column("account", sa.Column("windows", TEXT))
    op.create_table(
        "event",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("act", TEXT, nullable=False),
        sa.Column("call_id", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("is_done", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("event_by_account", "event", ["tenant", "account", "number"])
    there = sa.text("is_done = 0")
    op.create_index("event_to_do", "event", ["number"], sqlite_where=there, postgresql_where=there)
