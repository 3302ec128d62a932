"""What each start of a daemon found open, kept for the operator's report; what became of it is read from the calls.

A start is one transaction. The newest ``STARTS_KEPT`` are kept: a daemon that dies again and again fills nothing.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.recovery import FoundOpen, Recovered, Start, recovered
from daemon.kernel.instant import Instant
from daemon.store.handoff import Handoff
from daemon.store.link import Link

STARTS_KEPT = 100  # starts whose calls are kept; a start a day for three months, and a loop of deaths is bounded
CALLS_KEPT = 100_000  # open calls of one start that are noted, oldest first; more than a store is made for
STUCK = "stuck_call"  # the kind of the exception that says why a call cannot be resolved
_ESTIMATES = ("recovery", "end_unknown", "nas_reboot", "next_part")
ESTIMATES_READ = 10_000  # newest estimates that one report reads
PAGE_GRANTS = 200  # grants that one query names
_START = "number, at, daemon, found, journalled"
_call = msgspec.json.Decoder(Call)
_record = msgspec.json.Decoder(RatedCdr)


class Recoveries(Handoff):
    """The store's side of the report of recovery."""

    async def begin_recovery(self, daemon: str, calls: Sequence[Call], journalled: int) -> Start:
        """Keep what a start finds open. Raises StoreError."""
        at = self._now()

        def work(link: Link) -> Start:
            values = (at, daemon, len(calls), journalled)
            link.insert("recovery", ("at", "daemon", "found", "journalled"), [values])
            number = link.execute("SELECT max(number) FROM recovery").fetchone()[0]
            rows = [(number, call.grant_id, call.state.value, call.levels[0].reserved, 0)
                    for call in calls[:CALLS_KEPT]]  # fmt: skip
            if rows:
                link.insert("recovery_call", ("recovery", "grant_id", "state", "reserved", "adopted_at"), rows)
            link.execute("DELETE FROM recovery_call WHERE recovery <= ?", (number - STARTS_KEPT,))
            link.execute("DELETE FROM recovery WHERE number <= ?", (number - STARTS_KEPT,))
            return Start(number, *values)

        return await self.administer(work)

    async def adopted(self, grant_ids: Sequence[str]) -> None:
        """Note that the switch still runs these calls, once for each start that found them. Raises StoreError."""
        now = self._now()
        query = "UPDATE recovery_call SET adopted_at = ? WHERE grant_id = ? AND adopted_at = 0"
        if grant_ids:
            await self.administer(lambda link: link.executemany(query, [(now, grant_id) for grant_id in grant_ids]))

    async def recovery_starts(self, since: Instant | None) -> list[Start]:
        """Return the starts since an instant, oldest first; without one the newest alone."""
        if since is None:
            rows = await self.rows(f"SELECT {_START} FROM recovery ORDER BY number DESC LIMIT 1")
        else:
            rows = await self.rows(f"SELECT {_START} FROM recovery WHERE at >= ? ORDER BY number", (since,))
        return [Start(*row) for row in rows]

    async def recovered_calls(self, start: Start) -> list[Recovered]:
        """Return what became of the calls that a start found, as it stands now."""
        rows = await self.rows(
            "SELECT recovery_call.grant_id, recovery_call.state, recovery_call.reserved, adopted_at, call.body"
            " FROM recovery_call LEFT JOIN call ON call.grant_id = recovery_call.grant_id WHERE recovery = ?"
            " ORDER BY call.number",
            (start.number,),
        )
        records = await self.rows(
            "SELECT record.grant_id, record.body FROM recovery_call JOIN record"
            " ON record.grant_id = recovery_call.grant_id WHERE recovery = ? ORDER BY seq",
            (start.number,),
        )
        found = [(FoundOpen(*row[:4]), row[4]) for row in rows]
        return self._judged(found, records, start.at, await self._stuck())

    async def estimated_calls(self, since: Instant) -> list[Recovered]:
        """Return the calls that were settled by an estimate since an instant, as they stand now, oldest first."""
        marks = ", ".join("?" * len(_ESTIMATES))
        keys = await self.rows(
            f"SELECT DISTINCT key FROM exceptional WHERE kind IN ({marks}) AND at >= ? ORDER BY key DESC LIMIT ?",
            (*_ESTIMATES, since, ESTIMATES_READ),
        )
        # The key of such an exception is KIND:GRANT:REVISION.
        grants = sorted({key.split(":")[1] for (key,) in keys if key is not None and key.count(":") == 2})
        found: list[tuple[FoundOpen, str | None]] = []
        records: list[tuple[Any, ...]] = []
        for begins in range(0, len(grants), PAGE_GRANTS):
            page = grants[begins : begins + PAGE_GRANTS]
            which = f"WHERE grant_id IN ({', '.join('?' * len(page))})"
            calls = await self.rows(f"SELECT grant_id, state, body FROM call {which} ORDER BY number", page)
            found += [(FoundOpen(grant_id, state, 0, 0), body) for grant_id, state, body in calls]
            records += await self.rows(f"SELECT grant_id, body FROM record {which} ORDER BY seq", page)
        return self._judged(found, records, since, await self._stuck())

    async def _stuck(self) -> dict[str, str]:
        rows = await self.rows("SELECT key, detail FROM exceptional WHERE kind = ? ORDER BY number", (STUCK,))
        return {key.partition(":")[2]: detail for key, detail in rows if key is not None}

    def _judged(
        self, found: Sequence[tuple[FoundOpen, str | None]], records: Sequence[tuple[Any, ...]], start: Instant,
        stuck: dict[str, str],
    ) -> list[Recovered]:  # fmt: skip
        told: dict[str, list[RatedCdr]] = {}
        for grant_id, body in records:
            with contextlib.suppress(msgspec.DecodeError):  # ``db check`` names a record that cannot be read
                told.setdefault(grant_id, []).append(_record.decode(body))
        now = self._now()
        return [
            recovered(each, _readable(body), told.get(each.grant_id, ()), start, now, stuck.get(each.grant_id, ""))
            for each, body in found
        ]


def _readable(body: str | None) -> Call | None:
    try:
        return _call.decode(body) if body is not None else None
    except msgspec.DecodeError:
        return None
