"""Bands, steps, tiers, codes and currencies of deck rows; what a version of a deck did, why, and from when.

A row of before has none of these: it is valid at all times of day, one step, one tier. What a version counted was not
kept; from when its prices are in force is read off its rows and ends.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT, INT, BIG = sa.Text(), sa.Integer(), sa.BigInteger()
ROW_TEXTS = ("time_band", "tax_code", "ledger_code", "currency")
ROW_NUMBERS = ("step_from_second", "tier_from")
COUNTS = ("new", "increased", "decreased", "changed", "closed")


def upgrade() -> None:
    """Add the columns; SQLite makes the table of versions anew, since a rule of it is another."""
    for name in ROW_TEXTS:
        op.add_column("deck_row", sa.Column(name, TEXT, nullable=False, server_default=""))
    for name in ROW_NUMBERS:
        op.add_column("deck_row", sa.Column(name, BIG, nullable=False, server_default="0"))
    op.create_index("deck_end_by_row", "deck_end", ["tenant", "rate_table", "row"])
    op.rename_table("deck_version", "deck_version_0001")
    _deck_version()
    op.execute(
        "INSERT INTO deck_version (tenant, rate_table, version, at, mode, who, source, digest, is_published, begins)"
        " SELECT tenant, rate_table, version, at, mode, who, source, digest, is_published, at FROM deck_version_0001"
    )
    op.drop_table("deck_version_0001")
    _date_versions()


def _deck_version() -> None:
    op.create_table(
        "deck_version",
        sa.Column("tenant", TEXT, primary_key=True),
        sa.Column("rate_table", TEXT, primary_key=True),
        sa.Column("version", INT, primary_key=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("who", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("is_published", INT, nullable=False),
        sa.Column("reason", TEXT, nullable=False, server_default=""),
        sa.Column("begins", BIG, nullable=False, server_default="0"),
        *(sa.Column(name, INT) for name in COUNTS),
        sa.CheckConstraint("mode IN ('replace', 'merge', 'rollback')"),
    )


def _date_versions() -> None:
    op.execute(
        "UPDATE deck_version SET begins = found.begins FROM"
        " (SELECT tenant, rate_table, version, min(begins) AS begins FROM"
        " (SELECT tenant, rate_table, version, effective_from AS begins FROM deck_row"
        " UNION ALL SELECT tenant, rate_table, version, at FROM deck_end)"
        " GROUP BY tenant, rate_table, version) AS found"
        " WHERE deck_version.tenant = found.tenant AND deck_version.rate_table = found.rate_table"
        " AND deck_version.version = found.version"
    )
