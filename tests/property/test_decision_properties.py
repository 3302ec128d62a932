"""What a decision does in a short way, held against the plain one: the same answer for every tariff and every date.

The short ways: what a sale may cost at most instead of a margin for each carrier, one look at the index for a price
that lasts instead of one at each change, what a plain tariff charges by instead of the whole of it, and limits that are
looked at one by one only where they are near.
"""

from dataclasses import replace
from itertools import pairwise, product
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.authorize.catalog import AccountKind, AccountTerms, ChannelPackage
from daemon.authorize.decision import Level, Route
from daemon.authorize.duration import money_of
from daemon.authorize.limits import channels_of, full_channels, month_of, spend_caps, within_caps
from daemon.authorize.quote import Quote
from daemon.authorize.routing import earning
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import local_day
from daemon.kernel.money import NANO, NANO_MAX
from daemon.ledger.account import Standing, available, room
from daemon.rating.account_rates import AccountRates, ClassOfService
from daemon.rating.charge import charge, charge_of_any, minute_charge
from daemon.rating.deck import EFFECTIVE_FOREVER, RateRow, Terms
from daemon.rating.margin import cost_max, margin_holds
from daemon.rating.markup import Markup
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import A_CALL, Policy, RateTable, successive
from daemon.rating.tariff import Tariff
from daemon.rating.time_band import TimeBand, parse_intervals
from tests.property.test_rating_properties import TARIFFS

FLOORS = st.none() | st.integers(-200 * NANO, 200 * NANO)
HOUR = 3_600_000_000
ATTEMPT = CallAttempt("gw1", "c1", "main", "http", "gw1", Identity(), "4420")


@given(TARIFFS, TARIFFS, st.integers(1, 400), FLOORS, FLOORS)
def test_what_a_sale_may_cost_is_where_its_margin_ends(
    sell: Tariff, buy: Tariff, seconds: int, percent: int | None, minute: int | None
) -> None:
    price, cost = charge(sell, seconds).amount, charge(buy, seconds).amount
    most = cost_max(price, seconds, percent, minute)
    if price:
        assert (most is None or cost <= most) is margin_holds(sell, buy, seconds, percent, minute)
    if most is not None:
        at_most = replace(buy, rate=0, connect_fee=most, minimum_charge=0, free_seconds=0, decimals=9)
        dearer = replace(at_most, connect_fee=most + 1)
        if price and most >= 0:
            assert margin_holds(sell, at_most, seconds, percent, minute)
            assert not margin_holds(sell, dearer, seconds, percent, minute)


@given(TARIFFS, st.integers(0, 4_000), st.integers(0, 200))
def test_what_a_plain_tariff_charges_by_says_what_the_whole_tariff_does(
    tariff: Tariff, seconds: int, units: int
) -> None:
    assert charge(tariff, seconds, units) == charge_of_any(tariff, seconds, units)
    assert minute_charge(tariff) == charge_of_any(tariff, 60).amount


LENGTHS = st.sampled_from((0, 1, 6, 59, 60, 61, 400)) | st.integers(0, 4_000)


@given(TARIFFS, st.lists(st.tuples(LENGTHS, st.sampled_from((0, 0, 30))), max_size=8))
def test_what_a_tariff_charged_lately_changes_no_charge(tariff: Tariff, asked: list[tuple[int, int]]) -> None:
    alike = replace(tariff, prefix="449", destination="elsewhere")  # what it charges by is worked out once for both
    for seconds, units in (*asked, *asked):
        assert charge(tariff, seconds, units) == charge_of_any(tariff, seconds, units)
        assert charge(alike, seconds, units) == charge_of_any(tariff, seconds, units)


@given(TARIFFS)
def test_a_changed_tariff_is_charged_by_what_it_is_then(tariff: Tariff) -> None:
    assert charge(tariff, 61) == charge_of_any(tariff, 61)
    for dearer in (tariff.changed(rate=tariff.rate + NANO), replace(tariff, rate=tariff.rate + NANO)):
        assert charge(dearer, 61) == charge_of_any(dearer, 61)


