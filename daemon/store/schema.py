"""The tables, once, for every engine: money as 64-bit integers of nano-units, instants as microseconds, no float.

Entries and records are only ever inserted. A call is one row under its unique charge key. What a whole value needs to
be rebuilt travels in ``body``; the columns beside it are those that are searched, summed or checked.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

SCHEMA_VERSION = 1

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("role", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("balance", BigInteger, nullable=False, server_default="0"),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
    Column("uncollected", BigInteger, nullable=False, server_default="0"),
    Column("channels_in", Integer, nullable=False, server_default="0"),
    Column("channels_out", Integer, nullable=False, server_default="0"),
    Column("day", Integer, nullable=False, server_default="0"),
    Column("day_spent", BigInteger, nullable=False, server_default="0"),
    Column("second", BigInteger, nullable=False, server_default="0"),
    Column("second_calls", Integer, nullable=False, server_default="0"),
    UniqueConstraint("role", "tenant", "id"),
)

entry = Table(
    "entry",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("account", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("grant_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("uncollected", BigInteger, nullable=False),
    Column("channels_in", Integer, nullable=False),
    Column("channels_out", Integer, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("reserved_after", BigInteger, nullable=False),
    Column("key", Text),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("account", "key"),
    Index("entry_by_account", "account", "number"),
)

call = Table(
    "call",
    metadata,
    Column("grant_id", Text, primary_key=True),
    Column("id_domain", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    Column("payer", Integer, nullable=False),
    Column("direction", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("is_open", Integer, nullable=False),
    Column("joined", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("switch", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("id_domain", "call_id", "attempt", "part", "payer", "direction"),
)
Index("call_open", call.c.due_at, sqlite_where=call.c.is_open == 1, postgresql_where=call.c.is_open == 1)

call_alias = Table(
    "call_alias",
    metadata,
    Column("id_domain", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("grant_id", Text, primary_key=True),
)

message = Table(
    "message",
    metadata,
    Column("key", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("reply", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("grant_id", Text, nullable=False),
    Index("message_by_age", "at"),
)

record = Table(
    "record",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("record_id", Text, nullable=False, unique=True),
    Column("grant_id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("account", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("charge", BigInteger, nullable=False),
    Column("uncollected", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("settled_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("record_by_tenant", "tenant", "seq"),
    Index("record_by_grant", "grant_id"),
)

exceptional = Table(
    "exceptional",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("key", Text, unique=True),
    Column("kind", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("switch", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

config_object = Table(
    "config_object",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

deck_version = Table(
    "deck_version",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("rate_table", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("mode", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("source", Text, nullable=False),
)

deck_row = Table(
    "deck_row",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("rate_table", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("rate", BigInteger, nullable=False),
    Column("connect_fee", BigInteger, nullable=False),
    Column("first_seconds", Integer, nullable=False),
    Column("next_seconds", Integer, nullable=False),
    Column("free_seconds", Integer, nullable=False),
    Column("included_seconds", Integer, nullable=False),
    Column("minimum_charge", BigInteger, nullable=False),
    Column("effective_from", BigInteger, nullable=False),
    Column("effective_to", BigInteger, nullable=False),
    Column("rate_type", Text, nullable=False),
    Column("blocked", Integer, nullable=False),
    Index("deck_row_by_table", "tenant", "rate_table", "prefix"),
)

export_batch = Table(
    "export_batch",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("after_seq", BigInteger, nullable=False),
    Column("until_seq", BigInteger, nullable=False),
    Column("begins", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("zone", Text, nullable=False),
    Column("previous_manifest_sha256", Text, nullable=False),
    Column("manifest_sha256", Text, nullable=False),
)
