"""Every invariant of the ledger, looked at in one snapshot: what does not hold is named, one finding each.

Nothing here trusts what keeps the invariants elsewhere (constraints, the group commit, the use cases): it adds up
entries, opens call bodies, and looks for doubles even where an index should forbid them. It only reads.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import StoreError
from daemon.kernel.ids import Direction
from daemon.kernel.money import format_nano
from daemon.rating.bundle import Units
from daemon.store import check_entries, check_money, check_vouchers, migrate
from daemon.store.archive_check import ArchiveCheck
from daemon.store.finding import Finding
from daemon.store.ledger_store import LedgerStore
from daemon.store.link import POSTGRESQL, SQLITE, Link
from daemon.store.schema import metadata
from daemon.store.sqlite import SqliteLink, explained

FINDINGS_MAX = 1_000  # findings of one invariant that are named; a broken store breaks it for every row
RECORDS_PAGE = 1_000  # rows read at once where bodies are opened
BUSY_SECONDS = 5.0  # seconds to wait for a process that recovers the log

_call = msgspec.json.Decoder(Call)
_record = msgspec.json.Decoder(RatedCdr)
_SUMS = ("balance", "reserved", "uncollected", "channels_in", "channels_out")
_ADDED = ("amount", "pending", "uncollected", "channels_in", "channels_out")


class _Metered(msgspec.Struct):
    """Of a record, what it used of meters; nothing where an older release wrote it."""

    metered: list[Units] = []


_metered = msgspec.json.Decoder(_Metered)
_INDEXES = {
    SQLITE: "SELECT name FROM sqlite_master WHERE type = 'index'",
    POSTGRESQL: "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()",
}
_FOREIGN = {
    SQLITE: "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name",
    POSTGRESQL: "SELECT DISTINCT 'trigger', trigger_name FROM information_schema.triggers WHERE trigger_schema ="
    " current_schema() UNION SELECT 'view', viewname FROM pg_views WHERE schemaname = current_schema() ORDER BY 2",
}
Look = Callable[[Link], Iterator[Finding]]
ArchiveLook = Callable[[Link, ArchiveCheck], Iterator[Finding]]


async def check_store(store: LedgerStore) -> list[Finding]:
    """Return every invariant that does not hold, none where all is well. Raises StoreError where it cannot be read."""
    return await store.reading(lambda link: findings(link, store.archive_folder))


def findings(link: Link, archive_folder: Path | None) -> list[Finding]:
    """Return what does not hold in the snapshot that a connection sees, and in what left the store before it."""
    damaged = list(_bounded(_file(link)))
    try:
        return damaged + _findings(link, ArchiveCheck(link, archive_folder))
    except sqlite3.DatabaseError as error:
        if not damaged:
            raise
        return [*damaged, Finding("file", "database", f"the other invariants could not all be looked at: {error}")]


def _findings(link: Link, archives: ArchiveCheck) -> list[Finding]:
    looks = (*(partial(look, link) for look in _LOOKS), *(partial(look, link, archives) for look in _ARCHIVE_LOOKS))
    return [finding for look in looks for finding in _bounded(look())]


def check_file(path: Path) -> list[Finding]:
    """Check a store's file in one snapshot; a daemon may write to it meanwhile. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"there is no store at {path}")
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            return findings(SqliteLink(connection), path.with_name(f"{path.stem}.archive"))
    except sqlite3.Error as error:
        raise explained(error, path) from error


def _bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    for count, finding in enumerate(findings):
        if count == FINDINGS_MAX:
            yield Finding(finding.invariant, "and more", f"only the first {FINDINGS_MAX} are named")
            return
        yield finding


def _file(connection: Link) -> Iterator[Finding]:
    """A file is whole, and a server keeps what it says that it has committed."""
    if connection.dialect == POSTGRESQL:
        for name in ("fsync", "full_page_writes"):
            said = connection.execute(f"SHOW {name}").fetchone()[0]
            if said != "on":
                yield Finding("server", name, f"is {said}: what was committed may be lost when the machine fails")
        return
    for (said,) in connection.execute("PRAGMA quick_check"):
        if said != "ok":
            yield Finding("file", "database", str(said))


