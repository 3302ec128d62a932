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

INT, BIG = sa.Integer(), sa.BigInteger()
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTS = ("new", "increased", "decreased", "changed", "closed")
FIRST_TERMS = (
    "connect_fee", "first_seconds", "next_seconds", "free_seconds", "included_seconds", "minimum_charge",
    "effective_from", "effective_to", "rate_type", "blocked",
)  # fmt: skip


def upgrade() -> None:
    """Keep the terms of rows apart, once each, with their new columns; what versions say of themselves is more."""
    op.create_index("deck_end_by_row", "deck_end", ["tenant", "rate_table", "row"])
    op.rename_table("deck_version", "deck_version_0001")
    _deck_version()
    op.execute(
        "INSERT INTO deck_version (tenant, rate_table, version, at, mode, who, source, digest, is_published, begins)"
        " SELECT tenant, rate_table, version, at, mode, who, source, digest, is_published, at FROM deck_version_0001"
    )
    op.drop_table("deck_version_0001")
    _date_versions()
    _deck_terms()
    op.rename_table("deck_row", "deck_row_0001")
    op.drop_index("deck_row_by_table", "deck_row_0001")
    _deck_row()
    _move_rows()
    op.drop_table("deck_row_0001")


def _deck_terms() -> None:
    op.create_table(
        "deck_terms",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        *(sa.Column(name, BIG, nullable=False) for name in FIRST_TERMS[:8]),
        sa.Column("rate_type", TEXT, nullable=False),
        sa.Column("blocked", INT, nullable=False),
        sa.Column("time_band", TEXT, nullable=False),
        sa.Column("step_from_second", BIG, nullable=False),
        sa.Column("tier_from", BIG, nullable=False),
        sa.Column("tax_code", TEXT, nullable=False),
        sa.Column("ledger_code", TEXT, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.UniqueConstraint(
            "effective_from", "effective_to", "rate_type", "time_band", "step_from_second", "tier_from", "connect_fee",
            "first_seconds", "next_seconds", "free_seconds", "included_seconds", "minimum_charge", "blocked",
            "tax_code", "ledger_code", "currency",
        ),
    )  # fmt: skip


def _deck_row() -> None:
    op.create_table(
        "deck_row",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("rate_table", TEXT, nullable=False),
        sa.Column("version", INT, nullable=False),
        sa.Column("prefix", TEXT, nullable=False),
        sa.Column("destination", TEXT, nullable=False),
        sa.Column("rate", BIG, nullable=False),
        sa.Column("terms", NUMBER, sa.ForeignKey("deck_terms.number"), nullable=False),
    )
    op.create_index("deck_row_by_table", "deck_row", ["tenant", "rate_table", "version"])


def _move_rows() -> None:
    names = ", ".join(FIRST_TERMS)
    op.execute(
        f"INSERT INTO deck_terms ({names}, time_band, step_from_second, tier_from, tax_code, ledger_code, currency)"
        f" SELECT DISTINCT {names}, '', 0, 0, '', '', '' FROM deck_row_0001"
    )
    same = " AND ".join(f"deck_terms.{name} = old.{name}" for name in FIRST_TERMS)
    same += " AND time_band = '' AND step_from_second = 0 AND tier_from = 0"  # so that the index serves
    op.execute(
        "INSERT INTO deck_row (number, tenant, rate_table, version, prefix, destination, rate, terms)"
        " SELECT old.number, old.tenant, old.rate_table, old.version, old.prefix, old.destination, old.rate,"
        f" deck_terms.number FROM deck_row_0001 AS old JOIN deck_terms ON {same}"
    )
    if op.get_bind().dialect.name == "postgresql":  # which counts on from what it gave, not from what is there
        op.execute(
            "SELECT setval(pg_get_serial_sequence('deck_row', 'number'), coalesce(max(number), 0) + 1, false)"
            " FROM deck_row"
        )


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
        " UNION ALL SELECT tenant, rate_table, version, at FROM deck_end) AS changes"
        " GROUP BY tenant, rate_table, version) AS found"
        " WHERE deck_version.tenant = found.tenant AND deck_version.rate_table = found.rate_table"
        " AND deck_version.version = found.version"
    )
