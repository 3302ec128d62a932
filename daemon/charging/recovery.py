"""What became of the calls that a daemon found open when it started, told from the calls and their records alone.

A start notes which calls were open and what they held; nothing else is kept for the report. So it is as right months
later as on the day, a correction that comes days later is in it, and no transaction of a call waits for it. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from daemon.charging.call import ESTIMATES, Call, CallState
from daemon.charging.cdr import RatedCdr
from daemon.kernel.instant import SECOND, Instant, format_rfc3339

OVERDUE_US = 10 * SECOND  # microseconds; the daemon looks twice a second, and a round takes less than a second


class Fate(Enum):
    """What became of a call that was open at a start; ``ESTIMATED`` may still be corrected by a late report."""

    RUNS = "runs"
    WAITS = "waits"
    ENDED = "ended"
    ESTIMATED = "estimated"
    CORRECTED = "corrected"
    VOIDED = "voided"
    EXPIRED = "expired"
    UNREADABLE = "unreadable"


HOLDING = frozenset({Fate.RUNS, Fate.WAITS, Fate.UNREADABLE})


@dataclass(frozen=True, slots=True)
class FoundOpen:
    """An open call as a start found it; money in nano-units at the account that pays. ``adopted_at`` 0: never."""

    grant_id: str
    state: str
    reserved: int
    adopted_at: Instant


@dataclass(frozen=True, slots=True)
class Recovered:
    """One call of a report. ``call`` is None where its row cannot be read; ``told_by`` who reported its end."""

    found: FoundOpen
    call: Call | None
    fate: Fate
    why: str = ""
    told_by: str = ""

    @property
    def seconds_us(self) -> int:
        """The duration that it is charged for, in microseconds."""
        return self.call.duration_us if self.call is not None else 0

    @property
    def charge(self) -> int:
        """What the account that pays was charged, in nano-units."""
        return self.call.posted[0].charge if self.call is not None and self.call.posted else 0

    @property
    def freed(self) -> int:
        """The money that it held at the start and neither holds nor cost, in nano-units; 0 while it holds any."""
        return 0 if self.fate in HOLDING else max(0, self.found.reserved - self.charge)


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a daemon. ``found`` counts the calls that were open, ``journalled`` grants that no store had."""

    number: int
    at: Instant
    daemon: str
    found: int
    journalled: int


def recovered(found: FoundOpen, call: Call | None, records: Sequence[RatedCdr], start: Instant, now: Instant,
              stuck: str = "") -> Recovered:  # fmt: skip
    """Return what became of a call. ``records`` are its own, oldest first; ``stuck`` is why it cannot be resolved."""
    if call is None:
        return Recovered(found, None, Fate.UNREADABLE, stuck or "its row cannot be read: see 'tollway db check'")
    if call.is_open:
        return _open(found, call, start, now, stuck)
    if call.state is not CallState.SETTLED:
        if call.state is CallState.VOIDED:
            return Recovered(found, call, Fate.VOIDED)
        lapsed = format_rfc3339(call.ended_at or call.due_at)
        return Recovered(found, call, Fate.EXPIRED, f"no answer was reported; its grant lapsed at {lapsed}")
    if call.settled_by in ESTIMATES:
        return Recovered(found, call, Fate.ESTIMATED, f"{call.settled_by.value}: nobody reported its end")
    told_by = records[-1].told_by if records else ""
    corrected = any(record.status == "reversal" for record in records)
    return Recovered(found, call, Fate.CORRECTED if corrected else Fate.ENDED, told_by=told_by)


def _open(found: FoundOpen, call: Call, start: Instant, now: Instant, stuck: str) -> Recovered:
    if stuck:
        return Recovered(found, call, Fate.WAITS, stuck)
    due = format_rfc3339(call.due_at)
    if call.due_at < now - OVERDUE_US:
        why = f"was due at {due}: no daemon runs, or the store cannot commit, or the log says why"
        return Recovered(found, call, Fate.WAITS, why)
    if found.adopted_at:
        return Recovered(found, call, Fate.RUNS, f"{call.switch} runs it")
    if call.last_seen_at > start:
        return Recovered(found, call, Fate.RUNS, f"a sign of life at {format_rfc3339(call.last_seen_at)}")
    if call.answered_at is None:
        return Recovered(found, call, Fate.WAITS, f"no answer was reported; its grant lapses at {due}")
    return Recovered(found, call, Fate.WAITS, f"nothing was heard of it since; settled by an estimate at {due}")


def counted(calls: Iterable[Recovered]) -> dict[str, int]:
    """Return how many calls met each fate; each fate is named."""
    met = Counter(each.fate for each in calls)
    return {fate.value: met[fate] for fate in Fate}


def money_freed(calls: Iterable[Recovered]) -> dict[str, int]:
    """Return the nano-units that were freed, by currency."""
    freed: Counter[str] = Counter()
    for each in calls:
        if each.call is not None and each.freed:
            freed[each.call.levels[0].currency] += each.freed
    return dict(freed)


def channels_freed(calls: Iterable[Recovered]) -> int:
    """Return how many calls that held channels hold none any more."""
    return sum(each.fate not in HOLDING for each in calls)


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """Each start with its calls; calls settled by an estimate that no such start had found; what still waits.

    ``journalled`` counts grants that no store has yet; ``unreadable`` are open calls whose row makes no sense, and why.
    """

    starts: tuple[tuple[Start, tuple[Recovered, ...]], ...]
    estimates: tuple[Recovered, ...]
    journalled: int
    unreadable: tuple[tuple[str, str], ...]