def _schema(connection: Link) -> Iterator[Finding]:
    """The schema is this release's: its revision, its tables, and its unique keys."""
    found = [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]
    if found != [migrate.HEAD]:
        yield Finding("schema", "alembic_version", f"{', '.join(found) or 'none'} is not {migrate.HEAD}")
    for kind, name in connection.execute(_FOREIGN[connection.dialect]):
        yield Finding("schema", name, f"it is a {kind}, which no release makes: it acts on its own")
    query = _INDEXES[connection.dialect]
    known = {name for (name,) in connection.execute(query)}
    for table in metadata.sorted_tables:
        for index in table.indexes:
            if index.name not in known:
                yield Finding("schema", table.name, f"index {index.name} is missing")


def _whole_numbers(connection: Link) -> Iterator[Finding]:
    """No amount is anything but an integer: SQLite would keep a fraction where somebody wrote one by hand."""
    if connection.dialect != SQLITE:
        return  # a column of PostgreSQL's holds nothing else
    amounts = {
        "account": ("number", (*_SUMS, "day_spent")),
        "entry": ("number", (*_ADDED, "balance_after", "reserved_after")),
        "record": ("seq", ("charge", "uncollected", "cost")),
        "meter": ("name", ("period", "used", "held", "carried", "expires_at")),
        "unit_grant": ("number", ("units", "expires_at")),
        "voucher_batch": ("number", ("amount", "units")),
        "assertion": ("entry", ("stated", "found")),
        "opening": ("account", _SUMS),
    }
    for table, (number, columns) in amounts.items():
        for column in columns:
            query = f"SELECT {number}, {column} FROM {table} WHERE typeof({column}) <> 'integer'"
            for row in connection.execute(query):
                yield Finding("whole numbers", f"{table} {row[0]}", f"{column} is {row[1]!r}")


def _standings(connection: Link) -> Iterator[Finding]:
    """A standing is the sum of its entries, field by field: of archived ones its opening is the sum."""
    sums = ", ".join(
        f"coalesce(sum(entry.{added}), 0) + coalesce(min(opening.{name}), 0)"
        for name, added in zip(_SUMS, _ADDED, strict=True)
    )
    fields = ", ".join(f"account.{name}" for name in _SUMS)
    query = (
        f"SELECT account.number, role, tenant, id, {fields}, {sums}"
        " FROM account LEFT JOIN entry ON entry.account = account.number"
        " LEFT JOIN opening ON opening.account = account.number GROUP BY account.number"
    )
    for number, role, tenant, name, *rest in connection.execute(query):
        for field, stands, added in zip(_SUMS, rest[: len(_SUMS)], rest[len(_SUMS) :], strict=True):
            if stands != added:
                subject = f"{role} {tenant}/{name} ({number})"
                yield Finding("standings", subject, f"{field} is {_shown(field, stands)}, its entries add up to"
                              f" {_shown(field, added)}")  # fmt: skip


def _shown(field: str, value: object) -> str:
    return str(value) if field.startswith("channels") or not isinstance(value, int) else format_nano(value)


def _running(connection: Link) -> Iterator[Finding]:
    """Every entry says what it left: the sum of all entries of its account up to it."""
    query = (
        "SELECT sums.number, sums.account, balance_after, sums.balance + coalesce(opening.balance, 0), reserved_after,"
        " sums.reserved + coalesce(opening.reserved, 0) FROM ("
        "SELECT number, account, balance_after, reserved_after, sum(amount) OVER line AS balance,"
        " sum(pending) OVER line AS reserved FROM entry WINDOW line AS (PARTITION BY account ORDER BY number)) AS sums"
        " LEFT JOIN opening ON opening.account = sums.account"
        " WHERE balance_after <> sums.balance + coalesce(opening.balance, 0)"
        " OR reserved_after <> sums.reserved + coalesce(opening.reserved, 0)"
    )
    for number, account, said, balance, held, reserved in connection.execute(query):
        detail = (
            f"account {account}: says balance {said} and reserved {held}, the entries add up to {balance}, {reserved}"
        )
        yield Finding("running balances", f"entry {number}", detail)


def _open_calls(connection: Link) -> Iterator[Call]:
    """Yield every open call that can be read; of the others ``_calls`` tells."""
    for (body,) in connection.execute("SELECT body FROM call WHERE is_open = 1"):
        with contextlib.suppress(msgspec.DecodeError):
            yield _call.decode(body)


