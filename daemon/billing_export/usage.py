"""One usage line for each rated record: the columns of the interface, in its order, named once, here.

``units`` is what the line adds to the quantity sold for money, and ``bundle_units`` to that which bundles paid: both
are negative on a reversal, like the money. ``billed_seconds`` stays what the reversed record said. ``late`` is told by
the batch, the rest by the record alone. ``rate`` and ``connect_fee`` are in ``rate_currency``, ``supplier_cost`` is in
``supplier_currency``; all other money of a line is in ``currency``.
"""

from collections.abc import Callable
from typing import NamedTuple

from daemon.billing_export.lines import Value, csv_line, json_line, money, seconds
from daemon.charging.cdr import RatedCdr
from daemon.kernel.instant import format_rfc3339
from daemon.rating.conversion import Conversion

REVERSAL = "reversal"  # the status of a record that takes another back


class UsageLine(NamedTuple):
    """A record within its batch."""

    record: RatedCdr
    late: bool


def units(record: RatedCdr) -> int:
    """Return the billed seconds that a record adds to what was sold."""
    return -record.billed_seconds if record.status == REVERSAL else record.billed_seconds


def _rate(conversion: Conversion | None) -> Value:
    return money(conversion.rate) if conversion is not None else None


def _date(conversion: Conversion | None) -> Value:
    return format_rfc3339(conversion.begins) if conversion is not None else None


COLUMNS: dict[str, Callable[[UsageLine], Value]] = {
    "record_id": lambda line: line.record.record_id,
    "call_id": lambda line: line.record.call_id,
    "attempt": lambda line: line.record.attempt,
    "part": lambda line: line.record.part,
    "leg": lambda line: line.record.leg,
    "account": lambda line: line.record.account,
    "direction": lambda line: line.record.direction.value,
    "from": lambda line: line.record.calling,
    "to": lambda line: line.record.called,
    "prefix": lambda line: line.record.prefix,
    "destination": lambda line: line.record.destination,
    "rate_table": lambda line: line.record.rate_table,
    "deck_version": lambda line: line.record.deck_version,
    "rate_type": lambda line: line.record.rate_type,
    "override": lambda line: line.record.override,
    "started_at": lambda line: format_rfc3339(line.record.started_at),
    "answered_at": lambda line: format_rfc3339(line.record.answered_at),
    "ended_at": lambda line: format_rfc3339(line.record.ended_at),
    "duration_seconds": lambda line: seconds(line.record.duration_us),
    "switch_seconds": lambda line: line.record.switch_seconds,
    "billed_seconds": lambda line: line.record.billed_seconds,
    "units": lambda line: units(line.record),
    "unit": lambda line: line.record.unit,
    "rate": lambda line: money(line.record.rate),
    "connect_fee": lambda line: money(line.record.connect_fee),
    "charge": lambda line: money(line.record.charge),
    "uncollected": lambda line: money(line.record.uncollected),
    "currency": lambda line: line.record.currency,
    "tax_code": lambda line: line.record.tax_code,
    "ledger_code": lambda line: line.record.ledger_code,
    "bundle_units": lambda line: line.record.bundle_units,
    "carrier": lambda line: line.record.carrier,
    "cost": lambda line: money(line.record.cost),
    "margin": lambda line: money(line.record.margin),
    "source": lambda line: line.record.source,
    "switch": lambda line: line.record.switch,
    "cause": lambda line: line.record.cause,
    "settled_by": lambda line: line.record.settled_by,
    "status": lambda line: line.record.status,
    "late": lambda line: line.late,
    "reverses": lambda line: line.record.reverses,
    "rounding": lambda line: line.record.rounding,
    "rate_currency": lambda line: line.record.rate_currency,
    "conversion_rate": lambda line: _rate(line.record.conversion),
    "conversion_from": lambda line: _date(line.record.conversion),
    "supplier_cost": lambda line: money(line.record.supplier_cost),
    "supplier_currency": lambda line: line.record.supplier_currency,
    "cost_conversion_rate": lambda line: _rate(line.record.cost_conversion),
    "cost_conversion_from": lambda line: _date(line.record.cost_conversion),
    "surcharge": lambda line: money(line.record.surcharge),
    "surcharge_rate": lambda line: money(line.record.surcharge_rate),
    "overrun_seconds": lambda line: seconds(line.record.overrun_us),
}
CSV_HEADER = csv_line(COLUMNS)
_NAMES, _CELLS = tuple(COLUMNS), tuple(COLUMNS.values())


def values(line: UsageLine) -> tuple[Value, ...]:
    """Return a line's values in the order of COLUMNS."""
    return tuple(cell(line) for cell in _CELLS)


def encoded(line: UsageLine) -> tuple[bytes, bytes]:
    """Return a line as CSV and as JSON Lines."""
    cells = values(line)
    return csv_line(cells), json_line(dict(zip(_NAMES, cells, strict=True)))
