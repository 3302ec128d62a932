"""The manifest: exactly the promised fields, canonical bytes, and nothing else is taken for one."""

import json

import pytest

from daemon.billing_export.batch import Batch
from daemon.billing_export.manifest import FileEntry, ManifestError, decode, digest, encode, manifest_of
from daemon.billing_export.summary import Summary
from tests.unit.billing_export.ledger_of_records import CUT, RECORD

DIGEST = "0123456789abcdef" * 4
BATCH = Batch("main", 2, 10, 20, CUT - 86_400_000_000, CUT, CUT + 1, "UTC", DIGEST)
OCTETS = b"""{
  "format": "tollway-export/1",
  "tenant": "main",
  "sequence": 2,
  "created_at": "2026-11-24T01:30:00.000001Z",
  "from": "2026-11-23T01:30:00.000000Z",
  "until": "2026-11-24T01:30:00.000000Z",
  "files": [
    {
      "name": "usage.csv",
      "rows": 1,
      "bytes": 7,
      "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  ],
  "totals": [
    {
      "currency": "USD",
      "records": 1,
      "charge": "0.0182",
      "cost": "0.0066"
    }
  ],
  "previous_manifest_sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}
"""


def test_the_bytes_are_those_promised_and_read_back() -> None:
    summary = Summary()
    summary.add(RECORD)
    manifest = manifest_of(BATCH, (FileEntry("usage.csv", 1, 7, DIGEST),), summary)
    assert encode(manifest) == OCTETS
    assert decode(OCTETS) == manifest


def test_the_first_batch_has_no_previous_one() -> None:
    first = Batch("main", 1, 0, 0, 0, CUT, CUT, "UTC", "")
    assert json.loads(encode(manifest_of(first, (), Summary())))["previous_manifest_sha256"] is None


def test_the_digest_is_sha256_in_hexadecimal() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2 B.1


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff",
        b"[]",
        OCTETS[:-1],
        OCTETS + b"\n",
        OCTETS.replace(b"  ", b" "),
        OCTETS.replace(b"export/1", b"export/2"),
        OCTETS.replace(b'"sequence": 2', b'"sequence": 0'),
        OCTETS.replace(b'"sequence": 2', b'"sequence": "2"'),
        OCTETS.replace(b'"tenant"', b'"Tenant"'),
        OCTETS.replace(b'"rows": 1', b'"rows": -1'),
        OCTETS.replace(b'"sequence": 2', b'"sequence": 2,\n  "note": ""'),
        OCTETS.replace(b"abcdef", b"ABCDEF"),
    ],
)
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(ManifestError):
        decode(octets)
