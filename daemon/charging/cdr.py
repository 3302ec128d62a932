"""A rated record: everything needed to price one level of one call again by hand; it is never altered.

A correction is a reversing record (the same figures, the sign turned, ``reverses`` naming the first) and a new one.
Each level of a reseller chain has a record of its own, in the books of the tenant that sells at that level.
"""

from dataclasses import dataclass, replace

from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Level
from daemon.charging.call import Call, Posted
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant
from daemon.rating.bundle import Units
from daemon.rating.charge import charge, duration_seconds
from daemon.rating.tariff import SECONDS


@dataclass(frozen=True, slots=True)
class RatedCdr:
    """Money in nano-units; instants in microseconds; ``tenant`` is the seller, whose export holds the record.

    ``told_by`` is the source of the report that it was settled by, empty for an estimate of ours.
    ``bundle`` names the bundles that paid ``bundle_units`` of it, in their order; ``metered`` is what it counts on
    meters. ``tier`` began at that unit of the period's volume, and ``volume`` was reached before the call.
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

    @property
    def margin(self) -> int:
        """What the seller keeps, in nano-units."""
        return self.charge - self.cost


@dataclass(frozen=True, slots=True)
class EndReport:
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
    return replace(
        record,
        record_id=_record_id(record.grant_id, level, revision),
        charge=-record.charge,
        uncollected=-record.uncollected,
        cost=-record.cost,
        bundle_units=-record.bundle_units,
        metered=tuple(each._replace(units=-each.units) for each in record.metered),
        status="reversal",
        reverses=record.record_id,
        settled_at=now,
    )


def _record_id(grant_id: str, level: str, revision: int) -> str:
    return f"{grant_id}.{level}.{revision}"


def rated(
    catalog: Catalog, call: Call, report: EndReport, posted: tuple[Posted, ...], billed: tuple[int, ...], cost: int,
    revision: int, now: Instant,
) -> tuple[RatedCdr, ...]:  # fmt: skip
    """Return one record for each level. ``billed``: seconds after increments; ``cost``: the carrier's charge."""
    costs = (*(entry.charge for entry in posted[1:]), cost)
    return tuple(
        _level_record(catalog, call, report, place, posted[place], billed[place], costs[place], revision, now)
        for place in range(len(call.levels))
    )


def _level_record(
    catalog: Catalog, call: Call, report: EndReport, place: int, posted: Posted, billed: int, cost: int, revision: int,
    now: Instant,
) -> RatedCdr:  # fmt: skip
    level, tariff = call.levels[place], call.levels[place].tariffs[0]
    top = place == len(call.levels) - 1
    route = call.carrier if top else None
    supplier = call.levels[place + 1].key if not top else (route.carrier if route is not None else None)
    assert call.answered_at is not None, call
    return RatedCdr(
        record_id=_record_id(call.grant_id, str(place), revision), tenant=level.key.tenant, grant_id=call.grant_id,
        id_domain=call.id_domain, call_id=call.call_id, attempt=call.attempt, part=call.part, leg=call.leg,
        account=level.key.id, account_number=level.account, direction=call.direction, calling=call.calling,
        called=call.called, prefix=tariff.prefix, destination=tariff.destination, rate_table=tariff.table,
        deck_version=tariff.deck_version, rate_type=tariff.rate_type, override=call.override,
        started_at=call.requested_at, answered_at=call.answered_at, ended_at=report.ended_at,
        duration_us=report.duration_us, switch_seconds=report.switch_seconds, billed_seconds=billed, rate=tariff.rate,
        connect_fee=tariff.connect_fee, charge=posted.charge, uncollected=posted.uncollected, currency=level.currency,
        tax_code=tariff.tax_code, ledger_code=tariff.ledger_code,
        carrier=supplier.id if supplier is not None else "", cost=cost, source=call.source, switch=call.switch,
        cause=report.cause, settled_by=call.settled_by.value, status="rated", authorised=call.authorised,
        rounding=f"{tariff.decimals} {tariff.rounding.value}, duration {tariff.duration_rounding.value}",
        overrun_us=report.overrun_us, settled_at=now, unit=tariff.unit, bundle=_bundle_ids(level, posted),
        bundle_units=sum(each.units for each in posted.units), tier=tariff.tier, volume=tariff.volume,
        metered=posted.units + posted.volume, told_by=report.told_by,
    )  # fmt: skip


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
