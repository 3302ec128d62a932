"""The tables, once, for every engine: money as 64-bit integers of nano-units, instants as microseconds, no float.

Entries and records are only ever inserted. A call is one row under its unique charge key. What a whole value needs to
be rebuilt travels as JSON in ``body``; the columns beside it are those that are searched, summed or checked.
A column's type says what it holds; a rule that the database can hold is held there too, but for one: on PostgreSQL
entries, records and calls name their account without a foreign key, which each row of a batch would pay for.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

# A number that the store counts itself: SQLite does so only for INTEGER, which has 64 bits there.
Number = BigInteger().with_variant(Integer(), "sqlite")
# Words sort by their octets on both engines, whatever language a server's database was made for.
Words = Text().with_variant(Text(collation="C"), "postgresql")
metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column(
        "name", Words, primary_key=True
    ),  # revision: of the configuration; ping, doctor: how often they wrote; store: drawn once
    Column("value", BigInteger, nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("role", Words, nullable=False),
    Column("tenant", Words, nullable=False),
    Column("id", Words, nullable=False),
    Column("balance", BigInteger, nullable=False, server_default="0"),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
    Column("uncollected", BigInteger, nullable=False, server_default="0"),
    Column("channels_in", Integer, nullable=False, server_default="0"),
    Column("channels_out", Integer, nullable=False, server_default="0"),
    Column("day", Integer, nullable=False, server_default="0"),
    Column("day_spent", BigInteger, nullable=False, server_default="0"),
    Column("month", Integer, nullable=False, server_default="0"),
    Column("month_spent", BigInteger, nullable=False, server_default="0"),
    Column("second", BigInteger, nullable=False, server_default="0"),
    Column("second_calls", Integer, nullable=False, server_default="0"),
    Column("suspended_at", BigInteger, nullable=False, server_default="0"),  # by the rule, since; 0: not
    Column("buckets", Words),  # JSON of ledger.bucket.Bucket in the order of use; null: none
    Column("windows", Words),  # JSON of ledger.window.Window, what fraud rules count; null: nothing
    Column("bucket_due", BigInteger),  # the first expiry of a bucket that is not closed yet
    UniqueConstraint("role", "tenant", "id"),
    CheckConstraint("role IN ('customer', 'carrier')"),
    CheckConstraint("reserved >= 0 AND uncollected >= 0 AND channels_in >= 0 AND channels_out >= 0"),
    sqlite_autoincrement=True,
)

Index(
    "account_bucket_due", account.c.bucket_due,
    sqlite_where=account.c.bucket_due.is_not(None), postgresql_where=account.c.bucket_due.is_not(None),
)  # fmt: skip

meter = Table(  # units of bundles and volumes of tiers; held by open calls, used by records
    "meter",
    metadata,
    Column("account", Number, ForeignKey("account.number"), primary_key=True),
    Column("name", Words, primary_key=True),
    Column("period", Integer, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("carried", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, server_default="0"),  # of units given once; 0: never
    CheckConstraint("used >= 0 AND held >= 0 AND carried >= 0"),
)

carrier_tally = Table(  # what attempts of an hour of calls told; corrections may make a count negative
    "carrier_tally",
    metadata,
    Column("carrier", Number, ForeignKey("account.number"), primary_key=True),
    Column("prefix", Words, primary_key=True),  # the first digits of the called numbers
    Column("hour", Integer, primary_key=True),  # since 1970
    Column("attempts", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
)

carrier_quality = Table(  # what was made of them the last time, by which routes are ordered
    "carrier_quality",
    metadata,
    Column("carrier", Number, ForeignKey("account.number"), primary_key=True),
    Column("prefix", Words, primary_key=True),
    Column("attempts", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("asr_grade", Integer, nullable=False),
    Column("acd_grade", Integer, nullable=False),
)

entry = Table(
    "entry",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("account", Number, ForeignKey("account.number"), nullable=False),
    Column("kind", Words, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("grant_id", Words, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("uncollected", BigInteger, nullable=False),
    Column("channels_in", Integer, nullable=False),
    Column("channels_out", Integer, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("reserved_after", BigInteger, nullable=False),
    Column("key", Words),
    Column("who", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("bucket", Words, nullable=False, server_default=""),  # whose amount it is; empty: the main balance's
    Index("entry_by_account", "account", "number"),
    sqlite_autoincrement=True,
)
Index(
    "entry_by_key", entry.c.account, entry.c.key, unique=True,
    sqlite_where=entry.c.key.is_not(None), postgresql_where=entry.c.key.is_not(None),
)  # fmt: skip

_MARKS = entry.c.kind.in_(("suspend", "resume"))
Index("entry_of_rule", entry.c.number, sqlite_where=_MARKS, postgresql_where=_MARKS)  # found by who watches them

assertion = Table(  # what a person said that a balance was at an instant, and what it was
    "assertion",
    metadata,
    Column("entry", Number, primary_key=True),  # which may have left the store since
    Column("at", BigInteger, nullable=False),
    Column("stated", BigInteger, nullable=False),
    Column("found", BigInteger, nullable=False),
)

unit_grant = Table(  # units given once to a meter without a period; negative: what had expired of it
    "unit_grant",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("account", Number, ForeignKey("account.number"), nullable=False),
    Column("name", Words, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("key", Words),
    Column("who", Words, nullable=False),
    Column("reason", Words, nullable=False),
    UniqueConstraint("account", "key"),
    sqlite_autoincrement=True,
)

voucher_batch = Table(  # vouchers that were made together, on the same terms; money or units
    "voucher_batch",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("tenant", Words, nullable=False),
    Column("id", Words, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),  # of each; 0 where they are worth units
    Column("currency", Words, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("bundle", Words, nullable=False),
    Column("bucket", Words, nullable=False),  # into which the money goes; empty: the main balance
    Column("bucket_kind", Words, nullable=False),
    Column("bucket_days", Integer, nullable=False),  # 0: the bucket does not expire
    Column("expires_at", BigInteger, nullable=False),  # until when they can be redeemed; 0: for ever
    Column("blocked_at", BigInteger, nullable=False),
    Column("is_published", Integer, nullable=False),  # 0 while its vouchers and their file are written
    Column("who", Words, nullable=False),
    Column("reason", Words, nullable=False),
    UniqueConstraint("tenant", "id"),
    CheckConstraint("(amount > 0 AND units = 0) OR (amount = 0 AND units > 0)"),
    sqlite_autoincrement=True,
)

voucher = Table(  # found by what is kept of its code; redeemed once, by setting whose it is
    "voucher",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("batch", Number, ForeignKey("voucher_batch.number"), nullable=False),
    Column("serial", Integer, nullable=False),
    Column("blocked_at", BigInteger, nullable=False),
    Column("account", Number, ForeignKey("account.number")),
    Column("redeemed_at", BigInteger, nullable=False),
    UniqueConstraint("batch", "serial"),
    CheckConstraint("(account IS NULL AND redeemed_at = 0) OR (account IS NOT NULL AND redeemed_at > 0)"),
    sqlite_with_rowid=False,
)

Index(
    "voucher_redeemed", voucher.c.batch, voucher.c.serial,
    sqlite_where=voucher.c.account.is_not(None), postgresql_where=voucher.c.account.is_not(None),
)  # fmt: skip

Index(
    "voucher_blocked", voucher.c.batch,
    sqlite_where=voucher.c.blocked_at > 0, postgresql_where=voucher.c.blocked_at > 0,
)  # fmt: skip

voucher_salt = Table(  # one row: what the codes of this store are hashed with
    "voucher_salt",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

voucher_failure = Table(  # codes that were not redeemed, and why; never the code
    "voucher_failure",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("account", Number, ForeignKey("account.number"), nullable=False),
    Column("token", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("batch", Words, nullable=False),  # of the voucher, where there is one
    Column("serial", Integer, nullable=False),
    Index("voucher_failure_by_account", "account", "at"),
    Index("voucher_failure_by_token", "token", "at"),
    Index("voucher_failure_by_time", "at"),
)

call = Table(
    "call",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),  # the order of first saving
    Column("grant_id", Words, nullable=False, unique=True),
    Column("id_domain", Words, nullable=False),
    Column("call_id", Words, nullable=False),
    Column("direction", Words, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    Column("payer", Number, ForeignKey("account.number"), nullable=False),
    Column("state", Words, nullable=False),
    Column("is_open", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("switch", Words, nullable=False),
    Column("body", Words, nullable=False),
    # The charge key. The direction stands before the attempt, so that the newest of each is found by the index alone.
    UniqueConstraint("id_domain", "call_id", "direction", "attempt", "part", "payer", name="charge_key"),
)
Index("call_open", call.c.due_at, sqlite_where=call.c.is_open == 1, postgresql_where=call.c.is_open == 1)

call_alias = Table(
    "call_alias",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),  # the order of saving
    Column("id_domain", Words, nullable=False),
    Column("alias", Words, nullable=False),
    Column("grant_id", Words, nullable=False),
    Index("call_by_alias", "id_domain", "alias", "number"),
)

message = Table(
    "message",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),  # the order of answering, by which they age
    Column("key", Words, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("reply", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("grant_id", Words, nullable=False),
)

record = Table(
    "record",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=True),  # the order of commits, by which they are exported
    Column("record_id", Words, nullable=False, unique=True),
    Column("grant_id", Words, nullable=False),
    Column("tenant", Words, nullable=False),
    Column("account", Number, ForeignKey("account.number"), nullable=False),
    Column("status", Words, nullable=False),
    Column("currency", Words, nullable=False),
    Column("charge", BigInteger, nullable=False),
    Column("uncollected", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("settled_at", BigInteger, nullable=False),
    Column("body", Words, nullable=False),
    Index("record_by_tenant", "tenant", "seq"),
    Index("record_by_grant", "grant_id"),
    sqlite_autoincrement=True,
)

exceptional = Table(
    "exceptional",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("key", Words, unique=True),
    Column("kind", Words, nullable=False),
    Column("tenant", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("switch", Words, nullable=False),
    Column("call_id", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

event = Table(  # what a rule saw, for whoever watches; the oldest leave
    "event",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Words, nullable=False),
    Column("tenant", Words, nullable=False),
    Column("account", Words, nullable=False),  # its id
    Column("rule", Words, nullable=False),
    Column("act", Words, nullable=False),
    Column("call_id", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("is_done", Integer, nullable=False),  # 0 until a daemon told it and did what the rule asks for
    Index("event_by_account", "tenant", "account", "number"),
    sqlite_autoincrement=True,
)
Index("event_to_do", event.c.number, sqlite_where=event.c.is_done == 0, postgresql_where=event.c.is_done == 0)

recovery = Table(  # one row for each start of a daemon
    "recovery",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("daemon", Words, nullable=False),  # host and process that started
    Column("found", Integer, nullable=False),  # open calls
    Column("journalled", Integer, nullable=False),  # grants that waited in its journal
    sqlite_autoincrement=True,
)

recovery_call = Table(  # the open calls that a start found; what became of them is told by the calls themselves
    "recovery_call",
    metadata,
    Column("recovery", Number, ForeignKey("recovery.number"), primary_key=True),
    Column("grant_id", Words, primary_key=True),
    Column("state", Words, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("adopted_at", BigInteger, nullable=False),  # when its switch said that it runs, 0 for never
    Index("recovery_by_grant", "grant_id"),
)

config_object = Table(
    "config_object",
    metadata,
    Column("kind", Words, primary_key=True),
    Column("tenant", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("stated", LargeBinary),  # as a scenario file last stated it; null where only commands made it
)

audit = Table(
    "audit",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Words, nullable=False),
    Column("tenant", Words, nullable=False),
    Column("id", Words, nullable=False),
    Column("act", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Index("audit_by_object", "kind", "tenant", "id"),
    sqlite_autoincrement=True,
)

deck_version = Table(
    "deck_version",
    metadata,
    Column("tenant", Words, primary_key=True),
    Column("rate_table", Words, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("mode", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("digest", Words, nullable=False),  # SHA-256 of the deck as it was stated
    Column("is_published", Integer, nullable=False),  # 0 while its rows are written aside
    Column("reason", Words, nullable=False, server_default=""),
    Column("begins", BigInteger, nullable=False, server_default="0"),  # from when it changes a price
    Column("new", Integer),  # how many prefixes of each kind it made; null where an older release made it
    Column("increased", Integer),
    Column("decreased", Integer),
    Column("changed", Integer),
    Column("closed", Integer),
    CheckConstraint("mode IN ('replace', 'merge', 'rollback')"),
)

deck_terms = Table(  # all of a deck's row but prefix, destination and rate: few distinct ones serve a whole deck
    "deck_terms",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("connect_fee", BigInteger, nullable=False),
    Column("first_seconds", BigInteger, nullable=False),
    Column("next_seconds", BigInteger, nullable=False),
    Column("free_seconds", BigInteger, nullable=False),
    Column("included_seconds", BigInteger, nullable=False),
    Column("minimum_charge", BigInteger, nullable=False),
    Column("effective_from", BigInteger, nullable=False),
    Column("effective_to", BigInteger, nullable=False),
    Column("rate_type", Words, nullable=False),
    Column("blocked", Integer, nullable=False),
    Column("time_band", Words, nullable=False),
    Column("step_from_second", BigInteger, nullable=False),
    Column("tier_from", BigInteger, nullable=False),
    Column("tax_code", Words, nullable=False),
    Column("ledger_code", Words, nullable=False),
    Column("currency", Words, nullable=False),
    UniqueConstraint(
        "effective_from", "effective_to", "rate_type", "time_band", "step_from_second", "tier_from", "connect_fee",
        "first_seconds", "next_seconds", "free_seconds", "included_seconds", "minimum_charge", "blocked", "tax_code",
        "ledger_code", "currency",
    ),
)  # fmt: skip

deck_row = Table(
    "deck_row",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("tenant", Words, nullable=False),
    Column("rate_table", Words, nullable=False),
    Column("version", Integer, nullable=False),  # that added the row
    Column("prefix", Words, nullable=False),
    Column("destination", Words, nullable=False),
    Column("rate", BigInteger, nullable=False),
    Column("terms", Number, ForeignKey("deck_terms.number"), nullable=False),
    Index("deck_row_by_table", "tenant", "rate_table", "version"),
)

deck_end = Table(  # the end that a later version sets to a row; the row itself is never altered
    "deck_end",
    metadata,
    Column("tenant", Words, primary_key=True),
    Column("rate_table", Words, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("row", Number, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Index("deck_end_by_row", "tenant", "rate_table", "row"),
)

export_batch = Table(
    "export_batch",
    metadata,
    Column("tenant", Words, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("after_seq", BigInteger, nullable=False),
    Column("until_seq", BigInteger, nullable=False),
    Column("begins", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("zone", Words, nullable=False),
    Column("previous_manifest_sha256", Words, nullable=False),
    Column("manifest_sha256", Words, nullable=False),
    CheckConstraint("after_seq <= until_seq"),
)

archive = Table(  # one row for each month whose rows have left, or are leaving, for a folder of files
    "archive",
    metadata,
    Column("month", Words, primary_key=True),  # such as 2026-01, of UTC
    Column("token", Words, nullable=False),  # its manifest has it too: the folder is this store's
    Column("begun_at", BigInteger, nullable=False),
    Column("entries_until", BigInteger, nullable=False),  # number of the last entry that it takes
    Column("entries_done", BigInteger, nullable=False),  # number up to which they have left
    Column("calls_done", BigInteger, nullable=False),  # number up to which its calls have left, with their records
    Column("manifest_sha256", Words, nullable=False),  # empty while its files are written
    Column("is_done", Integer, nullable=False),
)

archive_kept = Table(  # calls that changed after they were written to a month's files: the store's row is the call
    "archive_kept",
    metadata,
    Column("month", Words, primary_key=True),
    Column("grant_id", Words, primary_key=True),
)

opening = Table(  # of an account, what its archived entries add up to, and the number of the last of them
    "opening",
    metadata,
    Column("account", Number, ForeignKey("account.number"), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("uncollected", BigInteger, nullable=False),
    Column("channels_in", BigInteger, nullable=False),
    Column("channels_out", BigInteger, nullable=False),
)

spent_key = Table(  # idempotency keys of archived entries: sent again they still change nothing
    "spent_key",
    metadata,
    Column("account", Number, ForeignKey("account.number"), primary_key=True),
    Column("key", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("bucket", Words, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("taker", Number),  # of a transfer, the account that the money went to
)