def _reservations(connection: Link) -> Iterator[Finding]:
    """What an account has reserved, and its channels in use, are those of its open calls."""
    reserved: Counter[int] = Counter()
    inbound: Counter[int] = Counter()
    outbound: Counter[int] = Counter()
    for call in _open_calls(connection):
        for level in call.levels:
            reserved[level.account] += level.reserved
            (inbound if call.direction is Direction.INBOUND else outbound)[level.account] += 1
        route = call.carrier
        if route is not None and route.account:
            outbound[route.account] += 1
    query = "SELECT number, tenant, id, reserved, channels_in, channels_out FROM account"
    for number, tenant, name, *stands in connection.execute(query):
        held = (reserved[number], inbound[number], outbound[number])
        for field, mine, theirs in zip(("reserved", "channels_in", "channels_out"), stands, held, strict=True):
            if mine != theirs:
                detail = f"{field} is {_shown(field, mine)}, its open calls hold {_shown(field, theirs)}"
                yield Finding("open calls", f"{tenant}/{name}", detail)


def _held_by_calls(connection: Link, archives: ArchiveCheck) -> Iterator[Finding]:
    """What the entries of each call still hold is what it holds while it is open, and nothing afterwards."""
    if archives.faults:
        return  # which it says itself
    holds: dict[tuple[str, int], tuple[int, int]] = {}
    for call in _open_calls(connection):
        route = call.carrier
        if route is not None and route.account:
            holds[call.grant_id, route.account] = (0, 1)
        for level in call.levels:
            holds[call.grant_id, level.account] = (level.reserved, 1)
    query = (
        "SELECT grant_id, account, sum(pending) AS money, sum(channels_in + channels_out) AS channels FROM entry"
        " WHERE grant_id <> '' GROUP BY grant_id, account"
        " HAVING sum(pending) <> 0 OR sum(channels_in + channels_out) <> 0"
    )
    held = archives.held()
    for grant_id, account, money, channels in connection.execute(query):
        left = held.get((grant_id, account), (0, 0))
        held[grant_id, account] = (money + left[0], channels + left[1])
    for (grant_id, account), stands in held.items():
        said = holds.pop((grant_id, account), (0, 0))
        if said != stands:
            yield _held_otherwise(grant_id, account, stands, said)
    for (grant_id, account), said in holds.items():
        yield _held_otherwise(grant_id, account, (0, 0), said)


def _held_otherwise(grant_id: str, account: int, entries: tuple[int, int], call: tuple[int, int]) -> Finding:
    told = [f"{format_nano(money)} and {channels} channels" for money, channels in (entries, call)]
    detail = f"account {account}: its entries hold {told[0]}, it holds {told[1]}"
    return Finding("held by calls", f"grant {grant_id}", detail)


def _meters(connection: Link, archives: ArchiveCheck) -> Iterator[Finding]:
    """A meter holds what open calls hold of its period, and has used what the records of that period say."""
    if archives.faults:
        return  # which it says itself
    held, used = _units_held(connection), _units_used(connection)
    used.update(archives.units_used())
    reached: dict[tuple[int, str], int] = {}
    for account, name, period, *stands in connection.execute("SELECT account, name, period, used, held FROM meter"):
        reached[account, name] = period
        said = (used[account, name, period], held[account, name, period])
        for field, mine, theirs, whose in zip(("used", "held"), stands, said, ("records", "open calls"), strict=True):
            if mine != theirs:
                detail = f"{field} is {mine} in period {period}, its {whose} say {theirs}"
                yield Finding("meters", f"account {account}, {name}", detail)
    for account, name, period in sorted({key for units in (held, used) for key, count in units.items() if count}):
        if period > reached.get((account, name), 0):
            detail = f"calls count units in period {period}, which it has not reached"
            yield Finding("meters", f"account {account}, {name}", detail)


def _units_held(connection: Link) -> Counter[tuple[int, str, int]]:
    held: Counter[tuple[int, str, int]] = Counter()
    for call in _open_calls(connection):
        for level in call.levels:
            for units in level.units:
                held[level.account, units.meter, units.period] += units.units
    return held


def _metered_of(body: str) -> Iterable[Units]:
    try:
        return _metered.decode(body).metered
    except msgspec.DecodeError:
        return ()  # the record is named by itself


def _units_used(connection: Link) -> Counter[tuple[int, str, int]]:
    used: Counter[tuple[int, str, int]] = Counter()
    # A quote within a text of JSON stands behind a backslash: so only the field itself reads like this.
    query = "SELECT account, body FROM record WHERE body NOT LIKE '%\"metered\":[]%'"
    for account, body in connection.execute(query):
        for units in _metered_of(body):
            used[account, units.meter, units.period] += units.units
    return used


