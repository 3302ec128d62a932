"""Which meters concern a call, what is held of bundles, and which volume chooses tiers where a period is closed."""

from dataclasses import replace

from daemon.authorize.catalog import Catalog
from daemon.authorize.decide import prepare
from daemon.authorize.decision import Granted, Level
from daemon.authorize.metering import account_meters, held_units, metered, no_meter, supply_of, volumes_of
from daemon.authorize.quote import Limits, Quote
from daemon.kernel.ids import Direction
from daemon.rating.bundle import NO_SUPPLY, WHOLE_CALL, Bundle, Meter, Units, period_number, volume_meter
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable
from tests.unit.charging.desk import ALICE, START, TRUNK, Desk, catalog, with_account
from tests.unit.charging.test_tiers import ROWS

UK, CALLS, FRANCE = Bundle("uk", 60, prefixes=frozenset({"44"})), Bundle("calls", 5, "call"), Bundle("fr", 9)
TIERED = volume_meter("tiered", "week")


def tiered() -> Catalog:
    """Return a catalog in which alice's inbound plan has tiers."""
    made, errors = RateTable.of(Policy("tiered", 1, "USD", tiers="whole", tier_period="week"), ROWS)
    assert made is not None, errors
    found = catalog()
    plans = {**found.plans, TRUNK: RatePlan("trunk", (found.tables[TRUNK], made), on_net=(made,))}
    found = with_account(found, ALICE, bundles=(UK, CALLS, replace(FRANCE, prefixes=frozenset({"33"}))))
    dated = (replace(found.accounts[ALICE].plans[0], plan=TRUNK),)
    return replace(with_account(found, ALICE, inbound_plans=dated), plans=plans)


def level(found: Catalog, direction: Direction) -> Level:
    quote = prepare(found, Desk().attempt("c1", direction=direction), START, Limits())
    assert isinstance(quote, Quote), quote
    assert quote.meters == quote.levels[0].meters
    return quote.levels[0]


def test_a_level_names_the_bundles_that_fit_and_the_tables_with_tiers_of_its_direction() -> None:
    outbound, inbound = level(tiered(), Direction.OUTBOUND), level(tiered(), Direction.INBOUND)
    assert outbound.bundles == (replace(UK, prefixes=frozenset()), CALLS)
    assert [name for _, name in outbound.meters] == [UK.meter, CALLS.meter]
    assert inbound.tiered == (("tiered", "week"),)
    assert inbound.meters == (*outbound.meters, (1, TIERED))
    assert level(catalog(), Direction.OUTBOUND).meters == ()


def test_all_meters_of_an_account_are_known_without_a_call() -> None:
    found = tiered()
    names = [name for _, name in account_meters(found, found.accounts[ALICE])]
    assert names == [UK.meter, CALLS.meter, FRANCE.meter, TIERED]


def test_a_plan_that_is_gone_and_a_level_without_a_rate_name_none() -> None:
    found = replace(catalog(), plans={})
    bare = Level(1, ALICE, "USD", ())
    assert metered(found, found.accounts[ALICE], bare, "44", Direction.OUTBOUND) == bare
    assert supply_of(bare, no_meter, found.accounts[ALICE].zone, START) == NO_SUPPLY


def test_what_a_level_holds_pays_for_so_much_of_its_call() -> None:
    holds = replace(level(tiered(), Direction.OUTBOUND), units=(Units(UK.meter, 30, 1), Units("bundle:gone:day", 9, 1)))
    assert held_units(holds) == 30
    assert held_units(replace(holds, units=(Units(UK.meter, 30, 1), Units(CALLS.meter, 1, 1)))) == 30 + WHOLE_CALL


def test_the_volume_of_a_closed_period_is_what_the_tariffs_were_chosen_by() -> None:
    found = tiered()
    zone, inbound = found.accounts[ALICE].zone, level(found, Direction.INBOUND)
    week = period_number(START, "week", "UTC")
    chosen = replace(inbound, tariffs=(replace(inbound.tariffs[0], meter="tiered", volume=70),))
    unchosen = replace(inbound, tariffs=(replace(inbound.tariffs[0], meter=""),))
    for period, of, volume in (
        (week, chosen, 5),
        (week - 1, chosen, 0),
        (week + 1, chosen, 70),
        (week + 1, unchosen, 0),
    ):
        meter = Meter(1, TIERED, period, 5)
        assert volumes_of(of, lambda *_, meter=meter: meter, zone, START) == {"tiered": volume}


def test_who_reads_no_meter_sees_whole_allowances() -> None:
    desk = Desk(with_account(catalog(), ALICE, bundles=(UK,)))
    decision, _ = desk.ocf.explain(desk.attempt("c1"), desk.store_standing)
    assert isinstance(decision, Granted)
    assert decision.seconds == 60
