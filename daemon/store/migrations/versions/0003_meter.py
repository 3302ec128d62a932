"""Meters: what an account used and holds of its bundles, and the volume by which its tiers are chosen."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table of meters; what was used before nobody counted."""
    op.create_table(
        "meter",
        sa.Column("account", NUMBER, sa.ForeignKey("account.number"), primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("carried", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0 AND held >= 0 AND carried >= 0"),
    )
