"""The store as the rest of the daemon knows it, whichever engine keeps it: transactions, open calls, records, ping."""

import asyncio
import threading
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Book, Message, Reads, StoreSums
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.store.administration import ENTRY_NAMES, Administration
from daemon.store.archives import KEPT, MONTHS, Archives, horizon, months_of
from daemon.store.commit import Job, Writer
from daemon.store.link import Link
from daemon.store.sums import summed

T = TypeVar("T")
PAGE_ROWS = 1_000  # records read at once for an export: it holds no snapshot that would keep the log from being reset
CALLS_FOUND_MAX = 100  # calls that a search by a person returns
OF_RULE = "kind IN ('suspend', 'resume')"  # as the index of such entries says it
_PING = "INSERT INTO meta (name, value) VALUES ('ping', 1) ON CONFLICT (name) DO UPDATE SET value = meta.value + 1"
_call = msgspec.json.Decoder(Call)
_record = msgspec.json.Decoder(RatedCdr)


class LedgerStore(Administration):
    """Implements charging.ports.Store, and what commands, exports and the composition root need beside it."""

    def __init__(self, now: Callable[[], Instant], writer: Writer, archive_folder: Path | None) -> None:
        """Take the clock, the writer whose batches charge calls, and the folder of what leaves the store, if any."""
        super().__init__(now)
        self.writer = writer
        self.archive_folder = archive_folder
        self._closing = threading.Event()
        self.unreadable: dict[str, str] = {}  # open calls whose row makes no sense, by grant id, and why

    @property
    @abstractmethod
    def name(self) -> str:
        """What the store is called in messages: its file, or its URL without the password."""

    async def transact(self, reads: Reads, decide: Callable[[Book], T]) -> T:
        """Run ``decide`` in the next batch and return its value after the commit. Raises StoreError."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.writer.submit(Job(reads, decide, future))
        return await future

    async def due_calls(self, now: Instant, limit: int) -> Sequence[Call]:
        """Return at most ``limit`` open calls whose ``due_at`` has come, earliest first."""
        query = "SELECT grant_id, body FROM call WHERE is_open = 1 AND due_at <= ? ORDER BY due_at LIMIT ?"
        return self._readable(await self.rows(query, (now, limit)))

    async def open_calls(self) -> Sequence[Call]:
        """Return every open call, in the order of their questions."""
        query = "SELECT grant_id, body FROM call WHERE is_open = 1 ORDER BY number"
        return self._readable(await self.rows(query))

    async def open_calls_of(self, accounts: Collection[int], limit: int) -> Sequence[Call]:
        """Return at most ``limit`` open calls that one of some accounts pays at any level, oldest first.

        Only the rows that may be meant are decoded: a level begins with its account, as a route does not.
        """
        named = " OR ".join("body LIKE ?" for _ in accounts)
        query = f"SELECT grant_id, body FROM call WHERE is_open = 1 AND ({named}) ORDER BY number LIMIT ?"
        rows = await self.rows(query, (*(f'%{{"account":{number:d},%' for number in accounts), limit))
        return [call for call in self._readable(rows) if any(level.account in accounts for level in call.levels)]

    async def first_open_calls(self, limit: int, payer: Key | None) -> tuple[Sequence[Call], int]:
        """Return the oldest open calls, at most ``limit``, and how many there are: all, or those that an account pays.

        Raises StoreError.
        """
        whose, values = "", ()  # type: str, tuple[object, ...]
        if payer is not None:
            whose = " AND payer = (SELECT number FROM account WHERE role = 'customer' AND tenant = ? AND id = ?)"
            values = tuple(payer)
        among = f"FROM call WHERE is_open = 1{whose}"
        rows = await self.rows(f"SELECT grant_id, body {among} ORDER BY number LIMIT ?", (*values, limit))
        return self._readable(rows), int((await self.rows(f"SELECT count(*) {among}", values))[0][0])

    async def sums(self) -> StoreSums:
        """Return what figures are made of, summed by the database on a connection of its own. Raises StoreError."""
        return await self.reading(summed)

    async def expired_accounts(self, now: Instant, limit: int) -> Sequence[int]:
        """Return at most ``limit`` accounts with a bucket whose expiry has come and has not been looked at."""
        query = "SELECT number FROM account WHERE bucket_due <= ? ORDER BY bucket_due LIMIT ?"
        return [number for (number,) in await self.rows(query, (now, limit))]

    async def last_entry_of_rule(self) -> int:
        """Return the number of the newest entry by which an account was suspended or resumed by itself, or 0."""
        return int((await self.rows(f"SELECT coalesce(max(number), 0) FROM entry WHERE {OF_RULE}"))[0][0])

    async def entries_of_rule(self, after: int, limit: int) -> Sequence[tuple[int, str, str, str, str]]:
        """Return at most ``limit`` such entries after a number: number, kind, tenant, account, reason."""
        query = (
            "SELECT entry.number, kind, tenant, id, reason FROM entry JOIN account ON account.number = entry.account"
            f" WHERE {OF_RULE} AND entry.number > ? ORDER BY entry.number LIMIT ?"
        )
        return [(number, kind, tenant, name, why) for number, kind, tenant, name, why in await self.rows(
            query, (after, limit))]  # fmt: skip

    def _readable(self, rows: Iterable[Sequence[Any]]) -> list[Call]:
        """Return the calls of rows; one that cannot be read never keeps the others from being served."""
        found = []
        for grant_id, body in rows:
            try:
                found.append(_call.decode(body))
            except msgspec.DecodeError as error:
                self.unreadable[grant_id] = str(error)
        return found

    async def find_calls(self, call_id: str) -> Sequence[Call]:
        """Return the newest calls of a call id or grant id, oldest first."""
        query = "SELECT grant_id, body FROM call WHERE call_id = ? OR grant_id = ? ORDER BY number DESC LIMIT ?"
        return self._readable(reversed(await self.rows(query, (call_id, call_id, CALLS_FOUND_MAX))))

    async def recent_messages(self, limit: int) -> Sequence[Message]:
        """Return the newest answered messages, oldest first."""
        query = "SELECT key, body, reply, at, grant_id FROM message ORDER BY number DESC LIMIT ?"
        return [Message(*row) for row in reversed(await self.rows(query, (limit,)))]

    async def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
        """Stream a tenant's records with their sequence, ``after_seq`` excluded."""
        query = "SELECT seq, body FROM record WHERE tenant = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        while after_seq < until_seq:
            page = await self.rows(query, (tenant, after_seq, until_seq, PAGE_ROWS))
            upto = page[-1][0] if len(page) == PAGE_ROWS else until_seq
            # Looked at second: what leaves the store in between is seen in both, and counts once.
            left = (await self.archives()).records(tenant, after_seq, upto, PAGE_ROWS)
            upto = left[-1][0] if len(left) == PAGE_ROWS else upto
            for seq, body in sorted({**dict(left), **dict(page)}.items()):
                if seq <= upto:
                    yield seq, _record.decode(body)
            after_seq = upto

    # -- what left the store

    async def archives(self) -> Archives:
        """Return what is known of the archives now."""
        months = months_of(await self.rows(MONTHS))
        kept = await self.rows(KEPT) if months else []
        return Archives(self.archive_folder, months, [(month, grant_id) for month, grant_id in kept])

    async def archived_until(self) -> Instant:
        """Return the instant before which calls have left the store, 0 where none has."""
        return horizon(months_of(await self.rows(MONTHS)))

    async def history(self, key: Key, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest entries of an account, archived ones too, oldest first, each with its ``archive``.

        Raises StoreError where an archive that it needs is not there.
        """
        found: list[dict[str, object]] = [{**row, "archive": ""} for row in await self.entries(key, limit)]
        query = "SELECT number FROM account WHERE role = 'customer' AND tenant = ? AND id = ?"
        numbers = await self.rows(query, key) if len(found) < limit else []
        for (number,) in numbers:
            here = {row["number"] for row in found}
            left = (await self.archives()).entries(number, ENTRY_NAMES, limit - len(found))
            found = [row for row in left if row["number"] not in here] + found
        return found

    async def find_archived_calls(self, call_id: str) -> Sequence[tuple[str, Call]]:
        """Return the newest archived calls of a call id or grant id with their month, oldest first. StoreError."""
        return (await self.archives()).calls(call_id, CALLS_FOUND_MAX)

    @abstractmethod
    def alone_in_archiving(self) -> AbstractAsyncContextManager[None]:
        """Be the only one who archives from this store, until the context or the process ends. Raises StoreError."""

    async def claimed(self, names: Collection[str]) -> Collection[str]:
        """Return those of the names that this daemon serves alone: all, where no other daemon shares the store."""
        return names

    async def writer_answers(self) -> None:
        """Return once the writer's thread has taken up an empty transaction and ended it, were it by a failure.

        What a failing disk or server makes of it is told elsewhere: this only tells a writer at work from one that
        hangs. Raises StoreUnavailable where it is so far behind that no more work can wait for it.
        """
        ended = self.writer.errand(_nothing)
        ended.add_done_callback(lambda each: each.cancelled() or each.exception())
        await asyncio.wait([ended])

    async def ping(self) -> None:
        """Write something, durably. Raises StoreError where the store cannot commit."""
        await self.administer(_ping)

    @abstractmethod
    async def close(self) -> None:
        """Finish what is queued, then close; nothing can be asked of the store afterwards."""


def _nothing() -> None:
    """Do nothing, within a transaction."""


def _ping(link: Link) -> None:
    link.execute(_PING)
