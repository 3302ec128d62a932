"""What a carrier charges for a number: the buying side's one door, at the grant and at the answer alike.

A carrier's table may share its name with others of its tenant: of these the first whose override pattern fits the
call's override value prices it, its own table before the others, as in a rate plan (SPEC section 2, Rate plan).
"""

from typing import Final

from daemon.authorize.catalog import Carrier, Catalog
from daemon.kernel.instant import Instant
from daemon.rating.rate_plan import fits
from daemon.rating.rate_table import Usage
from daemon.rating.tariff import Tariff

_NOTHING: Final[tuple[Tariff, ...]] = ()


def carrier_tariffs(
    catalog: Catalog, carrier: Carrier, called: str, start: Instant, end: Instant, override: str
) -> tuple[Tariff, ...]:
    """Return a carrier's tariff in force at ``start``, then each other until ``end``; empty where it has none."""
    table = catalog.tables.get(carrier.table)
    if table is not None and not override and not table.policy.override:
        return table.tariffs(called, start, end)  # nearly every call
    usage = Usage(override)
    for key in (carrier.table, *carrier.beside):
        table = catalog.tables.get(key)
        if table is not None and fits(table.policy.override, usage.override_value):
            return table.tariffs(called, start, end, usage)
    return _NOTHING
