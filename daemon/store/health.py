"""What the doctor reads of a store, each by one look that is bounded in time: nothing is changed, nobody is waited for.

Instants are microseconds. Sums are made by the database, so that a store of a million rows gives some dozens.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from daemon.charging.ports import StoreUnavailable
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import EFFECTIVE_FOREVER
from daemon.store.ledger_store import LedgerStore
from daemon.store.link import POSTGRESQL, Link

NEWEST_ROWS: Final = 1_000  # entries that are looked at for the latest instant: clocks of two daemons may differ
_NEWEST = (
    f"SELECT max(at) FROM (SELECT at FROM (SELECT at FROM entry ORDER BY number DESC LIMIT {NEWEST_ROWS}) AS entries"
    f" UNION ALL SELECT at FROM (SELECT at FROM audit ORDER BY number DESC LIMIT {NEWEST_ROWS}) AS changes) AS newest"
)
_SCRATCH = "INSERT INTO meta (name, value) VALUES ('doctor', 1) ON CONFLICT (name) DO UPDATE SET value = meta.value + 1"
_SERVER_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

# What is in force of a table: each row with the end that counts. A withdrawn row ends before it begins.
_ENDS = (
    "SELECT deck_end.row AS ended_row, min(deck_end.at) AS ended FROM deck_end"
    " JOIN deck_version ON deck_version.tenant = deck_end.tenant AND deck_version.rate_table = deck_end.rate_table"
    " AND deck_version.version = deck_end.version AND is_published = 1 GROUP BY deck_end.row"
)
_UNTIL = "CASE WHEN ended < effective_to THEN ended ELSE effective_to END"
_ROWS = (
    "FROM deck_row JOIN deck_version USING (tenant, rate_table, version)"
    f" JOIN deck_terms ON deck_terms.number = terms LEFT JOIN ({_ENDS}) AS ends ON ended_row = deck_row.number"
    " WHERE is_published = 1"
)
_TABLES = (
    f"SELECT tenant, rate_table, sum(CASE WHEN begins <= ? AND until > ? THEN 1 ELSE 0 END), max(until),"
    " min(CASE WHEN until > ? THEN until END), min(CASE WHEN begins > ? AND until > begins THEN begins END)"
    f" FROM (SELECT tenant, rate_table, effective_from AS begins, {_UNTIL} AS until {_ROWS}) AS rows_of"
    " GROUP BY tenant, rate_table"
)
# A rate is what a prefix asks of one kind in one band; it ends where nothing that is stated follows it.
_ENDING = (
    "SELECT prefix, current_end, last_end, next_begin FROM (SELECT prefix,"
    " max(CASE WHEN begins <= ? THEN until END) AS current_end, max(until) AS last_end,"
    " min(CASE WHEN begins > ? AND until > begins THEN begins END) AS next_begin"
    f" FROM (SELECT prefix, rate_type, time_band, effective_from AS begins, {_UNTIL} AS until {_ROWS}"
    " AND tenant = ? AND rate_table = ?) AS rows_of GROUP BY prefix, rate_type, time_band) AS rates"
    " WHERE current_end > ? AND current_end <= ? AND (next_begin IS NULL OR next_begin > current_end OR last_end <= ?)"
    " ORDER BY current_end, prefix"
)


class _Undone(Exception):
    """Takes back what was written, on purpose."""


async def write_probe(store: LedgerStore) -> None:
    """Write a row and take it back. Raises StoreError where the store cannot be written."""

    def work(link: Link) -> None:
        link.execute(_SCRATCH)
        raise _Undone

    try:
        await store.administer(work)
    except _Undone:
        return
    raise StoreUnavailable("what was to be taken back was kept")


def faults_of_file(link: Link) -> list[tuple[str, str]]:
    """Return what is wrong with the file (``damaged``) or with how a server keeps it (``forgetful``)."""
    if link.dialect == POSTGRESQL:
        told = ((name, link.execute(f"SHOW {name}").fetchone()[0]) for name in ("fsync", "full_page_writes"))
        return [("forgetful", f"{name} is {said}") for name, said in told if said != "on"]
    return [("damaged", str(said)) for (said,) in link.execute("PRAGMA quick_check(5)") if said != "ok"]


def newest_instant(link: Link) -> Instant:
    """Return the latest instant among the newest entries and changes, 0 in an empty store."""
    return int(link.execute(_NEWEST).fetchone()[0] or 0)


def server_clock(link: Link) -> Instant:
    """Return what a PostgreSQL server takes the time for."""
    return int(link.execute(_SERVER_CLOCK).fetchone()[0])


class TableHealth(NamedTuple):
    """Of one deck: its rows in force, until when the last of all holds, when the next ends, when the next begins."""

    in_force: int
    last_end: Instant
    next_end: Instant | None
    next_begin: Instant | None


class Ending(NamedTuple):
    """Rates of one table that end without a successor: how many, the first end, and some of their prefixes."""

    rates: int
    first: Instant
    prefixes: tuple[str, ...]


def tables_of(link: Link, now: Instant) -> dict[Key, TableHealth]:
    """Return how the decks stand, by table; a table without a deck is not in it."""
    return {
        Key(tenant, name): TableHealth(int(in_force), last, next_end, next_begin)
        for tenant, name, in_force, last, next_end, next_begin in link.execute(_TABLES, (now,) * 4)
    }


def ending_of(link: Link, key: Key, now: Instant, horizon: Instant) -> Ending | None:
    """Return the rates of a table that end until an instant with none to follow, None where there are none."""
    rows = link.execute(_ENDING, (now, now, *key, now, horizon, horizon)).fetchall()
    if not rows:
        return None
    return Ending(len(rows), rows[0][1], tuple(dict.fromkeys(row[0] for row in rows)))


def is_endless(until: Instant) -> bool:
    """Tell whether an end is none."""
    return until >= EFFECTIVE_FOREVER


class Hand(NamedTuple):
    """Of one tenant: when it last exported, 0 for never, and since when the oldest record waits, 0 for none."""

    tenant: str
    exported_at: Instant
    waits_since: Instant


def hand_offs(link: Link) -> Iterator[Hand]:
    """Yield how the hand-off of each tenant stands."""
    query = (
        "SELECT tenant, max(created_at), max(until_seq) FROM export_batch WHERE manifest_sha256 <> '' GROUP BY tenant"
    )
    exported = {tenant: (at, upto) for tenant, at, upto in link.execute(query).fetchall()}
    tenants = [row[0] for row in link.execute("SELECT id FROM config_object WHERE kind = 'tenant'").fetchall()]
    oldest = "SELECT settled_at FROM record WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT 1"
    for tenant in sorted(tenants):
        at, upto = exported.get(tenant, (0, 0))
        found = link.execute(oldest, (tenant, upto)).fetchone()
        yield Hand(tenant, at, found[0] if found is not None else 0)


def exceptions_of(link: Link, since: Instant) -> dict[str, int]:
    """Return how many items of each kind the exception list has since an instant."""
    query = "SELECT kind, count(*) FROM exceptional WHERE at >= ? GROUP BY kind ORDER BY kind"
    return dict(link.execute(query, (since,)).fetchall())


class Ran(NamedTuple):
    """When a daemon last started on the store, 0 where none did, and how many calls are open."""

    at: Instant
    calls: int


def ran(link: Link) -> Ran:
    """Return what the store says of the daemon that should run."""
    at = link.execute("SELECT max(at) FROM recovery").fetchone()[0]
    return Ran(at or 0, int(link.execute("SELECT count(*) FROM call WHERE is_open = 1").fetchone()[0]))


def overdue_calls(link: Link, before: Instant) -> int:
    """Return how many open calls were due before an instant."""
    return int(link.execute("SELECT count(*) FROM call WHERE is_open = 1 AND due_at < ?", (before,)).fetchone()[0])


def debts_of(link: Link) -> list[tuple[str, str, int]]:
    """Return tenant, account and uncollected nano-units, the largest first."""
    query = (
        "SELECT tenant, id, uncollected FROM account WHERE uncollected > 0 AND role = 'customer'"
        " ORDER BY uncollected DESC, tenant, id"
    )
    return [(tenant, name, owed) for tenant, name, owed in link.execute(query).fetchall()]
