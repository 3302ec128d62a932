"""A call that cost its seller more than it was sold for: listed, so that no route loses money unseen.

A grant keeps each level's floor, so a loss is what came after it: another carrier or another price answered, the two
sides round durations apart, or nobody asked. An account with a floor below 0 may be sold to at a loss. As for a floor
(SPEC section 3, Margin), units of a bundle count at the row's own rate, and a row sold at 0 is exempt: no loss is
listed where the price of the whole call, units or not, covers its cost.
"""

from collections.abc import Iterator

from daemon.authorize.catalog import AccountTerms, Catalog
from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Exceptional
from daemon.kernel.instant import Instant
from daemon.kernel.money import format_nano
from daemon.rating.charge import charge, duration_seconds
from daemon.rating.margin import costs_nothing
from daemon.rating.tariff import Tariff


def lost_on(catalog: Catalog, call: Call, record: RatedCdr, now: Instant) -> Iterator[Exceptional]:
    """Yield what a person should read about one level's record of a settled call, where it was sold at a loss."""
    if record.margin >= 0 or _is_agreed(catalog.by_number[record.account_number]):
        return
    level = next(level for level in call.levels if level.account == record.account_number)
    tariff = level.tariffs[0]
    if costs_nothing(tariff) or (record.bundle_units and _price(tariff, record, call) >= record.cost):
        return
    currency, supplier = record.currency, record.carrier or "the level above"
    units = f" and {record.bundle_units} units of a bundle" if record.bundle_units else ""
    detail = (
        f"{level.key}: sold at {format_nano(record.charge)} {currency}{units}, and {supplier} costs "
        f"{format_nano(record.cost)} {currency}: {format_nano(record.margin)} {currency}"
    )
    key = f"negative_margin:{record.record_id}"
    yield Exceptional("negative_margin", record.tenant, call.source, call.switch, call.call_id, detail, now, key=key)


def _price(tariff: Tariff, record: RatedCdr, call: Call) -> int:
    """Return what a call that units paid in part would have cost by its row alone, in nano-units."""
    billed_us = record.duration_us - call.overrun_us  # our own cut is not billed to the payer
    return charge(tariff, duration_seconds(billed_us, tariff.duration_rounding)).amount


def _is_agreed(terms: AccountTerms) -> bool:
    """Tell whether somebody stated that calls of an account may be sold at a loss."""
    floors = (terms.margin_floor_percent, terms.margin_floor_per_minute)
    return any(floor is not None and floor < 0 for floor in floors)
