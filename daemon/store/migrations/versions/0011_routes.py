"""What carriers' attempts come to: counts by hour and group of numbers, and the grades that were made of them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add two tables that count from now on: of the calls before, nobody knows which carriers failed."""
    op.create_table(
        "carrier_tally",
        sa.Column("carrier", NUMBER, sa.ForeignKey("account.number"), primary_key=True),
        sa.Column("prefix", TEXT, primary_key=True),
        sa.Column("hour", sa.Integer(), primary_key=True),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("answered", BIG, nullable=False),
        sa.Column("seconds", BIG, nullable=False),
    )
    op.create_table(
        "carrier_quality",
        sa.Column("carrier", NUMBER, sa.ForeignKey("account.number"), primary_key=True),
        sa.Column("prefix", TEXT, primary_key=True),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("answered", BIG, nullable=False),
        sa.Column("seconds", BIG, nullable=False),
        sa.Column("asr_grade", sa.Integer(), nullable=False),
        sa.Column("acd_grade", sa.Integer(), nullable=False),
    )
