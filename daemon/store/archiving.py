"""Moves closed months out of the store into files, oldest first: written and proved, then noted, then taken out.

Files are whole and durable before the first row leaves. Rows leave in short transactions, each with the sums and keys
that stay behind and with the progress it makes, so that after a kill at any instant the next run goes on from there.
A call leaves only as it was written: one that a late report changed meanwhile stays, with its records.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from daemon.charging.call import Call
from daemon.charging.ports import StoreError
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.store.archive_files import (
    FOLDER_MODE,
    ArchiveFault,
    Manifest,
    MonthWriter,
    Part,
    columns_of,
    manifest_of,
    part_faults,
    scan,
)
from daemon.store.archives import MONTHS, Archived, Month, month_after, month_begins, month_of, months_of, refused
from daemon.store.ledger_store import LedgerStore
from daemon.store.link import Link

KEEP_MONTHS_MIN: Final = 1  # whole months before the current one: a late Stop or CDR comes days later, not months
MONTHS_MAX: Final = 1_200  # months of one run; a clock that lies would else make it run for ever
PAGE_ENTRIES: Final = 5_000  # entries read at once, some 1 MB
PAGE_CALLS: Final = 400  # calls read at once with their records, some 2 MB; each is a value of one statement
STEP_MIN, STEP_MAX = 16, 4_000  # rows of one transaction that takes rows out
STEP_MAX_CALLS: Final = PAGE_CALLS
STEP_SECONDS: Final = 0.015  # of the work of such a transaction, its commit apart: what a call may have to wait for
PAUSE_SECONDS_MIN: Final = 0.005  # between two; at least as long as the last one took, so that calls have half of it
ALIAS_SPAN: Final = 1_000  # numbers of aliases looked at in one transaction
UNEXPORTED: Final = "SELECT count(*) FROM record WHERE tenant = ? AND seq > ? AND settled_at < ?"
OLDEST: Final = (
    "SELECT (SELECT at FROM entry ORDER BY number LIMIT 1), (SELECT requested_at FROM call ORDER BY number LIMIT 1)"
)
SUMS_KEPT: Final = """
INSERT INTO opening (account, number, balance, reserved, uncollected, channels_in, channels_out)
 SELECT account, max(number), sum(amount), sum(pending), sum(uncollected), sum(channels_in), sum(channels_out)
 FROM entry WHERE number > ? AND number <= ? GROUP BY account
 ON CONFLICT (account) DO UPDATE SET number = excluded.number, balance = opening.balance + excluded.balance,
 reserved = opening.reserved + excluded.reserved, uncollected = opening.uncollected + excluded.uncollected,
 channels_in = opening.channels_in + excluded.channels_in, channels_out = opening.channels_out + excluded.channels_out
"""
TRANSFER_SPAN: Final = 10_000  # numbers that others may take between the two entries of a transfer: one commit's time
KEYS_KEPT: Final = f"""
INSERT INTO spent_key (account, key, kind, amount, bucket, at, number, taker)
 SELECT account, key, kind, amount, bucket, at, number, CASE WHEN kind = 'transfer' THEN
  (SELECT taken.account FROM entry AS taken WHERE taken.number > entry.number
   AND taken.number <= entry.number + {TRANSFER_SPAN} AND taken.grant_id = entry.grant_id
   AND taken.kind = 'transfer' ORDER BY taken.number LIMIT 1) END
 FROM entry WHERE number > ? AND number <= ? AND key IS NOT NULL
 ON CONFLICT (account, key) DO NOTHING