def _calls(connection: Link) -> Iterator[Finding]:
    """The columns by which a call is found say what its body says, and its accounts exist."""
    numbers = {row[0] for row in connection.execute("SELECT number FROM account")}
    query = (
        "SELECT grant_id, id_domain, call_id, direction, attempt, part, payer, state, is_open, due_at, requested_at,"
        " switch, body FROM call"
    )
    for grant_id, *columns, body in connection.execute(query):
        try:
            call = _call.decode(body)
        except msgspec.DecodeError as error:
            yield Finding("calls", f"grant {grant_id}", f"its row cannot be read: {error}")
            continue
        said = [
            call.id_domain, call.call_id, call.direction.value, call.attempt, call.part, call.levels[0].account,
            call.state.value, int(call.is_open), call.due_at, call.requested_at, call.switch,
        ]  # fmt: skip
        if said != columns or call.grant_id != grant_id:
            yield Finding("calls", f"grant {grant_id}", f"its columns say {columns}, its body {said}")
        missing = {number for number in call.accounts if number} - numbers
        if missing:
            yield Finding("references", f"grant {grant_id}", f"there are no accounts {sorted(missing)}")


_SAID_BY_RECORDS = (
    "record_id", "grant_id", "tenant", "account", "status", "currency", "charge", "uncollected", "cost", "settled_at",
)  # fmt: skip


def _record_bodies(connection: Link) -> Iterator[Finding]:
    """The columns of a record say what its body says, which is what is handed off."""
    query = f"SELECT seq, {', '.join(_SAID_BY_RECORDS)}, body FROM record"
    for page in connection.pages(query, (), RECORDS_PAGE):
        for seq, *columns, body in page:
            try:
                record = _record.decode(body)
            except msgspec.DecodeError as error:
                yield Finding("records", f"record {seq}", f"it cannot be read: {error}")
                continue
            said = [
                record.record_id, record.grant_id, record.tenant, record.account_number, record.status,
                record.currency, record.charge, record.uncollected, record.cost, record.settled_at,
            ]  # fmt: skip
            for name, column, told in zip(_SAID_BY_RECORDS, columns, said, strict=True):
                if column != told:
                    yield Finding("records", f"record {seq}", f"its column {name} says {column!r}, its body {told!r}")


def _posted(connection: Link) -> Iterator[Finding]:
    """What a call says that it was charged is what its records add up to: a correction gives that back."""
    kept = {grant_id for (grant_id,) in connection.execute("SELECT grant_id FROM archive_kept")}
    sums = connection.execute("SELECT grant_id, account, sum(charge) FROM record GROUP BY grant_id, account")
    recorded = {(grant_id, account): int(charge) for grant_id, account, charge in sums}
    for page in connection.pages("SELECT body FROM call WHERE is_open = 0", (), RECORDS_PAGE):
        for (body,) in page:
            with contextlib.suppress(msgspec.DecodeError):
                yield from _posted_otherwise(_call.decode(body), recorded, kept)


def _posted_otherwise(call: Call, recorded: dict[tuple[str, int], int], kept: set[str]) -> Iterator[Finding]:
    for level, posted in zip(call.levels, call.posted, strict=False):
        added = recorded.get((call.grant_id, level.account), 0)
        if added != posted.charge and call.grant_id not in kept:
            detail = f"account {level.account}: it was charged {format_nano(posted.charge)}, its records add up to"
            yield Finding("records", f"grant {call.grant_id}", f"{detail} {format_nano(added)}")


def _records(connection: Link, archives: ArchiveCheck) -> Iterator[Finding]:
    """Every debit has its record and every refund its reversal, and for each call and account the sums are one.

    A call may have left the store in two months: what is not one in the store and in a month has to be one in all.
    """
    if archives.faults:
        return  # which it says itself
    query = (
        "SELECT grant_id, account, sum(charged), sum(recorded), sum(entries), sum(records) FROM ("
        " SELECT grant_id, account, uncollected - amount AS charged, 0 AS recorded,"
        " CASE bucket WHEN '' THEN 1 ELSE 0 END AS entries, 0 AS records"
        " FROM entry WHERE kind IN ('debit', 'refund') UNION ALL"
        " SELECT grant_id, account, 0, charge, 0, 1 FROM record) AS lines GROUP BY grant_id, account"
        " HAVING sum(charged) <> sum(recorded) OR sum(entries) <> sum(records)"
    )
    lines = archives.lines()
    for grant_id, account, *row in connection.execute(query):
        known = lines.get((grant_id, account), [0, 0, 0, 0])
        lines[grant_id, account] = [stored + left for stored, left in zip(row, known, strict=True)]
    for (grant_id, account), (charged, recorded, entries, records) in lines.items():
        if charged == recorded and entries == records:
            continue
        detail = (
            f"account {account}: {entries} entries charge {format_nano(charged)},"
            f" {records} records say {format_nano(recorded)}"
        )
        yield Finding("records", f"grant {grant_id}", detail)


