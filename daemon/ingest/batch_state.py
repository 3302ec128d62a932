"""Where an interrupted batch stands: a small file beside the output, replaced whole after the output is durable.

It names what the run was made from. The same command goes on only where input, plan and decks are still the same:
half a file priced by one deck and half by another would be worse than none.
"""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from daemon.ingest.batch_columns import FileRefused
from daemon.ingest.batch_pricing import VolumeKey
from daemon.ingest.batch_summary import BatchSummary

FORMAT: Final = 1
HEAD_SIZE: Final = 1 << 20  # octets of the input whose digest is kept; with size and time they tell it from another
STATE_SIZE_MAX: Final = 256 << 20  # octets; the volumes of a million accounts in a year fill half
FILE_MODE: Final = 0o640  # who called whom is nobody's business but the operator's group


class InputMark(msgspec.Struct, frozen=True):
    """What tells an input from another: octets, nanoseconds of its last change, SHA-256 of its head."""

    size: int
    changed_ns: int
    head_sha256: str


class State(msgspec.Struct):
    """``rows`` of the input are priced, and ``written`` octets (of Parquet: parts) of the output are durable."""

    source: InputMark
    plan: str
    rows: int = 0
    written: int = 0
    statuses: dict[str, int] = {}
    reasons: dict[str, int] = {}
    totals: dict[str, int] = {}
    volumes: list[tuple[str, str, int, int]] = []
    format: int = FORMAT

    @property
    def summary(self) -> BatchSummary:
        """What the rows came to."""
        return BatchSummary(Counter(self.statuses), Counter(self.reasons), Counter(self.totals))

    def volumes_by_key(self) -> dict[VolumeKey, int]:
        """Return the units that tiers were chosen by."""
        return {(account, table, period): units for account, table, period, units in self.volumes}

    def take(self, summary: BatchSummary, volumes: dict[VolumeKey, int]) -> None:
        """Note what the rows came to."""
        self.rows = summary.rows
        self.statuses, self.reasons = dict(summary.statuses), dict(summary.reasons)
        self.totals = dict(summary.totals)
        self.volumes = [(*key, units) for key, units in volumes.items()]


def mark_of(path: Path) -> InputMark:
    """Return what tells an input from another. Raises OSError."""
    status = path.stat()
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(HEAD_SIZE)).hexdigest()
    return InputMark(status.st_size, status.st_mtime_ns, digest)


def read_state(path: Path) -> State | None:
    """Return what an interrupted run left, None where there is none. Raises FileRefused, OSError."""
    try:
        with path.open("rb") as file:
            octets = file.read(STATE_SIZE_MAX + 1)
    except FileNotFoundError:
        return None
    try:
        state = msgspec.json.decode(octets[:STATE_SIZE_MAX], type=State)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise FileRefused(f"{path} is no state of a batch; start anew with --restart") from None
    if state.format != FORMAT:
        raise FileRefused(f"{path} was written by another release; start anew with --restart")
    return state


def write_state(path: Path, state: State) -> None:
    """Replace the state, durably. Raises OSError."""
    aside = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(aside, flags, FILE_MODE), "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    fsync_directory(path.parent)


def fsync_directory(path: Path) -> None:
    """Make the names within a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_another(state: State, source: InputMark, plan: str, path: Path) -> None:
    """Refuse to go on where something changed since. Raises FileRefused."""
    compared = (("the input", state.source == source), ("the plan, a deck or an account's prices", state.plan == plan))
    changed = [what for what, same in compared if not same]
    if changed:
        raise FileRefused(
            f"{path} is of an interrupted run, and {' and '.join(changed)} changed since: start anew with --restart"
        )