FEW = st.integers(0, 4)
MOST = st.none() | FEW


@given(MOST, MOST, MOST, FEW, FEW, FEW, st.sampled_from(Direction))
def test_the_limit_that_is_full_is_the_first_of_all_limits(
    total: int | None, inward: int | None, outward: int | None, more: int, used_in: int, used_out: int,
    direction: Direction,
) -> None:  # fmt: skip
    package = ChannelPackage(0, 2 * HOUR, channels_total=more, channels_in=more)
    terms = replace(
        account_of(1, None, None), channels_total=total, channels_in=inward, channels_out=outward, packages=(package,)
    )
    standing = Standing(1, channels_in=used_in, channels_out=used_out)
    for now in (HOUR, 3 * HOUR):
        plain = next((each for each in channels_of(terms, standing, direction, now) if each.is_full), None)
        assert full_channels(terms, standing, direction, now) == plain


EDGE = st.sampled_from((-NANO_MAX, -NANO, 0, NANO, NANO_MAX - NANO, NANO_MAX))
SPENDS = st.none() | st.sampled_from((0, NANO, 3 * NANO))


@given(EDGE, EDGE.map(abs), EDGE.map(abs), st.none() | EDGE.map(abs), SPENDS, SPENDS, st.booleans())
def test_money_is_what_is_there_and_what_the_ledger_and_every_cap_leave(
    balance: int, reserved: int, debt: int, limit: int | None, daily: int | None, monthly: int | None, today: bool
) -> None:  # fmt: skip
    terms = replace(account_of(1, None, None), credit_limit=limit, daily_spend=daily, monthly_spend=monthly)
    day, month = (local_day(HOUR, terms.zone), month_of(terms, HOUR)) if today else (1, 1)
    standing = Standing(
        1, balance, reserved, debt, day=day, day_spent=NANO, month=month, month_spent=2 * NANO
    )  # fmt: skip
    there, most = available(standing, limit), room(standing)
    money = most if there is None else min(there, most)
    assert money_of(terms, standing) == money
    left = min([money, *(cap.left for cap in spend_caps(terms, standing, (), HOUR))])
    assert within_caps(terms, standing, (), money, HOUR) == left


def level_of(number: int, tariffs: list[Tariff]) -> Level:
    return Level(number, Key("main", str(number)), "USD", tuple(tariffs))


def account_of(number: int, percent: int | None, minute: int | None) -> AccountTerms:
    return AccountTerms(
        number, Key("main", str(number)), AccountKind.PREPAID, "USD", ZoneInfo("UTC"),
        margin_floor_percent=percent, margin_floor_per_minute=minute,
    )  # fmt: skip


TARIFF_LISTS = st.lists(TARIFFS, min_size=1, max_size=2)


@given(
    st.lists(st.tuples(TARIFF_LISTS, FLOORS, FLOORS), min_size=1, max_size=3),
    st.lists(TARIFF_LISTS, max_size=3),
    st.integers(1, 400),
)
def test_carriers_by_which_all_levels_earn_are_those_of_every_pair(
    chain: list[tuple[list[Tariff], int | None, int | None]], buys: list[list[Tariff]], seconds: int
) -> None:
    levels = tuple(level_of(place, tariffs) for place, (tariffs, _, _) in enumerate(chain))
    accounts = tuple(account_of(place, percent, minute) for place, (_, percent, minute) in enumerate(chain))
    routes = tuple(Route(place, place, Key("main", "c"), "", tuple(each)) for place, each in enumerate(buys))
    quote = Quote(ATTEMPT, "4420", accounts, levels, routes, (), routed=True)

    def keeps(account: AccountTerms, sells: tuple[Tariff, ...], bought: tuple[Tariff, ...]) -> bool:
        percent, minute = account.margin_floor_percent, account.margin_floor_per_minute
        return all(margin_holds(sell, buy, seconds, percent, minute) for sell, buy in product(sells, bought))

    below = all(
        keeps(account, level.tariffs, above.tariffs)
        for account, (level, above) in zip(accounts, pairwise(levels), strict=False)
    )
    expected = tuple(each for each in routes if below and keeps(accounts[-1], levels[-1].tariffs, each.tariffs))
    assert earning(quote, routes, seconds) == expected