def _unique(connection: Link) -> Iterator[Finding]:
    """What may be there once is there once."""
    keys = {
        "call": ("grant_id",), "call ": ("id_domain", "call_id", "direction", "attempt", "part", "payer"),
        "message": ("key",), "record": ("record_id",), "entry": ("account", "key"), "exceptional": ("key",),
        "account": ("role", "tenant", "id"), "deck_version": ("tenant", "rate_table", "version"),
        "export_batch": ("tenant", "sequence"), "config_object": ("kind", "tenant", "id"),
    }  # fmt: skip
    for table, columns in keys.items():
        names = ", ".join(columns)
        query = (
            f"SELECT {names}, count(*) FROM {table} WHERE {columns[-1]} IS NOT NULL"
            f" GROUP BY {names} HAVING count(*) > 1"
        )
        for *values, count in connection.execute(query):
            subject = f"{table.strip()} ({', '.join(map(str, values))})"
            yield Finding("unique keys", subject, f"there are {count} of it")


_NAMING_ACCOUNTS: Final = (("entry", "account", "number"), ("record", "account", "seq"), ("call", "payer", "number"))


def _references(connection: Link) -> Iterator[Finding]:
    """What names an account names one that exists, and each account and carrier that is configured has its number."""
    if connection.dialect == SQLITE:  # where a connection may leave foreign keys unchecked
        for table, row, parent, _constraint in connection.execute("PRAGMA foreign_key_check"):
            yield Finding("references", f"{table} row {row}", f"names no {parent}")
    else:  # where the rows of calls have no foreign keys
        for table, column, number in _NAMING_ACCOUNTS:
            query = f"SELECT {number} FROM {table} WHERE {column} NOT IN (SELECT number FROM account)"
            for (row,) in connection.execute(query):
                yield Finding("references", f"{table} row {row}", "names no account")
    query = (
        "SELECT kind, tenant, id FROM config_object WHERE kind IN ('account', 'carrier') AND NOT EXISTS ("
        " SELECT 1 FROM account WHERE account.tenant = config_object.tenant AND account.id = config_object.id"
        " AND account.role = CASE kind WHEN 'account' THEN 'customer' ELSE 'carrier' END)"
    )
    for kind, tenant, name in connection.execute(query):
        yield Finding("references", f"{kind} {tenant}/{name}", "it has no number in the ledger")


def _batches(connection: Link) -> Iterator[Finding]:
    """A tenant's export batches are numbered without a gap, each begins where the one before ends."""
    query = (
        "SELECT tenant, sequence, after_seq, until_seq, manifest_sha256, previous_manifest_sha256"
        " FROM export_batch ORDER BY tenant, sequence"
    )
    before = ("", 0, 0, "")
    for tenant, sequence, after, until, manifest, previous in connection.execute(query):
        if tenant != before[0]:
            before = (tenant, 0, 0, "")
        if (sequence, after, previous) != (before[1] + 1, before[2], before[3]) or (sequence > 1 and not before[3]):
            detail = f"after {after}, previous manifest {previous or 'none'}: it does not follow batch {before[1]}"
            yield Finding("export batches", f"{tenant}-{sequence:08d}", detail)
        before = (tenant, sequence, until, manifest)


def _archives(_connection: Link, archives: ArchiveCheck) -> Iterator[Finding]:
    """What left the store is whole, and goes on where it ends."""
    return (Finding(*found) for found in archives.found())


_LOOKS: tuple[Look, ...] = (
    _schema, _whole_numbers, _standings, _running, _reservations, _calls, _record_bodies, _posted, _unique,
    _references, _batches, check_entries.shapes, check_entries.times, check_money.transfers, check_money.assertions,
    check_money.given_units, check_vouchers.redemptions, check_vouchers.batches, check_vouchers.suspensions,
)  # fmt: skip
_ARCHIVE_LOOKS: tuple[ArchiveLook, ...] = (_held_by_calls, check_money.buckets, _meters, _records, _archives)
