"""Sums for the figures of a store: the database makes them where the rows are, so that no call is decoded for a figure.

What a payer holds stands in the body of his call alone; the two engines read it there each in its own words.
"""

from typing import Final

from daemon.charging.ports import OpenSum, StoreSums
from daemon.store.link import POSTGRESQL, SQLITE, Link

_PAYER: Final = {  # currency, nano-units held
    SQLITE: ("json_extract(body, '$.levels[0].currency')", "json_extract(body, '$.levels[0].reserved')"),
    POSTGRESQL: ("body::json #>> '{levels,0,currency}'", "(body::json #>> '{levels,0,reserved}')::bigint"),
}
_CARRIERS: Final = "SELECT coalesce(sum(channels_out), 0) FROM account WHERE role = 'carrier'"
_EXPORTS: Final = "SELECT tenant, max(created_at) FROM export_batch WHERE manifest_sha256 <> '' GROUP BY tenant"


def summed(link: Link) -> StoreSums:
    """Return the sums of one snapshot."""
    currency, reserved = _PAYER[link.dialect]
    calls = (
        f"SELECT {currency}, direction, count(*), sum({reserved}), min(requested_at) FROM call WHERE is_open = 1"
        " GROUP BY 1, 2"
    )
    return StoreSums(
        tuple(OpenSum(*row) for row in link.execute(calls)),
        int(link.execute(_CARRIERS).fetchone()[0]),
        tuple((tenant, at) for tenant, at in link.execute(_EXPORTS)),
    )