"""  # what an older release let somebody use twice keeps no month from leaving: ``db check`` names it
_call = msgspec.json.Decoder(Call)
Progress = Callable[[str], None]


async def archive_months(
    store: LedgerStore, keep_months: int, before: str, now: Instant, progress: Progress
) -> list[Archived]:
    """Archive every closed month before ``before`` (empty: all that need not be kept), and finish an interrupted one.

    The current month and ``keep_months`` before it stay. Files are written by the calling thread: run it in a process
    of its own. Raises StoreError, ArchiveFault; what was archived until then stays so, and a later run goes on.
    """
    latest = month_after(month_of(now), -max(keep_months, KEEP_MONTHS_MIN))
    if before > latest:
        raise StoreError(f"{before} is too late: {keep_months} months before this one are kept, so at most {latest}")
    until = before or latest
    folder = store.archive_folder
    if folder is None:
        raise StoreError("say where archives are kept: [store] archive names their folder")
    async with store.alone_in_archiving():
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            return [done async for done in _months(store, folder, until, now, progress)]
        except OSError as error:
            where = error.filename if error.filename is not None else folder
            raise StoreError(f"{where}: {error.strerror or error}") from error


async def _months(
    store: LedgerStore, folder: Path, until: str, now: Instant, progress: Progress
) -> AsyncIterator[Archived]:
    for _ in range(MONTHS_MAX):
        known = months_of(await store.rows(MONTHS))
        last = known[-1] if known else None
        if last is not None and not last.is_done:
            yield await _Move(store, folder, last, known[-2:-1], now, progress).run(resumed=True)
            continue
        month = month_after(last.month) if last is not None else await _first(store)
        if not month or month >= until:
            return
        begun = await _begun(store, folder, month, now)
        yield await _Move(store, folder, begun, known[-1:], now, progress).run(resumed=False)


async def _first(store: LedgerStore) -> str:
    """Return the month of the oldest row, empty where there is none."""
    oldest = [at for at in (await store.rows(OLDEST))[0] if at is not None]
    return month_of(min(oldest)) if oldest else ""


async def _begun(store: LedgerStore, folder: Path, month: str, now: Instant) -> Month:
    """Note in the store that a month is being archived, before its first file. Raises StoreError."""
    ends = month_begins(month_after(month))
    waiting = [f"{count} of tenant {tenant}" async for tenant, count in _unexported(store, ends)]
    if waiting:
        raise refused(
            month, f"no finished export holds all its records ({', '.join(waiting)}): run 'tollway export run' first"
        )
    if (folder / month).exists():
        raise refused(month, f"{folder / month} is there, and is not this store's: name another folder, or move it")
    until = await _last_entry(store, ends)
    begun = Month(month, secrets.token_hex(16), now, until, 0, 0, "", 0)

    def work(link: Link) -> None:
        link.execute(
            "INSERT INTO archive (month, token, begun_at, entries_until, entries_done, calls_done, manifest_sha256,"
            " is_done) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", begun,
        )  # fmt: skip

    await store.administer(work)
    return begun


async def _unexported(store: LedgerStore, ends: Instant) -> AsyncIterator[tuple[str, int]]:
    """Yield the tenants with records of before an instant that no finished batch holds, and how many."""
    for tenant in await store.export_tenants():
        finished = [batch.until_seq for batch in await store.stored_batches(tenant) if batch.manifest_sha256]
        count = (await store.rows(UNEXPORTED, (tenant, max(finished, default=0), ends)))[0][0]
        if count:
            yield tenant, count


async def _last_entry(store: LedgerStore, ends: Instant) -> int:
    """Return the number of a month's last entry: behind it a whole page is of a later time.

    Clocks fall back, and of two daemons one may be behind: numbers decide what leaves, so that running balances go on.
    """
    last = after = 0
    query = "SELECT number, at FROM entry WHERE number > ? ORDER BY number LIMIT ?"
    while page := await store.rows(query, (after, PAGE_ENTRIES)):
        inside = [number for number, at in page if at < ends]
        if not inside:
            break
        last, after = inside[-1], page[-1][0]
    return last


class _Pace:
    """How many rows the next transaction takes: as many as keep it short; then calls have at least as much time."""

    def __init__(self, store: LedgerStore, most: int) -> None:
        self._store = store
        self._most = most
        self.rows = STEP_MIN

    async def step(self, work: Callable[[Link], None]) -> None:
        """Run one transaction, wait, and choose the size of the next."""
        worked = 0.0

        def timed(link: Link) -> None:
            nonlocal worked
            began = time.perf_counter()
            work(link)
            worked = time.perf_counter() - began

        began = time.perf_counter()
        await self._store.administer(timed)
        # How long it waited for others, and for the disk, no number of rows changes.
        self.rows = max(STEP_MIN, self.rows // 2) if worked > STEP_SECONDS else min(self._most, self.rows * 2)
        await asyncio.sleep(max(PAUSE_SECONDS_MIN, time.perf_counter() - began))


class _Move:
    """One month on its way out of the store."""

    def __init__(
        self, store: LedgerStore, folder: Path, month: Month, before: Sequence[Month], now: Instant, progress: Progress
    ) -> None:
        self._store = store
        self._folder = folder
        self._month = month
        self._previous = before[0].manifest_sha256 if before else ""
        self._now = now
        self._progress = progress
        self._ends = month_begins(month_after(month.month))

    async def run(self, *, resumed: bool) -> Archived:
        """Write what is not written, and take out what is still there."""
        if not self._month.is_written:
            await self._noted(await self._written())
        manifest, sha256 = manifest_of(self._folder, self._month.month)
        if sha256 != self._month.manifest_sha256:
            raise ArchiveFault(f"{self._folder / self._month.month}: its manifest is not the one that was written")
        await self._proved(manifest)
        await self._entries_out()
        for part in manifest.of("call"):
            await self._calls_out(part)
        await self._aliases_out()
        await self._store.administer(self._finished)
        kept = await self._store.rows("SELECT count(*) FROM archive_kept WHERE month = ?", (self._month.month,))
        return Archived(
            self._month.month, self._folder / self._month.month, manifest.rows("entry"), manifest.rows("call"),
            manifest.rows("record"), kept[0][0], sum(part.bytes for part in manifest.parts), sha256, resumed,
        )  # fmt: skip

    async def _written(self) -> str:
        """Return the SHA-256 of the manifest: of files that a killed run had finished, else of new ones."""
        if (self._folder / self._month.month).exists():
            found, sha256 = manifest_of(self._folder, self._month.month)
            if found.token != self._month.token:
                raise refused(self._month.month, f"{self._folder / found.month} is not this store's: move it away")
            return sha256
        writer = MonthWriter(self._folder, self._month.month)
        await self._write_entries(writer)
        await self._write_calls(writer)
        return writer.publish(
            self._month.token, format_rfc3339(self._now), self._month.entries_until, self._previous
        )  # fmt: skip

    async def _write_entries(self, writer: MonthWriter) -> None:
        names, after, done = ", ".join(columns_of("entry")), 0, 0
        query = f"SELECT {names} FROM entry WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"
        while page := await self._store.rows(query, (after, self._month.entries_until, PAGE_ENTRIES)):
            writer.add("entry", page)
            after, done = page[-1][0], done + len(page)
            self._progress(f"{self._month.month}: {done} entries written")

    async def _write_calls(self, writer: MonthWriter) -> None:
        """Write the calls that are over since before the month's end, each with its records."""
        names, after, done = columns_of("call"), 0, 0
        query = f"SELECT {', '.join(names)} FROM call WHERE number > ? ORDER BY number LIMIT ?"
        asked_at, is_open, body = (names.index(name) for name in ("requested_at", "is_open", "body"))
        while page := await self._store.rows(query, (after, PAGE_CALLS)):
            inside = [row for row in page if row[asked_at] < self._ends]
            if not inside:
                return  # a whole page of later calls
            over = [row for row in inside if not row[is_open] and _is_over(row[body], self._ends)]
            done += await self._write_with_records(writer, over)
            after = page[-1][0]
            self._progress(f"{self._month.month}: {done} calls written")

    async def _write_with_records(self, writer: MonthWriter, calls: list[tuple[Any, ...]]) -> int:
        numbers = {call[1]: call[0] for call in calls}  # of each grant id the number of its call
        names = [name for name in columns_of("record") if name != "call"]
        settled, grant = names.index("settled_at"), names.index("grant_id")
        records = await self._of_grants(f"SELECT {', '.join(names)} FROM record", list(numbers), " ORDER BY seq")
        later = {row[grant] for row in records if row[settled] >= self._ends}
        writer.add("call", [call for call in calls if call[1] not in later])
        writer.add("record", [(*row, numbers[row[grant]]) for row in records if row[grant] not in later])
        return len(calls) - len(later)

    async def _of_grants(self, select: str, grants: list[str], order: str) -> list[tuple[Any, ...]]:
        if not grants:
            return []
        return await self._store.rows(f"{select} WHERE grant_id IN ({_places(grants)}){order}", grants)

    async def _noted(self, sha256: str) -> None:
        def work(link: Link) -> None:
            link.execute("UPDATE archive SET manifest_sha256 = ? WHERE month = ?", (sha256, self._month.month))

        await self._store.administer(work)
        self._month = self._month._replace(manifest_sha256=sha256)

    async def _proved(self, manifest: Manifest) -> None:
        """Read every file back before anything leaves: what is on the disk is what was written."""
        for part in manifest.parts:
            self._progress(f"{self._month.month}: reading {part.name} back")
            for fault in part_faults(self._folder, self._month.month, part):
                raise ArchiveFault(f"{self._folder / self._month.month / part.name}: {fault}; nothing more leaves")

    async def _entries_out(self) -> None:
        pace, done, until = _Pace(self._store, STEP_MAX), self._month.entries_done, self._month.entries_until
        query = (
            "SELECT max(number), count(*) FROM (SELECT number FROM entry WHERE number > ? AND number <= ?"
            " ORDER BY number LIMIT ?) AS step"
        )
        while done < until:
            upto = (await self._store.rows(query, (done, until, pace.rows)))[0][0]
            await pace.step(self._entries_step(done, until if upto is None else upto))
            done = until if upto is None else upto
            self._progress(f"{self._month.month}: entries up to {done} of {until} have left")

    def _entries_step(self, after: int, upto: int) -> Callable[[Link], None]:
        def work(link: Link) -> None:
            link.execute(KEYS_KEPT, (after, upto))
            link.execute(SUMS_KEPT, (after, upto))
            link.execute("DELETE FROM entry WHERE number > ? AND number <= ?", (after, upto))
            self._moved_on(link, "entries_done", after, upto)

        return work

    def _moved_on(self, link: Link, what: str, after: int, upto: int) -> None:
        """Note the progress. Raises StoreError where somebody else made it: then nothing of the step is done."""
        query = f"UPDATE archive SET {what} = ? WHERE month = ? AND {what} = ? AND is_done = 0"
        if link.execute(query, (upto, self._month.month, after)).rowcount != 1:
            raise refused(self._month.month, "another process archives it; look at it, and run this again")

    async def _calls_out(self, part: Part) -> None:
        """Take the calls of one file out, with their records, where they are still as they were written."""
        import polars as pl  # noqa: PLC0415 - loaded by the command that archives, not by every daemon

        done = (await self._store.rows("SELECT calls_done FROM archive WHERE month = ?", (self._month.month,)))[0][0]
        if part.last <= done:
            return
        frame = scan(self._folder, self._month.month, [part]).filter(pl.col("number") > done)
        calls = frame.select("number", "grant_id", "body").sort("number").collect().rows()
        pace, place = _Pace(self._store, STEP_MAX_CALLS), 0
        while place < len(calls):
            step = calls[place : place + pace.rows]
            place += len(step)
            await pace.step(self._calls_step(done, step))
            done = step[-1][0]
            self._progress(f"{self._month.month}: calls up to {done} have left")

    def _calls_step(self, after: int, calls: list[tuple[Any, ...]]) -> Callable[[Link], None]:
        written = {grant_id: body for _number, grant_id, body in calls}

        def work(link: Link) -> None:
            query = f"SELECT grant_id, body FROM call WHERE grant_id IN ({_places(written)}) ORDER BY number"
            found = dict(link.execute(query + link.locking, list(written)).fetchall())
            same = [grant_id for grant_id, body in written.items() if found.get(grant_id) == body]
            changed = [(self._month.month, grant_id) for grant_id in written.keys() - set(same)]
            link.insert("archive_kept", ("month", "grant_id"), changed)
            if same:
                link.execute(f"DELETE FROM record WHERE grant_id IN ({_places(same)})", same)
                link.execute(f"DELETE FROM call WHERE grant_id IN ({_places(same)})", same)
            self._moved_on(link, "calls_done", after, calls[-1][0])

        return work

    async def _aliases_out(self) -> None:
        """Take out the aliases of calls that have left: their bodies hold them."""
        pace, after = _Pace(self._store, 1), 0
        query = (
            "SELECT max(number), sum(is_left) FROM (SELECT number, CASE WHEN EXISTS (SELECT 1 FROM call WHERE"
            " call.grant_id = call_alias.grant_id) THEN 0 ELSE 1 END AS is_left FROM call_alias WHERE number > ?"
            " ORDER BY number LIMIT ?) AS step"
        )
        while True:
            upto, left = (await self._store.rows(query, (after, ALIAS_SPAN)))[0]
            if not left:
                return  # all of a thousand belong to calls that are there: so do those behind them
            await pace.step(_aliases_step(after, upto))
            after = upto

    def _finished(self, link: Link) -> None:
        link.execute("UPDATE archive SET is_done = 1 WHERE month = ?", (self._month.month,))


def _aliases_step(after: int, upto: int) -> Callable[[Link], None]:
    def work(link: Link) -> None:
        link.execute(
            "DELETE FROM call_alias WHERE number > ? AND number <= ?"
            " AND NOT EXISTS (SELECT 1 FROM call WHERE call.grant_id = call_alias.grant_id)", (after, upto),
        )  # fmt: skip

    return work


def _is_over(body: str, ends: Instant) -> bool:
    """Tell whether the last that is known of a closed call lies before an instant; one that cannot be read stays."""
    try:
        call = _call.decode(body)
    except msgspec.DecodeError:
        return False
    return not call.is_open and max(call.requested_at, call.last_seen_at, call.ended_at or 0) < ends


def _places(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
