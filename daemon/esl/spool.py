"""The folder in which mod_json_cdr writes: what ended while nobody listened is charged by the switch's own record.

A file is taken once, and moved into ``taken``; one that cannot be read or charged goes to ``refused``, and never keeps
those behind it waiting. A call that a report has charged stays as it is. One that is open, that was settled by an
estimate, that lapsed or was voided because nobody knew better, or that nobody asked about while the link was down, is
charged by its file. While the store cannot commit the files stay where they are.
"""

import asyncio
import contextlib
import os
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.charging.call import ESTIMATES, Call, CallState, SettledBy
from daemon.charging.discarded import discarded
from daemon.charging.event import CallReport
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Book, Counters, Reads, Store, StoreError, StoreUnavailable
from daemon.esl.cdr import FILE_OCTETS_MAX, SpooledLeg, read_leg
from daemon.esl.legs import Unpaid
from daemon.esl.reports import Reporter
from daemon.esl.wire import RemoteWireError
from daemon.kernel.e164 import digits
from daemon.kernel.instant import Instant

FILES_MAX = 256  # files of one round; the rest follows in the next, seconds later
NAMES_MAX = 10_000  # names looked at in one round; more than lie there once files are moved
AGE_SECONDS = 5.0  # how old a file has to be: the event of its end came long before, and it is whole
CHANNEL_LENGTH_MAX = 64  # characters; a UUID has 36
TAKEN, REFUSED = "taken", "refused"
_SUFFIX = ".cdr.json"
_KEPT = frozenset({SettledBy.NEXT_PART})  # its end is known: it is the next part's beginning

_log = structlog.get_logger("tollway.esl.spool")


