"""The first schema.

A migration is frozen: it states its tables as they were, and never imports the living schema.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INT, BIG, BLOB = sa.Integer(), sa.BigInteger(), sa.LargeBinary()
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _account()
    _audit()
    _call_alias()
    _config_object()
    _deck_end()
    _deck_row()
    _deck_version()
    _exceptional()
    _export_batch()
    _message()
    _meta()
    _call()
    _entry()
    _record()


def _account() -> None:
    op.create_table(
        "account",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("balance", BIG, nullable=False, server_default="0"),
        sa.Column("reserved", BIG, nullable=False, server_default="0"),
        sa.Column("uncollected", BIG, nullable=False, server_default="0"),
        sa.Column("channels_in", INT, nullable=False, server_default="0"),
        sa.Column("channels_out", INT, nullable=False, server_default="0"),
        sa.Column("day", INT, nullable=False, server_default="0"),
        sa.Column("day_spent", BIG, nullable=False, server_default="0"),
        sa.Column("second", BIG, nullable=False, server_default="0"),
        sa.Column("second_calls", INT, nullable=False, server_default="0"),
        sa.UniqueConstraint("role", "tenant", "id"),
        sa.CheckConstraint("role IN ('customer', 'carrier')"),
        sa.CheckConstraint("reserved >= 0 AND uncollected >= 0 AND channels_in >= 0 AND channels_out >= 0"),
        sqlite_autoincrement=True,
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("act", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("who", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_object", "audit", ["kind", "tenant", "id"])


def _call_alias() -> None:
    op.create_table(
        "call_alias",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id_domain", TEXT, nullable=False),
        sa.Column("alias", TEXT, nullable=False),
        sa.Column("grant_id", TEXT, nullable=False),
    )
    op.create_index("call_by_alias", "call_alias", ["id_domain", "alias", "number"])


def _config_object() -> None:
    op.create_table(
        "config_object",
        sa.Column("kind", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, primary_key=True),
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("body", BLOB, nullable=False),
        sa.Column("stated", BLOB),
    )


def _deck_end() -> None:
    op.create_table(
        "deck_end",
        sa.Column("tenant", TEXT, primary_key=True),
        sa.Column("rate_table", TEXT, primary_key=True),
        sa.Column("version", INT, primary_key=True),
        sa.Column("row", NUMBER, primary_key=True),
        sa.Column("at", BIG, nullable=False),
    )


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
        sa.Column("connect_fee", BIG, nullable=False),
        sa.Column("first_seconds", INT, nullable=False),
        sa.Column("next_seconds", INT, nullable=False),
        sa.Column("free_seconds", INT, nullable=False),
        sa.Column("included_seconds", INT, nullable=False),
        sa.Column("minimum_charge", BIG, nullable=False),
        sa.Column("effective_from", BIG, nullable=False),
        sa.Column("effective_to", BIG, nullable=False),
        sa.Column("rate_type", TEXT, nullable=False),
        sa.Column("blocked", INT, nullable=False),
    )
    op.create_index("deck_row_by_table", "deck_row", ["tenant", "rate_table", "version"])


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
        sa.CheckConstraint("mode IN ('replace', 'merge')"),
    )


def _exceptional() -> None:
    op.create_table(
        "exceptional",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("key", TEXT, unique=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("switch", TEXT, nullable=False),
        sa.Column("call_id", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sqlite_autoincrement=True,
    )


def _export_batch() -> None:
    op.create_table(
        "export_batch",
        sa.Column("tenant", TEXT, primary_key=True),
        sa.Column("sequence", INT, primary_key=True),
        sa.Column("after_seq", BIG, nullable=False),
        sa.Column("until_seq", BIG, nullable=False),
        sa.Column("begins", BIG, nullable=False),
        sa.Column("until", BIG, nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("zone", TEXT, nullable=False),
        sa.Column("previous_manifest_sha256", TEXT, nullable=False),
        sa.Column("manifest_sha256", TEXT, nullable=False),
        sa.CheckConstraint("after_seq <= until_seq"),
    )


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("key", TEXT, nullable=False, unique=True),
        sa.Column("body", BLOB, nullable=False),
        sa.Column("reply", BLOB, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("grant_id", TEXT, nullable=False),
    )


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("value", BIG, nullable=False),
    )


def _call() -> None:
    op.create_table(
        "call",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("grant_id", TEXT, nullable=False, unique=True),
        sa.Column("id_domain", TEXT, nullable=False),
        sa.Column("call_id", TEXT, nullable=False),
        sa.Column("direction", TEXT, nullable=False),
        sa.Column("attempt", INT, nullable=False),
        sa.Column("part", INT, nullable=False),
        sa.Column("payer", NUMBER, sa.ForeignKey("account.number"), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("is_open", INT, nullable=False),
        sa.Column("due_at", BIG, nullable=False),
        sa.Column("requested_at", BIG, nullable=False),
        sa.Column("switch", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.UniqueConstraint("id_domain", "call_id", "direction", "attempt", "part", "payer", name="charge_key"),
    )
    op.create_index(
        "call_open", "call", ["due_at"], sqlite_where=sa.text("is_open = 1"), postgresql_where=sa.text("is_open = 1")
    )


def _entry() -> None:
    op.create_table(
        "entry",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("account", NUMBER, sa.ForeignKey("account.number"), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("grant_id", TEXT, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("pending", BIG, nullable=False),
        sa.Column("uncollected", BIG, nullable=False),
        sa.Column("channels_in", INT, nullable=False),
        sa.Column("channels_out", INT, nullable=False),
        sa.Column("balance_after", BIG, nullable=False),
        sa.Column("reserved_after", BIG, nullable=False),
        sa.Column("key", TEXT),
        sa.Column("who", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("entry_by_account", "entry", ["account", "number"])
    op.create_index(
        "entry_by_key",
        "entry",
        ["account", "key"],
        unique=True,
        sqlite_where=sa.text("key IS NOT NULL"),
        postgresql_where=sa.text("key IS NOT NULL"),
    )


def _record() -> None:
    op.create_table(
        "record",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("record_id", TEXT, nullable=False, unique=True),
        sa.Column("grant_id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("account", NUMBER, sa.ForeignKey("account.number"), nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("charge", BIG, nullable=False),
        sa.Column("uncollected", BIG, nullable=False),
        sa.Column("cost", BIG, nullable=False),
        sa.Column("settled_at", BIG, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("record_by_grant", "record", ["grant_id"])
    op.create_index("record_by_tenant", "record", ["tenant", "seq"])
