"""Whom the money of an archived transfer went to: its key sent again is a repetition only with the same account."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column; of what was archived before it is not known."""
    op.add_column("spent_key", sa.Column("taker", NUMBER, nullable=True))
