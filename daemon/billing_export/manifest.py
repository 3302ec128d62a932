"""The manifest says what a batch holds, and by the digest of the one before makes the batches a chain.

It is written last: a batch without one does not exist for its consumer.
Its bytes are canonical: the same batch gives the same manifest, and a manifest that reads back to other bytes than
its own was altered. Amounts are decimal texts; instants are RFC 3339 in UTC with microseconds.
"""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec

from daemon.billing_export.batch import SEQUENCE_MAX, Batch
from daemon.billing_export.summary import Summary
from daemon.kernel.instant import format_rfc3339
from daemon.kernel.money import format_nano

MANIFEST_FORMAT = "tollway-export/1"
MANIFEST_NAME = "manifest.json"
MANIFEST_SIZE_MAX = 1 << 20  # octets; ours: three files and a total for each currency take under 32 KiB

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]


class ManifestError(ValueError):
    """Bytes that are no manifest of ours, or not as we wrote it."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the batch. ``rows`` does not count a header; ``bytes`` is its size in octets."""

    name: str
    rows: Count
    bytes: Count
    sha256: Sha256


class Total(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sums of one currency, as plain decimals."""

    currency: str
    records: Count
    charge: str
    cost: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of the interface, in its order. The first batch has no previous one: null."""

    format: str
    tenant: str
    sequence: Annotated[int, msgspec.Meta(ge=1, le=SEQUENCE_MAX)]
    created_at: str
    begins: str = msgspec.field(name="from")
    until: str
    files: tuple[FileEntry, ...]
    totals: tuple[Total, ...]
    previous_manifest_sha256: Sha256 | None


def manifest_of(batch: Batch, files: tuple[FileEntry, ...], summary: Summary) -> Manifest:
    """Return the manifest of a batch whose files were written."""
    totals = summary.totals().items()
    return Manifest(
        format=MANIFEST_FORMAT,
        tenant=batch.tenant,
        sequence=batch.sequence,
        created_at=format_rfc3339(batch.created_at),
        begins=format_rfc3339(batch.begins),
        until=format_rfc3339(batch.until),
        files=files,
        totals=tuple(
            Total(code, sums.records, format_nano(sums.charge), format_nano(sums.cost)) for code, sums in totals
        ),
        previous_manifest_sha256=batch.previous_manifest_sha256 or None,
    )


def encode(manifest: Manifest) -> bytes:
    """Return the canonical bytes: JSON indented by two, with a final LF."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode(octets: bytes) -> Manifest:
    """Return the manifest that bytes hold. Raises ManifestError for any that ``encode`` would not have written."""
    try:
        manifest = msgspec.json.decode(octets, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestError(str(error)) from None
    if manifest.format != MANIFEST_FORMAT:
        raise ManifestError(f"format {manifest.format!r} is not {MANIFEST_FORMAT!r}")
    if encode(manifest) != octets:
        raise ManifestError("it is not in the form in which it was written")
    return manifest


def digest(octets: bytes) -> str:
    """Return the SHA-256 in hexadecimal: the chain's link."""
    return sha256(octets).hexdigest()


def manifest_octets(home: Path) -> bytes:
    """Return the bytes of a batch directory's manifest. Raises OSError; ManifestError where it is too large."""
    with (home / MANIFEST_NAME).open("rb") as file:
        octets = file.read(MANIFEST_SIZE_MAX + 1)
    if len(octets) > MANIFEST_SIZE_MAX:
        raise ManifestError(f"it has more than {MANIFEST_SIZE_MAX} octets")
    return octets
