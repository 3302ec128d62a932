"""A standing as a row of the table of accounts: its buckets are one column of JSON, null where there are none.

Beside them stands when the first of them that has not been closed yet expires, by which the sweep finds the account.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from daemon.ledger.account import Standing
from daemon.ledger.bucket import Buckets

WRITTEN: Final = (*Standing._fields[1:], "bucket_due")  # the columns that a standing is written to, behind the number
READ: Final = ("number", *Standing._fields[1:])
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Buckets).decode


def row_of(standing: Standing) -> tuple[Any, ...]:
    """Return the account's number, and the values of ``WRITTEN``."""
    if not standing.buckets:
        return (*standing[:-1], None, None)
    expiries = (each.expires_at for each in standing.buckets if each.held is None and each.expires_at is not None)
    return (*standing[:-1], _encode(standing.buckets).decode(), min(expiries, default=None))


def standing_of(row: Sequence[Any]) -> Standing:
    """Return the standing of the values of ``READ``. Raises msgspec.DecodeError where somebody altered its buckets."""
    *values, text = row
    return Standing._make((*values, _decode(text) if text else ()))
