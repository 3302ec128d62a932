"""The use cases that write: the night's run, and writing a finished batch once more.

A run cuts the batches of all tenants first, then writes them: every tenant gets one, an empty one too, so that a night
without a batch shows. A run that finds an interrupted one finishes that, with its bytes, and cuts again only for
tenants that have new records or were not part of it. A published manifest is never written over with other bytes.
"""

import errno
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.billing_export import summary as summaries
from daemon.billing_export import usage
from daemon.billing_export.aside import AsideFile, fsync_directory, locked, made_directory
from daemon.billing_export.batch import (
    Batch,
    ExportConflict,
    ExportError,
    ExportSource,
    ExportUnavailable,
    Lateness,
)
from daemon.billing_export.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    ManifestError,
    Total,
    digest,
    encode,
    manifest_octets,
    manifest_of,
)
from daemon.billing_export.summary import Summary
from daemon.charging.cdr import RatedCdr
from daemon.kernel.ids import is_id
from daemon.kernel.instant import Instant

USAGE_CSV, USAGE_JSONL, SUMMARY_CSV = "usage.csv", "usage.jsonl", "summary.csv"
PROGRESS_RECORDS = 1_000  # records between two reports of progress
SEQ_MAX = (1 << 63) - 1  # the last record sequence that a store can hold

Progress = Callable[[str, int], None]  # tenant, records written so far


@dataclass(frozen=True, slots=True)
class Exported:
    """A batch that was published. ``resumed``: it had been begun by an earlier run, or is written once more."""

    tenant: str
    sequence: int
    directory: Path
    records: int
    totals: tuple[Total, ...]
    manifest_sha256: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch that was not written, and why; the batches of other tenants do not wait for it."""

    tenant: str
    sequence: int
    reason: str


async def run_exports(
    source: ExportSource, directory: Path, now: Instant, *, progress: Progress | None = None
) -> list[Exported | Refused]:
    """Hand off every tenant's new records; return one result for each batch, tenants in order.

    Files are written by the calling thread: run it in a process of its own, not in the daemon's loop. A tenant whose
    last finished batch is not in the directory is refused before anything of it is cut.
    Raises ExportUnavailable where the directory cannot be written, and StoreError; a later run then resumes.
    """
    with _writable(directory):
        elsewhere = await _elsewhere(source, directory)
        cut = await _cut(source, {refused.tenant for refused in elsewhere}, now)
        handed_off = [await _handed_off(source, directory, batch, resumed, progress) for batch, resumed in cut]
        first = elsewhere + handed_off
        since = await _cut_since(source, first, now)
        return first + [await _handed_off(source, directory, batch, False, progress) for batch in since]


async def export_again(source: ExportSource, directory: Path, tenant: str, sequence: int) -> Exported:
    """Write a finished batch once more, into its place (mending it) or below another directory: the same bytes.

    Raises ExportConflict where the store no longer yields the manifest that it recorded, ExportError where there is
    no such finished batch, ExportUnavailable, StoreError.
    """
    for batch in await source.batches(tenant):
        if batch.sequence == sequence and batch.is_finished:
            with _writable(directory):
                return await _published(source, directory, batch, True, None)
    raise ExportError(f"tenant {tenant}: no finished batch {sequence}")


_NO_ROOM = "free space there, or name another [export] directory"
_NO_RIGHT = "see to the folder, its rights and its mount, or name another [export] directory"


@contextmanager
def _writable(directory: Path) -> Iterator[None]:
    try:
        with locked(directory):
            yield
    except OSError as error:
        where = error.filename if error.filename is not None else directory
        advice = _NO_ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT) else _NO_RIGHT
        raise ExportUnavailable(f"{where}: {error.strerror or error}: {advice}; the next run goes on") from error


async def _elsewhere(source: ExportSource, directory: Path) -> list[Exported | Refused]:
    """Return a refusal for each tenant whose last finished batch is not in the directory."""
    refused: list[Exported | Refused] = []
    for tenant in await source.export_tenants():
        batches = await source.batches(tenant)
        finished = [batch for batch in batches if batch.is_finished]
        if finished and not (home := directory / tenant / finished[-1].name / MANIFEST_NAME).exists():
            refused.append(Refused(tenant, finished[-1].sequence + 1, _not_here(home, finished[-1])))
    return refused


def _not_here(manifest: Path, last: Batch) -> str:
    return (
        f"the batch before, {last.name}, was handed off and is not here ({manifest.absolute()} is missing), so nothing "
        f"was written: is [export] directory another than last time, or relative and counted from another folder? "
        f"Where it is the right one, `tollway export run --again {last.name}` writes that batch into it"
    )


async def _cut(source: ExportSource, but: Collection[str], now: Instant) -> list[tuple[Batch, bool]]:
    """Return the batches to write of all tenants but some, and of each whether an earlier run began it.

    All are begun before any is written.
    """
    last = {tenant: await _last(source, tenant) for tenant in await source.export_tenants() if tenant not in but}
    begun = [batch.created_at for batch in last.values() if batch is not None and not batch.is_finished]
    interrupted = max(begun) if begun else None
    batches = []
    for tenant, batch in last.items():
        if batch is not None and not batch.is_finished:
            batches.append((batch, True))
            continue
        cut_at = _cut_at(batch, interrupted, now)
        if cut_at is not None:
            batches.append((await source.begin_batch(tenant, cut_at), False))
    return batches


def _cut_at(last: Batch | None, interrupted: Instant | None, now: Instant) -> Instant | None:
    """Return the instant of a tenant's next cut; None where its batch of the interrupted run is done."""
    if interrupted is None or (last is not None and last.created_at > interrupted):
        return now
    reached = last is not None and last.created_at == interrupted
    return None if reached else interrupted


