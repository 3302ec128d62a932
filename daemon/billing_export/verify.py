"""Walks the chain of published batches and names whatever differs from what was handed off; writes nothing.

Each file is held against its manifest, each manifest against the digest that the store recorded and against the one
that the next batch names, the sequence against itself from 1, and the totals against the lines that a consumer reads.
What nobody put there is named too. Without a store's batches a missing last batch cannot be seen; with them it is.
"""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path

from daemon.billing_export.aside import LOCK_NAME
from daemon.billing_export.batch import Batch, ExportSource, batch_name, sequence_of
from daemon.billing_export.export import USAGE_CSV
from daemon.billing_export.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    ManifestError,
    Total,
    decode,
    digest,
    manifest_octets,
)
from daemon.kernel.ids import is_id
from daemon.kernel.instant import Instant
from daemon.kernel.money import format_nano, parse_nano

READ_SIZE = 1 << 18  # octets read at once
UNKNOWN = "unknown"  # in the place of a digest: the manifest before cannot be read, so nothing can be held against it


class Fault(Enum):
    """What is wrong with a name in the export directory."""

    MISSING_BATCH = "missing_batch"
    MISSING_MANIFEST = "missing_manifest"
    MANIFEST_ALTERED = "manifest_altered"
    CHAIN_BROKEN = "chain_broken"
    MISSING_FILE = "missing_file"
    FILE_ALTERED = "file_altered"
    TOTALS_DIFFER = "totals_differ"
    UNEXPECTED = "unexpected"
    UNREADABLE = "unreadable"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Finding:
    """``name`` is the path below the export directory; ``sequence`` is 0 where no batch is meant."""

    fault: Fault
    tenant: str
    sequence: int
    name: str
    detail: str

    def __str__(self) -> str:
        """Return for instance ``main/main-00000002/usage.csv: file_altered: …``."""
        return f"{self.name}: {self.fault.value}: {self.detail}"


@dataclass(frozen=True, slots=True)
class ListedBatch:
    """One batch for a list; ``state`` is finished, unfinished, or missing (finished, but not to be read here)."""

    tenant: str
    sequence: int
    state: str
    created_at: Instant
    begins: Instant
    until: Instant
    directory: Path
    records: int
    totals: tuple[Total, ...]
    manifest_sha256: str


async def verify_exports(source: ExportSource, directory: Path, tenant: str = "") -> list[Finding]:
    """Return what differs between the export directory and what the store handed off; of one tenant, or of all."""
    tenants = [tenant] if tenant else await source.export_tenants()
    known = {name: await source.batches(name) for name in tenants}
    findings = [finding for name in known for finding in _tenant_findings(directory, name, known[name])]
    return findings if tenant else findings + _strangers(directory, set(known))


def verify_directory(directory: Path) -> list[Finding]:
    """Return what differs in a directory by itself: what a consumer, who has no store, can see."""
    tenants = sorted(name for name in _names(directory) if is_id(name) and (directory / name).is_dir())
    findings = [finding for name in tenants for finding in _tenant_findings(directory, name, None)]
    return findings + _strangers(directory, set(tenants))


async def list_batches(source: ExportSource, directory: Path, tenant: str = "") -> list[ListedBatch]:
    """Return the batches of one tenant, or of all, in order."""
    tenants = [tenant] if tenant else await source.export_tenants()
    return [_listed(directory, batch) for name in tenants for batch in await source.batches(name)]


def _listed(directory: Path, batch: Batch) -> ListedBatch:
    home = directory / batch.tenant / batch.name
    manifest = _readable_manifest(home) if batch.is_finished else None
    state = "unfinished" if not batch.is_finished else "missing" if manifest is None else "finished"
    return ListedBatch(
        tenant=batch.tenant, sequence=batch.sequence, state=state, created_at=batch.created_at, begins=batch.begins,
        until=batch.until, directory=home, records=_records(manifest), totals=manifest.totals if manifest else (),
        manifest_sha256=batch.manifest_sha256,
    )  # fmt: skip


def _records(manifest: Manifest | None) -> int:
    return sum(total.records for total in manifest.totals) if manifest is not None else 0


def _readable_manifest(home: Path) -> Manifest | None:
    try:
        return decode(manifest_octets(home))
    except (OSError, ManifestError):
        return None


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _strangers(directory: Path, tenants: set[str]) -> list[Finding]:
    return [
        Finding(Fault.UNEXPECTED, "", 0, name, "no tenant's directory")
        for name in _names(directory)
        if name not in tenants and name != LOCK_NAME
    ]


def _tenant_findings(directory: Path, tenant: str, known: Sequence[Batch] | None) -> list[Finding]:
    """Walk one tenant's chain; ``known`` are the store's batches, None where there is no store to ask."""
    recorded = {batch.sequence: batch for batch in known or ()}
    present = {name: sequence_of(tenant, name) for name in _names(directory / tenant)}
    if known is None:
        expected = sorted(number for number in present.values() if number)
    else:
        expected = [number for number, batch in recorded.items() if batch.is_finished]
    findings: list[Finding] = []
    before, previous = 0, None  # type: int, str | None
    for sequence in expected:
        if sequence > before + 1:
            findings.append(_gap(tenant, before + 1, sequence - 1))
            previous = UNKNOWN
        walk = _BatchWalk(directory, tenant, sequence, recorded.get(sequence))
        previous = walk.run(previous)
        findings.extend(walk.findings)
        before = sequence
    strays = [name for name, number in present.items() if number not in set(expected)]
    return findings + [_stray(tenant, name, recorded.get(present[name])) for name in strays]


