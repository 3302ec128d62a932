"""What a table asks beyond prefix and date: bands, steps, tiers, rate types; and the refusals of what contradicts."""

import pytest

from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.rating.deck import EFFECTIVE_FOREVER, RateRow, Terms
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.rate_type import RateType
from daemon.rating.tariff import NO_RATES, Gap, Span, Step, Tariff
from daemon.rating.time_band import TimeBand, parse_intervals

PEAK = TimeBand("peak", parse_intervals("mon-fri 08:00-20:00"))
NIGHT = TimeBand("night", parse_intervals("mon-sun 22:00-06:00"))
NOON = TimeBand("noon", parse_intervals("mon-sun 12:00-13:00"))
BANDS = (PEAK, NIGHT, NOON)
MONDAY = parse_rfc3339("2026-11-23T00:00:00Z")
HOUR = 3_600 * SECOND


def policy(**changes: object) -> Policy:
    """Return a policy with the bands above, in UTC."""
    stated: dict[str, object] = {"bands": BANDS, "rate_types": {"Mobile": RateType("mobile"), "kWh": KWH}}
    return Policy("t", 1, "USD", **{**stated, **changes})  # type: ignore[arg-type]


KWH = RateType("energy", "kWh", 1)


def row(prefix: str, rate: int, **terms: object) -> RateRow:
    """Return a row of a prefix."""
    return RateRow(prefix, rate, f"to {prefix}", Terms(**terms), "a.csv", rate)  # type: ignore[arg-type]


def table_of(*rows: RateRow, **changes: object) -> RateTable:
    """Return the table of good rows."""
    table, errors = RateTable.of(policy(**changes), rows)
    assert errors == []
    assert table is not None
    return table


def reasons(*rows: RateRow, **changes: object) -> list[str]:
    """Return why rows are no table."""
    table, errors = RateTable.of(policy(**changes), rows)
    assert table is None
    return [str(error) for error in errors]


def found(table: RateTable, number: str, at: int, **usage: object) -> object:
    """Return the rate in force, ``gap`` and its prefix, or None."""
    tariff = table.find(number, at, Usage(**usage))  # type: ignore[arg-type]
    return ("gap", tariff.prefix) if isinstance(tariff, Gap) else tariff.rate if isinstance(tariff, Tariff) else None


@pytest.mark.parametrize(
    ("hour", "rate"), [(7, 1), (8, 2), (19, 2), (20, 1), (21, 1), (22, 3), (24 + 5, 3), (24 + 6, 1)]
)
def test_a_band_holds_its_hours_and_the_row_without_one_all_other_time(hour: int, rate: int) -> None:
    table = table_of(row("44", 1), row("44", 2, time_band="peak"), row("44", 3, time_band="night"))
    assert found(table, "441", MONDAY + hour * HOUR) == rate
    assert table.match("441", MONDAY + hour * HOUR) == table.match("441", MONDAY + hour * HOUR)


def test_a_time_that_no_band_holds_is_unrated_whatever_a_shorter_prefix_says() -> None:
    table = table_of(row("4", 9), row("44", 2, time_band="peak"))
    assert found(table, "441", MONDAY + 9 * HOUR) == 2
    assert found(table, "441", MONDAY) == ("gap", "44")
    assert table.match("441", MONDAY) is None
    assert found(table, "43", MONDAY) == 9


def test_a_band_without_a_valid_version_counts_as_not_there() -> None:
    table = table_of(row("4", 9), row("44", 2, time_band="peak", effective_to=MONDAY + 10 * HOUR))
    assert found(table, "441", MONDAY + 10 * HOUR) == 9


def test_a_new_version_of_one_band_closes_no_other() -> None:
    table = table_of(
        row("44", 1), row("44", 2, time_band="peak"), row("44", 5, time_band="peak", effective_from=MONDAY)
    )
    assert found(table, "44", MONDAY) == 1
    assert found(table, "44", MONDAY + 9 * HOUR) == 5
    assert found(table, "44", MONDAY - 72 * HOUR + 9 * HOUR) == 2


def test_when_a_version_ends_an_earlier_one_still_open_applies_again() -> None:
    table = table_of(row("44", 1), row("44", 2, effective_from=MONDAY, effective_to=MONDAY + HOUR))
    assert [found(table, "44", MONDAY + at) for at in (-1, 0, HOUR - 1, HOUR)] == [1, 2, 2, 1]