async def _last(source: ExportSource, tenant: str) -> Batch | None:
    batches = await source.batches(tenant)
    return batches[-1] if batches else None


def _is_resumed(result: Exported | Refused) -> bool:
    return isinstance(result, Exported) and result.resumed


async def _cut_since(source: ExportSource, results: list[Exported | Refused], now: Instant) -> list[Batch]:
    """Return the batches of tenants that this run has not cut yet: those with records since an interrupted run.

    Where nothing could be resumed (an old batch is refused night after night), theirs is a night like any other.
    """
    cut_already = {result.tenant for result in results if not _is_resumed(result)}
    nothing_resumed = not any(map(_is_resumed, results))
    batches = []
    for tenant in await source.export_tenants():
        last = None if tenant in cut_already else await _last(source, tenant)
        if last is not None and (nothing_resumed or await _has_records(source, tenant, last.until_seq)):
            batches.append(await source.begin_batch(tenant, now))
    return batches


async def _has_records(source: ExportSource, tenant: str, after_seq: int) -> bool:
    async for _record in source.records(tenant, after_seq, SEQ_MAX):
        return True
    return False


async def _handed_off(
    source: ExportSource, directory: Path, batch: Batch, resumed: bool, progress: Progress | None
) -> Exported | Refused:
    try:
        exported = await _published(source, directory, batch, resumed, progress)
    except ExportConflict as conflict:
        return Refused(batch.tenant, batch.sequence, str(conflict))
    await source.finish_batch(batch.tenant, batch.sequence, exported.manifest_sha256)
    return exported


async def _published(
    source: ExportSource, directory: Path, batch: Batch, resumed: bool, progress: Progress | None
) -> Exported:
    assert is_id(batch.tenant), batch
    home = directory / batch.tenant / batch.name
    made_directory(home.parent)
    made_directory(home)
    with ExitStack() as opened:
        files = {name: opened.enter_context(AsideFile(home / name)) for name in (USAGE_CSV, USAGE_JSONL, SUMMARY_CSV)}
        summary = await _lines_written(source, batch, files, progress)
        manifest = manifest_of(batch, _sealed(files, summary), summary)
        manifest_sha256 = _put_in_place(home, batch, list(files.values()), manifest)
    records = manifest.files[0].rows
    return Exported(batch.tenant, batch.sequence, home, records, manifest.totals, manifest_sha256, resumed)


async def _lines_written(
    source: ExportSource, batch: Batch, files: dict[str, AsideFile], progress: Progress | None
) -> Summary:
    """Write usage and summary lines aside, as the records come; memory does not grow with the records."""
    late, summary, count = Lateness(batch), Summary(), 0
    files[USAGE_CSV].write(usage.CSV_HEADER)
    async for record in _in_range(batch, source.records(batch.tenant, batch.after_seq, batch.until_seq)):
        csv_line, json_line = usage.encoded(usage.UsageLine(record, late.of(record)))
        files[USAGE_CSV].write(csv_line)
        files[USAGE_JSONL].write(json_line)
        summary.add(record)
        count += 1
        if progress is not None and count % PROGRESS_RECORDS == 0:
            progress(batch.tenant, count)
    files[SUMMARY_CSV].write(summaries.CSV_HEADER)
    for line in summary.csv_lines():
        files[SUMMARY_CSV].write(line)
    return summary


async def _in_range(batch: Batch, records: AsyncIterator[tuple[int, RatedCdr]]) -> AsyncIterator[RatedCdr]:
    """Yield the records, having seen that each is the batch's own, and that none comes twice or out of order."""
    after = batch.after_seq
    async for seq, record in records:
        assert after < seq <= batch.until_seq, (batch, after, seq)
        assert record.tenant == batch.tenant, (batch, record.record_id)
        after = seq
        yield record


def _sealed(files: dict[str, AsideFile], summary: Summary) -> tuple[FileEntry, ...]:
    records = sum(sums.records for sums in summary.groups.values())
    rows = {USAGE_CSV: records, USAGE_JSONL: records, SUMMARY_CSV: len(summary.groups)}
    for file in files.values():
        file.seal()
    return tuple(FileEntry(name, rows[name], file.size, file.sha256) for name, file in files.items())


def _put_in_place(home: Path, batch: Batch, files: list[AsideFile], manifest: Manifest) -> str:
    """Rename the sealed files into place, then write the manifest the same way; return its digest."""
    octets = encode(manifest)
    manifest_sha256 = digest(octets)
    if batch.is_finished and manifest_sha256 != batch.manifest_sha256:
        raise ExportConflict(f"{home}: the store no longer yields the batch that was handed off; nothing was changed")
    if not batch.is_finished and _published_manifest(home) not in (None, octets):
        raise ExportConflict(
            f"{home / MANIFEST_NAME} is there already and differs from what the store holds for this number: was the "
            "store set back, or does another one export here? Nothing was changed"
        )
    for file in files:
        file.publish()
    fsync_directory(home)
    with AsideFile(home / MANIFEST_NAME) as last:
        last.write(octets)
        last.seal()
        last.publish()
    fsync_directory(home)
    return manifest_sha256


def _published_manifest(home: Path) -> bytes | None:
    try:
        return manifest_octets(home)
    except FileNotFoundError:
        return None
    except ManifestError:
        return b""
