"""A standing as a row of the table of accounts: its buckets and its windows are a column of JSON each, or null.

Beside them stands when the first of them that has not been closed yet expires, by which the sweep finds the account.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from daemon.ledger.account import Standing
from daemon.ledger.bucket import Buckets
from daemon.ledger.window import Windows

WRITTEN: Final = (*Standing._fields[1:], "bucket_due")  # the columns that a standing is written to, behind the number
READ: Final = ("number", *Standing._fields[1:])
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Buckets).decode
_windows = msgspec.json.Decoder(Windows).decode


def row_of(standing: Standing) -> tuple[Any, ...]:
    """Return the account's number, and the values of ``WRITTEN``."""
    windows = _encode(standing.windows).decode() if standing.windows else None
    if not standing.buckets:
        return (*standing[:-2], None, windows, None)
    expiries = (each.expires_at for each in standing.buckets if each.held is None and each.expires_at is not None)
    return (*standing[:-2], _encode(standing.buckets).decode(), windows, min(expiries, default=None))


def standing_of(row: Sequence[Any]) -> Standing:
    """Return the standing of the values of ``READ``. Raises msgspec.DecodeError where somebody altered its JSON."""
    *values, buckets, windows = row
    return Standing._make((*values, _decode(buckets) if buckets else (), _windows(windows) if windows else ()))