def test_a_call_that_meets_no_change_is_priced_by_one_rate() -> None:
    table = table_of(row("44", 1), row("44", 2, time_band="peak"), split_bands=True)
    tariff = table.match("44", MONDAY + 9 * HOUR, Usage(horizon_seconds=3_600))
    assert tariff is not None
    assert (tariff.spans, tariff.alternatives) == ((), ())


def test_a_split_call_carries_the_bands_that_it_meets() -> None:
    table = table_of(row("44", 2, time_band="peak"), row("44", 3, time_band="night"), split_bands=True)
    tariff = table.match("44", MONDAY + 20 * HOUR - 1, Usage(horizon_seconds=3 * 3_600))
    assert tariff is not None
    assert tariff.spans == (Span(1, NO_RATES), Span(7_201, 1))
    assert [rates.band for rates in tariff.alternatives] == ["peak", "night"]


def test_steps_lie_in_the_order_of_seconds() -> None:
    table = table_of(
        row("44", 9, step_from_second=600), row("44", 1, first_seconds=60), row("44", 5, step_from_second=60)
    )
    tariff = table.match("44", MONDAY)
    assert tariff is not None
    assert (tariff.rate, tariff.first_seconds) == (1, 60)
    assert tariff.alternatives[0].tiers[0].steps == (Step(0, 1, 1), Step(60, 5, 1), Step(600, 9, 1))


TIERS = (row("44", 3), row("44", 2, tier_from=100), row("44", 1, tier_from=500, connect_fee=7))


@pytest.mark.parametrize(
    ("rule", "volume", "rate", "tiers"),
    [
        ("whole", 99, 3, ()),
        ("whole", 100, 2, ()),
        ("whole", 900, 1, ()),
        ("graduated", 0, 3, (0, 100, 500)),
        ("graduated", 99, 3, (0, 1, 401)),
        ("graduated", 100, 2, (0, 400)),
        ("graduated", 500, 1, ()),
    ],
)
def test_a_tier_is_chosen_by_the_volume_before_the_call(
    rule: str, volume: int, rate: int, tiers: tuple[int, ...]
) -> None:
    tariff = table_of(*TIERS, tiers=rule).match("44", MONDAY, Usage(volumes={"t": volume}))
    assert tariff is not None
    assert (tariff.rate, tariff.meter, tariff.volume) == (rate, "t", volume)
    assert tuple(tier.from_unit for rates in tariff.alternatives for tier in rates.tiers) == tiers


def test_a_split_call_keeps_the_tiers_of_every_band() -> None:
    table = table_of(
        row("44", 2, time_band="peak"), row("44", 4), row("44", 3, tier_from=10), tiers="graduated", split_bands=True
    )
    tariff = table.match("44", MONDAY + 19 * HOUR)
    assert tariff is not None
    assert (tariff.meter, [len(rates.tiers) for rates in tariff.alternatives]) == ("t", [1, 2])


@pytest.mark.parametrize(
    ("number", "rate_type", "rate"),
    [
        ("441", "", 1),
        ("441", "per_minute", 1),
        ("447", "", 2),
        ("447", "Mobile", 2),
        ("441", "Mobile", 8),
        ("", "Mobile", 8),
        ("33", "Mobile", 8),
        ("441", "per_message", 5),
        ("33", "per_message", None),
        ("", "kWh", 7),
        ("441", "kWh", 7),
        ("441", "undeclared", None),
        ("", "", None),
        ("441", "per_unit", None),
    ],
)
def test_usage_of_a_rate_type_finds_rows_of_it_alone(number: str, rate_type: str, rate: int | None) -> None:
    table = table_of(
        row("44", 1),
        row("447", 2, rate_type="Mobile"),
        row("", 8, rate_type="Mobile"),
        row("44", 5, rate_type="per_message"),
        row("", 7, rate_type="kWh", next_seconds=1_000_000),
    )
    assert found(table, number, MONDAY, rate_type=rate_type) == rate


def test_a_rate_type_in_a_band_is_looked_for_in_it() -> None:
    table = table_of(row("44", 1, time_band="peak", rate_type="Mobile"), row("44", 2, time_band="night"))
    assert found(table, "44", MONDAY + 9 * HOUR, rate_type="Mobile") == 1