def _gap(tenant: str, first: int, last: int) -> Finding:
    name = f"{tenant}/{batch_name(tenant, first)}"
    detail = "the sequence has a gap here" if first == last else f"the sequence has a gap from here to {last:08d}"
    return Finding(Fault.MISSING_BATCH, tenant, first, name, detail)


def _stray(tenant: str, name: str, batch: Batch | None) -> Finding:
    if batch is None:
        return Finding(Fault.UNEXPECTED, tenant, 0, f"{tenant}/{name}", "no batch of this tenant")
    detail = "an export was interrupted here, or is running; the next run finishes it with the same bytes"
    return Finding(Fault.UNFINISHED, tenant, batch.sequence, f"{tenant}/{name}", detail)


class _BatchWalk:
    """One step along the chain: a batch held against its manifest, the store, and the batch before."""

    def __init__(self, directory: Path, tenant: str, sequence: int, recorded: Batch | None) -> None:
        self.findings: list[Finding] = []
        self._tenant, self._sequence, self._recorded = tenant, sequence, recorded
        self._home = directory / tenant / batch_name(tenant, sequence)

    def _found(self, fault: Fault, detail: str, file: str = "") -> None:
        name = "/".join(filter(None, (self._tenant, self._home.name, file)))
        self.findings.append(Finding(fault, self._tenant, self._sequence, name, detail))

    def run(self, previous: str | None) -> str:
        """Look at the batch; ``previous`` is the digest of the manifest before. Return that of this one, or UNKNOWN."""
        if not self._home.is_dir():
            self._found(Fault.MISSING_BATCH, "the directory is not there")
            return UNKNOWN
        octets = self._manifest()
        if octets is None:
            return UNKNOWN
        own = digest(octets)
        if self._recorded is not None and own != self._recorded.manifest_sha256:
            self._found(Fault.MANIFEST_ALTERED, "its SHA-256 is not the one that the store recorded", MANIFEST_NAME)
        manifest = self._decoded(octets)
        if manifest is not None:
            self._chained(manifest, previous)
            self._files(manifest)
        return own

    def _manifest(self) -> bytes | None:
        try:
            return manifest_octets(self._home)
        except FileNotFoundError:
            self._found(Fault.MISSING_MANIFEST, "without it the batch does not count as handed off", MANIFEST_NAME)
        except OSError as error:
            self._found(Fault.UNREADABLE, str(error.strerror), MANIFEST_NAME)
        except ManifestError as error:
            self._found(Fault.MANIFEST_ALTERED, str(error), MANIFEST_NAME)
        return None

    def _decoded(self, octets: bytes) -> Manifest | None:
        try:
            manifest = decode(octets)
        except ManifestError as error:
            self._found(Fault.MANIFEST_ALTERED, str(error), MANIFEST_NAME)
            return None
        if (manifest.tenant, manifest.sequence) != (self._tenant, self._sequence):
            named = f"{manifest.tenant} {manifest.sequence}"
            self._found(Fault.MANIFEST_ALTERED, f"it is the manifest of another batch: {named}", MANIFEST_NAME)
        return manifest

    def _chained(self, manifest: Manifest, previous: str | None) -> None:
        if previous not in (UNKNOWN, manifest.previous_manifest_sha256):
            detail = "it names another SHA-256 than that of the manifest before: one of the two was altered"
            self._found(Fault.CHAIN_BROKEN, detail, MANIFEST_NAME)

    def _files(self, manifest: Manifest) -> None:
        present = set(_names(self._home)) - {MANIFEST_NAME}
        for entry in manifest.files:
            if entry.name not in present:
                self._found(Fault.MISSING_FILE, "the manifest names it", entry.name)
            elif self._is_whole(entry) and entry.name == USAGE_CSV:
                self._totals(manifest)
        for name in sorted(present - {entry.name for entry in manifest.files}):
            self._found(Fault.UNEXPECTED, "the manifest does not name it", name)

    def _is_whole(self, entry: FileEntry) -> bool:
        try:
            size, found = _measured(self._home / entry.name)
        except OSError as error:
            self._found(Fault.UNREADABLE, str(error.strerror), entry.name)
            return False
        if size != entry.bytes:
            self._found(Fault.FILE_ALTERED, f"it has {size} octets, not {entry.bytes}", entry.name)
        elif found != entry.sha256:
            self._found(Fault.FILE_ALTERED, "its SHA-256 is not the one that the manifest names", entry.name)
        return (size, found) == (entry.bytes, entry.sha256)

    def _totals(self, manifest: Manifest) -> None:
        try:
            summed = _summed(self._home / USAGE_CSV)
        except (OSError, csv.Error, ValueError, KeyError) as error:
            self._found(Fault.UNREADABLE, f"its lines cannot be added up: {error}", USAGE_CSV)
            return
        if summed != manifest.totals:
            self._found(Fault.TOTALS_DIFFER, "the totals are not the sums of the lines in usage.csv", MANIFEST_NAME)


def _measured(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a regular file. Raises OSError, also for a symbolic link."""
    found, size = sha256(), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(READ_SIZE):
            found.update(chunk)
            size += len(chunk)
    return size, found.hexdigest()


def _summed(path: Path) -> tuple[Total, ...]:
    """Return the totals of a usage file as a consumer would compute them. Raises OSError, csv.Error, ValueError."""
    sums: dict[str, tuple[int, int, int]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, strict=True):
            records, charge, cost = sums.get(row["currency"], (0, 0, 0))
            sums[row["currency"]] = (records + 1, charge + parse_nano(row["charge"]), cost + parse_nano(row["cost"]))
    return tuple(
        Total(currency, records, format_nano(charge), format_nano(cost))
        for currency, (records, charge, cost) in sorted(sums.items())
    )
