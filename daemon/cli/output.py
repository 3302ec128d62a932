"""What commands print: one JSON document, or tables and sentences for a person; nothing of a caller's text is markup.

Callers choose numbers and call ids: whatever is not printable in them is shown escaped, so that no terminal obeys it.
Where standard output is no terminal nothing is cut to a width, and no colour or frame gets into a pipe.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from daemon.kernel.instant import format_rfc3339

PIPE_WIDTH = 400  # columns of a table that no terminal shows; wide enough that nothing is folded


def print_json(value: object) -> None:
    """Print one document, indented by two."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def printable(value: object) -> str:
    """Return a value as text in which nothing controls a terminal."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def dated(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the store with its instant as RFC 3339."""
    return {**row, "at": format_rfc3339(row["at"])}


def console() -> Console:
    """Return the console on standard output."""
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else PIPE_WIDTH, highlight=False, markup=False, soft_wrap=not terminal)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> None:
    """Print rows under their columns; those named in ``numbers`` are set to the right."""
    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=not terminal)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


@contextlib.contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal's standard error that long work goes on; the value given changes what is shown."""
    if not sys.stderr.isatty():
        yield lambda _what: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda now: bar.update(task, description=now)


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int, int], None]]:
    """Show on a terminal how far a file was read; the value given takes rows, and how much of how much is read."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _rows, _done, _total: None
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[pace]:,} a second"), TimeRemainingColumn(),
    )  # fmt: skip
    began = time.monotonic_ns()
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bar:
        task = bar.add_task(what, rows=0, pace=0)

        def show(rows: int, done: int, total: int) -> None:
            pace = rows * 1_000_000_000 // max(time.monotonic_ns() - began, 1)
            bar.update(task, rows=rows, pace=pace, completed=done, total=total)

        yield show


def print_notes(notes: Iterable[str]) -> None:
    """Print on standard error what was detected, so that an operator sees how something was understood."""
    for note in notes:
        click.echo(f"note: {printable(note)}", err=True)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line, the values below each other."""
    known = [(name, printable(value)) for name, value in pairs]
    width = max(len(name) for name, _ in known)
    for name, value in known:
        click.echo(f"{name.ljust(width)}  {value}".rstrip())
