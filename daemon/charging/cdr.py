"""A rated record: everything needed to price one level of one call again by hand; it is never altered.

A correction is a reversing record (the same figures, the sign turned, ``reverses`` naming the first) and a new one.
Each level of a reseller chain has a record of its own, in the books of the tenant that sells at that level.
"""

from typing import NamedTuple

import msgspec

from daemon.authorize.decision import Level
from daemon.charging.call import Call, Posted
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO, Rounding, divide
from daemon.rating.bundle import Units
from daemon.rating.charge import charge, duration_seconds
from daemon.rating.conversion import Conversion
from daemon.rating.tariff import SECONDS, Tariff


class RatedCdr(msgspec.Struct, frozen=True, gc=False):
    """Money in nano-units; instants in microseconds; ``tenant`` is the seller, whose export holds the record.

    ``told_by`` is the source of the report that it was settled by, empty for an estimate of ours.
    ``bundle`` names the bundles that paid ``bundle_units`` of it, in their order; ``metered`` is what it counts on
    meters. ``tier`` began at that unit of the period's volume, and ``volume`` was reached before the call. Rate and fee
    are in ``rate_currency``, ``conversion`` made the charge of them. ``paid`` is what the supplier is owed in its own
    currency where ``cost_conversion`` made ``cost`` of it, rounded up to a nano-unit. ``dialled`` is the number as it
    was received, where ``called`` is not the same digits.
    A call over a channel limit paid ``surcharge`` and ``surcharge_rate`` a minute beside, both part of the charge.
    """

    record_id: str
    tenant: str
    grant_id: str
    id_domain: str
    call_id: str
    attempt: int
    part: int
    leg: str
    account: str
    account_number: int
    direction: Direction
    calling: str
    called: str
    prefix: str
    destination: str
    rate_table: str
    deck_version: int
    rate_type: str
    override: str
    started_at: Instant
    answered_at: Instant
    ended_at: Instant
    duration_us: int
    switch_seconds: int | None
    billed_seconds: int
    rate: int
    connect_fee: int
    charge: int
    uncollected: int
    currency: str
    tax_code: str
    ledger_code: str
    carrier: str
    cost: int
    source: str
    switch: str
    cause: str
    settled_by: str
    status: str
    authorised: bool
    rounding: str
    overrun_us: int
    settled_at: Instant
    reverses: str = ""
    unit: str = SECONDS
    bundle: str = ""
    bundle_units: int = 0
    tier: int = 0
    volume: int = 0
    metered: tuple[Units, ...] = ()
    told_by: str = ""
    conversion: Conversion | None = None
    paid: int = 0
    cost_conversion: Conversion | None = None
    dialled: str = ""
    surcharge: int = 0
    surcharge_rate: int = 0

    @property
    def is_payers(self) -> bool:
        """Tell whether it is the record of the call's payer, and of no level above it."""
        return self.record_id.startswith(f"{self.grant_id}.0.")

    @property
    def rate_currency(self) -> str:
        """The currency of the rate and the connect fee."""
        return self.currency if self.conversion is None else self.conversion.source

    @property
    def supplier_currency(self) -> str:
        """The currency of what the supplier charged."""
        return self.currency if self.cost_conversion is None else self.cost_conversion.source

    @property
    def supplier_cost(self) -> int:
        """What the supplier charged, in nano-units of its own currency."""
        return self.cost if self.cost_conversion is None else self.paid

    @property
    def margin(self) -> int:
        """What the seller keeps, in nano-units."""
        return self.charge - self.cost

    def changed(self, **changes: object) -> "RatedCdr":
        """Return the record with other values."""
        return msgspec.structs.replace(self, **changes)


class EndReport(msgspec.Struct, frozen=True, gc=False):
    """How a call ended, as whoever reports it knows it. ``duration_us`` is measured from answer to release.

    ``told_by`` is the road that reported it, empty where nobody did.
    """

    ended_at: Instant
    duration_us: int
    cause: str
    switch_seconds: int | None
    overrun_us: int
    told_by: str = ""


def reversal(record: RatedCdr, revision: int, now: Instant) -> RatedCdr:
    """Return the record that takes another back."""
    level = record.record_id.split(".")[1]
    return record.changed(
        record_id=_record_id(record.grant_id, level, revision),
        charge=-record.charge,
        uncollected=-record.uncollected,
        cost=-record.cost,
        paid=-record.paid,
        bundle_units=-record.bundle_units,
        metered=tuple(each._replace(units=-each.units) for each in record.metered),
        status="reversal",
        reverses=record.record_id,
        settled_at=now,
    )