class Spool:
    """One switch's folder; without one it does nothing."""

    def __init__(self, ocf: OnlineCharging, store: Store, reporter: Reporter, counters: Counters) -> None:
        """Bind the parts; reads nothing."""
        self._ocf = ocf
        self._store = store
        self._reporter = reporter
        self._counters = counters
        self._folder = Path(reporter.spec.cdr_spool) if reporter.spec.cdr_spool else None
        self._said = ""
        self._left: set[str] = set()  # names that cannot be moved: they are passed over, until the daemon starts anew

    async def take_all(self, heard_since: Instant | None, now: float) -> None:
        """Take every file that is old enough. ``heard_since`` is when the link came up, by the switch's clock."""
        if self._folder is None:
            return
        try:
            names = await asyncio.to_thread(_names, self._folder, now - AGE_SECONDS, frozenset(self._left))
        except OSError as error:
            self._say(f"{self._folder}: {error.strerror}")
            return
        for name in names:
            await self._take(self._folder / name, heard_since)

    async def take_of(self, channel: str) -> None:
        """Take the file of one leg that is over, where there is one."""
        if self._folder is None or len(channel) > CHANNEL_LENGTH_MAX or not channel.replace("-", "").isalnum():
            return
        for name in (f"a_{channel}{_SUFFIX}", f"{channel}{_SUFFIX}"):
            await self._take(self._folder / name, None)

    async def _take(self, path: Path, heard_since: Instant | None) -> None:
        try:
            body = await asyncio.to_thread(_body, path)
            leg = read_leg(body)
        except FileNotFoundError:
            return
        except OSError as error:
            self._say(f"{path}: {error.strerror}")
            return
        except RemoteWireError as error:
            _log.error("a record of the switch cannot be read", file=str(path), error=str(error))
            discarded(self._counters, "esl_spool", "unreadable")
            await self._moved(path, REFUSED)
            return
        try:
            await self._charge(leg, heard_since)
        except StoreUnavailable as error:
            self._say(f"records wait for the store: {error}")
            return
        except (StoreError, ArithmeticError, AssertionError, LookupError, ValueError) as error:
            _log.error("a record of the switch cannot be charged", file=str(path), error=repr(error))
            discarded(self._counters, "esl_spool", "not_charged")
            await self._moved(path, REFUSED)
            return
        await self._moved(path, TAKEN)

    async def _moved(self, path: Path, where: str) -> None:
        try:
            await asyncio.to_thread(_move, path, where)
        except OSError as error:
            self._say(f"{path} cannot be moved to {where}: {error.strerror}")
            if len(self._left) < NAMES_MAX:
                self._left.add(path.name)

    def _say(self, what: str) -> None:
        """Log a fault once, until another comes."""
        if what != self._said:
            self._said = what
            _log.error("the spool of the switch's own records", switch=self._reporter.spec.id, error=what)

    async def _charge(self, leg: SpooledLeg, heard_since: Instant | None) -> None:
        domain, channel = self._reporter.id_domain, leg.event.channel
        if not leg.may_pay:
            return

        def newest(book: Book) -> Call | None:
            calls = book.calls(domain, channel)
            return calls[-1] if calls else None

        call = await self._store.transact(Reads(calls=((domain, channel),)), newest)
        report = self._of_call(leg, call) if call is not None else self._unasked(leg, heard_since)
        if report is None:
            return
        await self._ocf.ended(report)
        self._counters.count("tollway_reports_total", road="esl", kind="spool")
        _log.info("charged by the switch's own record", call_id=channel, answered=report.answered)

    def _of_call(self, leg: SpooledLeg, call: Call) -> CallReport | None:
        """Return the end of a call whose end nobody reported, None where there is nothing to tell."""
        unknown = call.is_open or call.state is CallState.EXPIRED
        unknown = unknown or (call.state is CallState.SETTLED and call.settled_by in ESTIMATES - _KEPT)
        unknown = unknown or (call.state is CallState.VOIDED and call.settled_by is SettledBy.RECOVERY)
        if not unknown:
            return None
        ended_at = self._reporter.ours(leg.ended_at)
        answered_at = call.answered_at
        if answered_at is None and leg.talked_at:
            answered_at = self._reporter.ours(leg.talked_at)
        if answered_at is None and not call.is_open:
            return None
        report = self._reporter.spooled(leg, call)
        if answered_at is None:
            return replace(report, answered=False)
        return replace(report, answered_at=answered_at, duration_us=max(0, ended_at - answered_at))

    def _unasked(self, leg: SpooledLeg, heard_since: Instant | None) -> CallReport | None:
        """Return the end of a call that nobody asked about; a leg that was heard from its beginning needs none."""
        if not leg.talked_at or (heard_since is not None and leg.began_at >= heard_since):
            return None
        rules, event = self._reporter.rules, leg.event
        if rules.account(event):
            report = self._reporter.spooled(leg, None)
            answered_at = self._reporter.ours(leg.talked_at)
            return replace(report, answered_at=answered_at, duration_us=max(0, report.at - answered_at))
        if event.context not in rules.charged_contexts:
            return None
        number = rules.stated(event) or digits(rules.stripped(event.destination)) or event.destination
        unpaid = Unpaid(
            event.channel, number, event.calling, leg.answered_at, leg.ended_at, leg.cause, leg.switch_seconds
        )
        return self._reporter.unpaid(unpaid)


def _names(folder: Path, before: float, left: frozenset[str]) -> list[str]:
    """Return the names of the oldest files but those ``left``; of a folder that does not end, of its first entries."""
    found: list[tuple[float, str]] = []
    with os.scandir(folder) as entries:
        for seen, entry in enumerate(entries):
            if seen == NAMES_MAX:
                break
            if entry.name in left or not entry.name.endswith(_SUFFIX) or not entry.is_file(follow_symlinks=False):
                continue
            with contextlib.suppress(FileNotFoundError):
                changed = entry.stat(follow_symlinks=False).st_mtime
                if changed <= before:
                    found.append((changed, entry.name))
    return [name for _, name in sorted(found)[:FILES_MAX]]


def _body(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream:
        body = stream.read(FILE_OCTETS_MAX + 1)
    if len(body) > FILE_OCTETS_MAX:
        raise RemoteWireError(f"it has more than {FILE_OCTETS_MAX} octets")
    return body


def _move(path: Path, where: str) -> None:
    target = path.parent / where
    target.mkdir(exist_ok=True)
    path.replace(target / path.name)
