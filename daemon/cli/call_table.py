"""``tollway call list --watch``: the live calls again and again, on a terminal as one table that is as high as it.

Every look opens the store anew, as any command does, so that a store or a daemon that was away is found again when it
is back. The terminal is given back as it was, however this ends. Nothing of a caller's text controls it.
"""

import contextlib
import http.client
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import click
import msgspec
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from daemon.app_commands import Call, Opened
from daemon.cli.command import Chosen
from daemon.cli.failure import Refused, Unavailable
from daemon.cli.output import print_table, printable
from daemon.cli.radius import reached
from daemon.kernel.instant import SECOND, Instant, format_rfc3339, parse_rfc3339

HEALTH_SECONDS: Final = 1.0  # that the daemon may take to say that it lives
LINES_AROUND: Final = 7  # lines of a screen that are no call: the head, the columns with their rule, what is left out
ROWS_PIPED: Final = 1_000  # calls of one table where no terminal bounds it
ROWS_JSON: Final = 1_000_000  # calls of one list: what one daemon can have open, many times over
TEXT_MAX: Final = 40  # characters of a cell: a call id may have hundreds
COLUMNS: Final = ("call_id", "account", "from", "to", "state", "talked", "charged", "reserved", "seconds", "switch")
NUMBERS: Final = frozenset({"talked", "charged", "reserved", "seconds"})


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found. ``faults`` say what is away; where ``is_old`` the calls are those of an earlier look."""

    at: Instant
    calls: Sequence[dict[str, Any]] = ()
    total: int = 0
    faults: tuple[str, ...] = ()
    is_old: bool = False

    @property
    def clock(self) -> str:
        """The time of the look, to the second."""
        return f"{format_rfc3339(self.at)[:19]}Z"


class CallTable:
    """Watches live calls; ``value`` makes of a call what ``call list --json`` promises of it."""

    def __init__(
        self, selected: Chosen, account_id: str | None, interval: int, value: Callable[[Call], dict[str, Any]]
    ) -> None:
        """Take whose calls, and how many seconds between two looks. Raises BadConfiguration."""
        self._selected, self._account_id, self._interval, self._value = selected, account_id, interval, value
        self._settings = selected.settings()
        self._seen = Look(0)

    def run(self, *, as_json: bool) -> None:
        """Show them until somebody ends it."""
        with contextlib.suppress(KeyboardInterrupt):
            if as_json:
                self._print(_print_list, ROWS_JSON)
            elif sys.stdout.isatty():
                self._show()
            else:
                self._print(_print_plainly, ROWS_PIPED)

    def _print(self, show: Callable[[Look], None], rows: int) -> None:
        while True:
            look = self._look(rows)
            for fault in look.faults:
                click.echo(f"{look.clock} {printable(fault)}", err=True)
            if not look.is_old:
                show(look)
            sys.stdout.flush()
            time.sleep(self._interval)

    def _show(self) -> None:
        screen = Console(highlight=False, markup=False)
        with _keys() as ended, Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                look = self._look(max(1, screen.size.height - LINES_AROUND))
                live.update(_drawn(look, self._interval), refresh=True)
                if ended(self._interval):
                    return

    def _look(self, rows: int) -> Look:
        """Look once. An account that there is none of is refused at once, as by any command."""
        at, faults = time.time_ns() // 1000, self._daemon_fault()
        try:
            calls, total = self._selected.perform(lambda store: self._read(store, rows))
        except Unavailable as error:
            away = f"the store is away: {error}"
        except Refused as error:
            if not self._seen.at:
                raise
            away = str(error)
        else:
            self._seen = Look(at, [self._value(call) for call in calls], total, faults)
            return self._seen
        return replace(self._seen, at=at, faults=(away, *faults), is_old=True)

    async def _read(self, store: Opened, rows: int) -> tuple[Sequence[Call], int]:
        payer = await store.known_account(self._account_id)
        return await store.first_open_calls(rows, payer)

    def _daemon_fault(self) -> tuple[str, ...]:
        """Say where the daemon does not answer; it is not asked where it has no HTTP listener."""
        place = self._settings.http
        if not place:
            return ()
        host, port = reached(place)
        asked = http.client.HTTPConnection(host, port, timeout=HEALTH_SECONDS)
        try:
            asked.request("GET", "/healthz")
            asked.getresponse()
        except (OSError, http.client.HTTPException):
            return (f"the daemon does not answer on {host}:{port}",)
        finally:
            asked.close()
        return ()


def _print_list(look: Look) -> None:
    click.echo(msgspec.json.encode(look.calls))


def _print_plainly(look: Look) -> None:
    click.echo(_head(look))
    print_table(COLUMNS, (_cells(value, look.at) for value in look.calls), numbers=tuple(NUMBERS))


def _head(look: Look) -> str:
    more = look.total - len(look.calls)
    return f"{look.clock}  {look.total:,} live calls" + (f", the {len(look.calls):,} oldest shown" if more > 0 else "")


def _cells(value: dict[str, Any], now: Instant) -> list[str]:
    return [
        value["call_id"], f"{value['tenant']}/{value['account']}", value["from"], value["to"], value["state"],
        _talked(value, now), value["charged"], value["reserved"], str(value["quota_seconds"]), value["switch"],
    ]  # fmt: skip


def _talked(value: dict[str, Any], now: Instant) -> str:
    if value["answered_at"] is None:
        return ""
    minutes, seconds = divmod(max(0, now - parse_rfc3339(value["answered_at"])) // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _drawn(look: Look, interval: int) -> Group:
    """Return the screen of a look: what is away stands above the calls, how many are left out below."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        right = "right" if column in NUMBERS else "left"
        table.add_column(column, justify=right, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    for value in look.calls:
        table.add_row(*(Text(printable(cell)[:TEXT_MAX]) for cell in _cells(value, look.at)))
    head = Text(f"{look.clock}  {look.total:,} live calls, every {interval} s; q ends")
    faults = [Text(printable(fault), style="bold red", no_wrap=True, overflow="ellipsis") for fault in look.faults]
    left = look.total - len(look.calls)
    return Group(head, *faults, table, Text(f"and {left:,} more" if left > 0 else ""))


def _slept(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Take keys as they are pressed; the value given waits some seconds and tells whether q was among them."""
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor):
        yield _slept
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSANOW)

    def ended(seconds: float) -> bool:
        if not select.select([descriptor], [], [], seconds)[0]:
            return False
        pressed = os.read(descriptor, 64)
        return not pressed or b"q" in pressed.lower()  # a terminal that is gone presses nothing

    try:
        yield ended
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