EDGES = st.integers(0, 6)
NIGHT, EARLY = (parse_intervals(f"mon-sun {hours}") for hours in ("00:00-02:00", "04:00-05:00"))
BANDS = (TimeBand("night", NIGHT), TimeBand("day", EARLY))


@st.composite
def rows(draw: st.DrawFn) -> list[RateRow]:
    """Return rows of prefixes within each other whose dates and bands lie within some hours."""
    found = {}
    for _ in range(draw(st.integers(1, 8))):
        prefix, begins = draw(st.sampled_from(("4", "44", "442", "5"))), draw(EDGES)
        band = draw(st.sampled_from(("", "", "", "night", "day")))
        ends = draw(st.sampled_from((begins + 1, begins + 2, None)))
        until = EFFECTIVE_FOREVER if ends is None else ends * HOUR
        terms = Terms(effective_from=begins * HOUR, effective_to=until, time_band=band, blocked=draw(st.booleans()))
        found[prefix, begins, band] = RateRow(prefix, draw(st.integers(0, 3)) * NANO, terms=terms)
    return list(found.values())


def table_of(name: str, given_rows: list[RateRow], *, split: bool) -> RateTable:
    made, errors = RateTable.of(Policy(name, 1, "USD", bands=BANDS, split_bands=split), given_rows)
    assert made is not None, errors
    return made


SPANS = st.tuples(st.integers(0, 7 * HOUR), st.sampled_from((0, 1, HOUR - 1, HOUR, 2 * HOUR)))


@given(rows(), st.booleans(), SPANS, st.sampled_from(("4420", "4", "5", "6")))
def test_a_price_that_lasts_is_the_one_that_is_found_at_every_change(
    deck: list[RateRow], split: bool, span: tuple[int, int], number: str
) -> None:
    table, (start, length) = table_of("t", deck, split=split), span
    end = start + length
    plain = successive(lambda at: table.match(number, at), start, table.changes(number, start, end))
    assert table.tariffs(number, start, end) == plain


SERVICES = st.none() | st.just(ClassOfService("c", frozenset({"442"}), frozenset({"44"})))
OVERRIDES = st.sampled_from(({}, {"44": NANO}, {"4420": 0}))


@given(rows(), rows(), rows(), SPANS, OVERRIDES, SERVICES, st.booleans())
def test_so_is_one_of_a_plan_of_several_tables(
    first: list[RateRow], second: list[RateRow], own: list[RateRow], span: tuple[int, int],
    overrides: dict[str, int], service: ClassOfService | None, on_net: bool,
) -> None:  # fmt: skip
    inherited = RatePlan("base", (table_of("second", second, split=False),))
    own_numbers = (table_of("own", own, split=False),)
    plan = RatePlan("p", (table_of("first", first, split=False),), inherited, Markup(percent=5 * NANO), own_numbers)
    start, end = span[0], span[0] + span[1]
    usage = A_CALL._replace(on_net=on_net)
    account = AccountRates(Policy("t", 1, "USD"), overrides, service) if overrides or service else None
    tables = [*(marked.table for marked in plan.marked_tables), *plan.on_net]
    changes = {at for table in tables for at in table.changes("4420", start, end)}
    plain = successive(lambda at: plan.match("4420", at, usage, account), start, changes)
    assert plan.tariffs("4420", start, end, usage, account) == plain