def _record_id(grant_id: str, level: str, revision: int) -> str:
    return f"{grant_id}.{level}.{revision}"


class Supply(NamedTuple):
    """What a level pays for a call: ``paid`` in the supplier's currency, ``cost`` in its own, in nano-units."""

    paid: int
    cost: int
    conversion: Conversion | None = None


def supplies(call: Call, duration_us: int) -> tuple[Supply, ...]:
    """Return what each level of a settled call pays: the level above, the uppermost the carrier by its own clock."""
    below = [
        _supply(above.charge, level.conversions) for level, above in zip(call.levels[:-1], call.posted[1:], strict=True)
    ]
    route = call.carrier
    rates = route.conversions if route is not None else ()
    return (*below, _supply(carrier_cost(call, duration_us), rates))


def _supply(paid: int, rates: tuple[Conversion, ...]) -> Supply:
    if not rates:
        return Supply(paid, paid)
    # A figure of the books, not money that moves: never less than what is owed, at the precision of the ledger.
    return Supply(paid, divide(paid * rates[0].rate, NANO, Rounding.UP), rates[0])


def rated(
    call: Call, report: EndReport, billed: tuple[int, ...], bought: tuple[Supply, ...], now: Instant
) -> tuple[RatedCdr, ...]:
    """Return one record for each level of a settled call. ``billed``: seconds after increments."""
    return tuple(
        _level_record(call, report, place, billed[place], bought[place], now) for place in range(len(call.levels))
    )


def _level_record(call: Call, report: EndReport, place: int, billed: int, supply: Supply, now: Instant) -> RatedCdr:
    level, tariff, posted = call.levels[place], call.levels[place].tariffs[0], call.posted[place]
    top = place == len(call.levels) - 1
    route = call.carrier if top else None
    supplier = call.levels[place + 1].key if not top else (route.carrier if route is not None else None)
    assert call.answered_at is not None, call
    return RatedCdr(
        record_id=_record_id(call.grant_id, str(place), call.revision), tenant=level.key.tenant, grant_id=call.grant_id,
        id_domain=call.id_domain, call_id=call.call_id, attempt=call.attempt, part=call.part, leg=call.leg,
        account=level.key.id, account_number=level.account, direction=call.direction, calling=call.calling,
        called=call.called, prefix=tariff.prefix, destination=tariff.destination, rate_table=tariff.table,
        deck_version=tariff.deck_version, rate_type=tariff.rate_type, override=call.override,
        started_at=call.requested_at, answered_at=call.answered_at, ended_at=report.ended_at,
        duration_us=report.duration_us, switch_seconds=report.switch_seconds, billed_seconds=billed, rate=tariff.rate,
        connect_fee=tariff.connect_fee, charge=posted.charge, uncollected=posted.uncollected, currency=level.currency,
        tax_code=tariff.tax_code, ledger_code=tariff.ledger_code,
        carrier=supplier.id if supplier is not None else "", cost=supply.cost, source=call.source,
        switch=call.switch if call.tenant == level.key.tenant else "",  # another tenant's switch is its own affair
        cause=report.cause, settled_by=call.settled_by.value, status="rated", authorised=call.authorised,
        rounding=rounding_text(tariff),
        overrun_us=report.overrun_us, settled_at=now, unit=tariff.unit, bundle=_bundle_ids(level, posted),
        bundle_units=sum(each.units for each in posted.units), tier=tariff.tier, volume=tariff.volume,
        metered=posted.units + posted.volume, conversion=tariff.conversion,
        paid=supply.paid if supply.conversion is not None else 0, cost_conversion=supply.conversion,
        told_by=report.told_by, dialled=call.dialled, surcharge=tariff.surcharge, surcharge_rate=tariff.surcharge_rate,
    )  # fmt: skip


def rounding_text(tariff: Tariff) -> str:
    """Return how a price became a charge: the conversion, the rounding behind it, and that of the duration."""
    by = f" after {tariff.conversion}" if tariff.conversion is not None else ""
    return f"{tariff.decimals} {tariff.rounding.value}{by}, duration {tariff.duration_rounding.value}"


def _bundle_ids(level: Level, posted: Posted) -> str:
    ids = {bundle.meter: bundle.id for bundle in level.bundles}
    return " ".join(ids[each.meter] for each in posted.units)


def carrier_cost(call: Call, duration_us: int) -> int:
    """Return what the carrier in use charges for a duration as measured, in nano-units; 0 without a carrier."""
    route = call.carrier
    if route is None or not route.tariffs:
        return 0
    tariff = route.tariffs[0]
    return charge(tariff, duration_seconds(duration_us, tariff.duration_rounding)).amount