def test_usage_that_does_not_last_is_not_split() -> None:
    table = table_of(row("", 1, rate_type="kWh"), row("", 2, rate_type="kWh", time_band="peak"), split_bands=True)
    tariff = table.match("", MONDAY + 19 * HOUR, Usage(rate_type="kWh"))
    assert tariff is not None
    assert (tariff.rate, tariff.per, tariff.unit, tariff.rate_type, tariff.spans) == (2, 1, "kWh", "energy", ())


def test_a_currency_may_be_stated_and_is_the_tables() -> None:
    assert found(table_of(row("44", 1, currency="USD")), "44", MONDAY) == 1


def test_what_a_number_is_asked_changes_at_these_instants() -> None:
    rows = (row("44", 1), row("44", 2, time_band="peak"))
    end = MONDAY + 9 * HOUR
    assert table_of(*rows).changes("44", MONDAY, end) == {MONDAY + 8 * HOUR}
    assert table_of(*rows, split_bands=True).changes("44", MONDAY, end) == {MONDAY + 8 * HOUR, end}
    assert table_of(*rows).changes("", MONDAY, end) == set()


def test_tariffs_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.rating.rate_table.KEPT_TARIFFS_MAX", 1)
    table = table_of(row("44", 1), row("45", 2))
    assert [found(table, number, MONDAY) for number in ("44", "45", "44")] == [1, 2, 1]


def test_two_bands_that_overlap_while_both_are_valid_are_refused() -> None:
    (reason,) = reasons(row("44", 1, time_band="peak"), row("44", 2, time_band="noon"))
    assert reason.startswith("a.csv:2: the prefix 44 has the band peak in line 1 and the band noon here: they overlap")


def test_bands_that_overlap_one_after_the_other_are_no_contradiction() -> None:
    noon = MONDAY + 12 * HOUR
    table = table_of(
        row("44", 1, time_band="peak", effective_to=noon), row("44", 2, time_band="noon", effective_from=noon)
    )
    assert [found(table, "44", at) for at in (noon - 1, noon)] == [1, 2]
    apart = table_of(row("44", 1, time_band="peak"), row("45", 2, time_band="noon"))
    assert [found(apart, number, noon) for number in ("44", "45")] == [1, 2]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((row("44", 1, step_from_second=60),), "no row for second 0 of this version"),
        ((row("44", 1), row("44", 2, tier_from=9, step_from_second=60)), "no row for second 0 and volume 9"),
        ((row("44", 1, tier_from=9),), "no row for volume 0"),
        ((row("44", 1, tier_from=9), row("44", 2, tier_from=9)), "two rows for second 0 and volume 9"),
        ((row("44", 1), row("44", 2, step_from_second=60, effective_to=9)), "different effective_to"),
        ((row("44", 1, time_band="dusk"),), "'dusk' is not declared; declared are peak, night, noon"),
        ((row("44", 1, rate_type="SMS"),), "'SMS' is not declared; known are per_minute, per_message"),
        ((row("44", 1, currency="EUR"),), "the row is in EUR, the table in USD"),
        ((row("44", 1, step_from_second=86_401),), "0 to 86400"),
        ((row("", 1, rate_type="kWh", first_seconds=1_000_000_000_001),), "1 to 1000000000000"),
        ((row("", 1, rate_type="kWh"), row("", 2, rate_type="kWh")), "a rate type without a prefix has one"),
        ((row("", 1),), "without a prefix needs a rate type"),
    ],
)
def test_rows_that_contradict_are_refused_with_the_reason(rows: tuple[RateRow, ...], reason: str) -> None:
    assert any(reason in told for told in reasons(*rows, tiers="whole"))


def test_tiers_need_a_rule() -> None:
    (reason,) = reasons(row("44", 1, tier_from=9))
    assert 'state tiers = "graduated" or "whole"' in reason


def test_no_bands_are_named_where_none_is_declared() -> None:
    assert "declared are none" in reasons(row("44", 1, time_band="peak"), bands=())[0]


def test_a_policy_states_what_can_be() -> None:
    with pytest.raises(AssertionError):
        Policy("t", 1, "USD", tiers="by the pound")
    assert Policy("t", 1, "USD").named("u").table == "u"


def test_a_table_counts_rates_and_tells_its_kinds() -> None:
    table = table_of(row("44", 1), row("44", 2, step_from_second=60), row("", 3, rate_type="kWh"))
    assert len(table) == 2
    assert table.kinds.keys() == {"", "energy"}
    assert table.offers.windows[0][1] == EFFECTIVE_FOREVER
