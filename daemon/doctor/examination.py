"""All probes in their order, each within its time: one that takes longer, or fails, is told as such and keeps no other.

What may block (a disk, a name server) runs in a thread that the end of the command does not wait for; what reads the
store is stopped by the database itself. Without a store what needs one is skipped, and the rest is still looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from daemon.app_commands import clock
from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.doctor import listeners, machine, nightly, payers, peers, prices
from daemon.doctor.finding import Finding, State, ill, skipped, well
from daemon.doctor.patience import PROBE_SECONDS, TooSlow, bounded
from daemon.kernel.instant import SECOND, Instant, format_rfc3339
from daemon.settings import Settings, is_server
from daemon.store import LedgerStore, health, open_store, opening
from daemon.store.identity import identity_of
from daemon.store.link import Link
from daemon.store.loading import Known, refreshed

T = TypeVar("T")
READ_SECONDS: Final = 20.0  # of one look at the store: all accounts, or all rates
CLOSE_SECONDS: Final = 5.0  # that the store may take to close
STEP_MIN: Final[Instant] = 2 * SECOND  # microseconds: clocks of two machines kept by NTP lie closer by far
APART_MAX: Final[Instant] = SECOND  # microseconds between this clock and the server's


@dataclass
class Examination:
    """One look at everything. ``findings`` yields what is found, as it is found."""

    settings: Settings
    now: Callable[[], Instant] = clock
    store: LedgerStore | None = None
    known: Known | None = None
    tables: prices.Tables | None = None

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield every finding, in the order of the probes."""
        yield well("settings", f"{self.settings.path or 'the defaults'}: no faults")
        try:
            async for finding in self._of_store():
                yield finding
            for looks in (self._of_machine, self._of_network, self._of_content):
                async for finding in looks():
                    yield finding
        finally:
            await self._close()

    async def _close(self) -> None:
        if self.store is not None:
            try:
                await asyncio.wait_for(self.store.close(), CLOSE_SECONDS)
            except (StoreError, TimeoutError):
                self.store = None  # nothing was written that could be lost

    # -- the store

    async def _of_store(self) -> AsyncIterator[Finding]:
        yield await self._open()
        for name, look in (
            ("store.write", self._write), ("store.whole", self._whole), ("clock.store", self._newest),
            ("clock.server", self._server_clock),
        ):  # fmt: skip
            yield await self._one(name, look)

    async def _open(self) -> Finding:
        """Open the store, and read what is configured."""
        name = opening.name_of(self.settings.store.url)
        try:
            self.store = await asyncio.wait_for(open_store(self.settings.store, self.now), PROBE_SECONDS)
            self.known = await self._read(partial(refreshed, None))
        except StoreUnavailable as error:
            there = await self._is_there()
            return ill("store", "unusable" if there else "missing", str(error))
        except (StoreError, OSError) as error:
            return ill("store", "unusable", str(error))
        except TimeoutError:
            return ill("store", "unusable", f"{name} does not answer within {PROBE_SECONDS:g} s")
        accounts, revision = len(self.known.accounts.rows), self.known.revision
        return well("store", f"{name} has this release's schema: {accounts:,} accounts, revision {revision}")

    async def _is_there(self) -> bool:
        try:
            return await bounded(partial(opening.exists, self.settings.store.url))
        except (TooSlow, StoreError):
            return True

    async def _read(self, work: Callable[[Link], T]) -> T:
        """Run a look at the store, which the database ends when it takes too long. Raises StoreError."""

        def limited(link: Link) -> T:
            link.give_up_after(READ_SECONDS)
            return work(link)

        assert self.store is not None, "opened first"
        return await self.store.reading(limited)

    async def _one(self, name: str, look: Callable[[], Awaitable[Finding | Iterable[Finding]]]) -> Finding:
        """Return the one finding of a look at the store."""
        (found,) = [finding async for finding in self._many(name, look)]
        return found

    async def _many(
        self, name: str, look: Callable[[], Awaitable[Finding | Iterable[Finding]]], *, stored: bool = True
    ) -> AsyncIterator[Finding]:
        """Yield the findings of a look, or why there are none."""
        if stored and (self.store is None or self.known is None):
            yield skipped(name, "there is no store to look at")
            return
        try:
            found = await asyncio.wait_for(look(), READ_SECONDS + PROBE_SECONDS)
        except (StoreError, OSError, TooSlow) as error:
            yield skipped(name, str(error))
        except TimeoutError:
            yield skipped(name, f"no answer within {READ_SECONDS + PROBE_SECONDS:g} s")
        else:
            for finding in [found] if isinstance(found, Finding) else found:
                yield finding

    async def _write(self) -> Finding:
        assert self.store is not None, "_many looked"
        try:
            await asyncio.wait_for(health.write_probe(self.store), PROBE_SECONDS)
        except StoreError as error:
            return ill("store.write", "refused", str(error))
        except TimeoutError:
            return ill("store.write", "refused", f"a row was not written within {PROBE_SECONDS:g} s")
        return well("store.write", "a row was written and taken back")

    async def _whole(self) -> Finding:
        try:
            faults = await self._read(health.faults_of_file)
        except StoreUnavailable:
            raise
        except StoreError as error:  # so damaged that it cannot be looked through
            faults = [("damaged", str(error))]
        for fault, detail in faults[:1]:
            return ill("store.whole", fault, detail)
        return well("store.whole", "the server keeps what it commits" if self._is_server else "its file is whole")

    @property
    def _is_server(self) -> bool:
        return is_server(self.settings.store.url)

    async def _newest(self) -> Finding:
        newest, now = await self._read(health.newest_instant), self.now()
        if newest > now + STEP_MIN:
            ahead = (newest - now) // SECOND
            seen = f"the store has an entry of {format_rfc3339(newest)}, {ahead:,} s after what the clock says now"
            return ill("clock.store", "behind", seen)
        return well(
            "clock.store", f"the newest entry is of {format_rfc3339(newest)}" if newest else "there is none yet"
        )

    async def _server_clock(self) -> Finding:
        if not self._is_server:
            return skipped("clock.server", "the store is a file")
        before = self.now()
        told = await self._read(health.server_clock)
        apart = max(before - told, told - self.now(), 0)
        seen = f"the server's clock is {apart // 1000:,} ms away from ours"
        return ill("clock.server", "apart", seen) if apart > APART_MAX else well("clock.server", seen)

    # -- the machine and the network

    async def _of_machine(self) -> AsyncIterator[Finding]:
        folders = await bounded(partial(machine.folders_of, self.settings))
        first = folders[0].found
        mounts = Path("/proc/self/mounts")
        looks: list[tuple[str, Callable[[], Finding | Iterable[Finding]]]] = [
            ("disk.space", lambda: list(machine.space(folders))),
            ("disk.rights", lambda: list(machine.rights(folders))),
            ("disk.sync", lambda: machine.sync_time(first)),
            ("clock.sync", machine.ntp),
            ("zones", lambda: machine.zones(machine.installed_zones(), self.now())),
            ("udp.buffer", lambda: machine.receive_buffer(int(Path("/proc/sys/net/core/rmem_max").read_text()))),
            ("descriptors", lambda: machine.descriptors(listeners.limits_of_daemon(self.settings))),
            ("unit", lambda: list(machine.units())),
        ]  # fmt: skip
        if not self._is_server:
            looks.insert(0, ("store.place", lambda: machine.place(first, mounts.read_text())))
        for name, look in looks:
            async for finding in self._many(name, partial(bounded, look), stored=False):
                yield finding

    async def _of_network(self) -> AsyncIterator[Finding]:
        clients = self.known.configuration.nas if self.known is not None else ()
        for port in listeners.ports_of(self.settings):
            async for finding in self._many("ports", partial(listeners.look, port, clients), stored=False):
                yield finding
        async for finding in self._many("ready", self._ready, stored=False):
            yield finding

    async def _ready(self) -> list[Finding]:
        """Hold what a daemon says of itself against the store, where that can be read."""
        ran = name = None
        if self.store is not None and self.known is not None:
            ran = await self._read(health.ran)
            name = await self._read(partial(identity_of, url=self.settings.store.url))
        return await bounded(lambda: list(listeners.readiness(self.settings, ran, name)))

    # -- what is configured, and what is waiting

    async def _of_content(self) -> AsyncIterator[Finding]:
        looks: list[tuple[str, Callable[[], Awaitable[Finding | Iterable[Finding]]]]] = [
            ("switches", self._switches), ("nas.secrets", self._clients), ("decks", self._decks),
            ("accounts.plans", self._accounts),
            ("exports", self._at(lambda link, now: list(nightly.exports(link, now)))),
            ("exceptions", self._at(nightly.exceptions)), ("calls", self._at(nightly.calls)),
            ("debts", self._at(lambda link, _now: nightly.debts(link))),
        ]  # fmt: skip
        for name, look in looks:
            async for finding in self._many(name, look):
                yield finding
        path = Path(self.settings.charging.postpaid_journal)
        async for finding in self._many("journal", partial(nightly.journal, path), stored=False):
            yield finding

    def _at(self, look: Callable[[Link, Instant], T]) -> Callable[[], Awaitable[T]]:
        return lambda: self._read(lambda link: look(link, self.now()))

    @property
    def _known(self) -> Known:
        assert self.known is not None, "_many looked"
        return self.known

    async def _switches(self) -> list[Finding]:
        return await peers.switches(self._known.configuration, self.now)

    async def _clients(self) -> list[Finding]:
        return list(peers.clients(self._known.configuration.nas))

    async def _decks(self) -> list[Finding]:
        configuration, now = self._known.configuration, self.now()
        tables = await self._decks_read()
        return await self._read(lambda link: list(prices.decks(link, tables, configuration, now)))

    async def _decks_read(self) -> prices.Tables:
        """Read how the decks stand, once: it is what takes longest."""
        if self.tables is None:
            self.tables = await self._read(lambda link: health.tables_of(link, self.now()))
        return self.tables

    async def _accounts(self) -> list[Finding]:
        """Look at all accounts: plans, currencies, endpoints."""
        known, now = self._known, self.now()
        ending = prices.ending_plans(await self._decks_read(), known.configuration, now)
        found = await bounded(partial(payers.census, known.accounts, known.configuration, ending, now), READ_SECONDS)
        named = [(plan, currency, account) for (plan, currency), account in found.currencies.items()]
        return [
            *payers.accounts(found), *payers.collisions(known.accounts),
            *prices.conversions(known.configuration, named, now),
        ]  # fmt: skip


def status_of(findings: Iterable[Finding]) -> int:
    """Return the exit status: 0 where nothing failed, 69 without a store that can be used, 1 for any other failure."""
    failed = [finding for finding in findings if finding.state is State.FAIL]
    if any(finding.name == "store" for finding in failed):
        return 69
    return 1 if failed else 0
