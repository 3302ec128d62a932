"""Dated rates between currencies: which is in force when, whose they are, and what a tariff costs by one."""

from dataclasses import replace

import pytest

from daemon.kernel.instant import NEVER
from daemon.kernel.money import NANO, Rounding, parse_nano
from daemon.rating.charge import charge
from daemon.rating.conversion import Conversion, Conversions, StatedRate, Timeline, at_one_instant
from daemon.rating.exchange import Exchange
from daemon.rating.margin import margin_holds
from daemon.rating.quota import quota
from daemon.rating.tariff import Tariff

EUR = Tariff("t", 1, "44", "UK", "EUR", rate=parse_nano("0.05"), decimals=4)
PARENTS = {"reseller": "main", "under": "reseller"}


def stated(begins: int, rate: str, ends: int = NEVER, tenant: str = "main") -> StatedRate:
    return StatedRate(tenant, "EUR", "USD", parse_nano(rate), begins, ends)


def rates(*found: Conversion | None) -> list[str | None]:
    """Return the rates of conversions as whole hundredths of a unit."""
    return [None if each is None else f"{each.rate * 100 // NANO}" for each in found]


class TestTimeline:
    def test_the_latest_begun_is_in_force_and_nothing_before_the_first(self) -> None:
        line = Timeline([stated(100, "1.20"), stated(50, "1.10")])
        assert rates(*map(line.at, (49, 50, 99, 100, 10**9))) == [None, "110", "110", "120", "120"]
        assert line.at(50) == Conversion("EUR", "USD", parse_nano("1.10"), 50, 100, "main")

    def test_when_it_ends_an_earlier_one_that_is_open_applies_again(self) -> None:
        line = Timeline([stated(0, "1.10"), stated(50, "1.20", 60), stated(55, "1.30", 58)])
        assert rates(*map(line.at, (49, 50, 55, 57, 58, 59, 60))) == ["110", "120", "130", "130", "120", "120", "110"]

    def test_one_that_has_ended_beneath_another_does_not_come_back(self) -> None:
        line = Timeline([stated(0, "1.10", 55), stated(50, "1.20", 60)])
        assert rates(*map(line.at, (0, 50, 59, 60))) == ["110", "120", "120", None]

    def test_the_last_that_was_in_force_else_the_first_to_come(self) -> None:
        line = Timeline([stated(50, "1.10", 60), stated(80, "1.20")])
        assert rates(*map(line.last, (0, 50, 60, 79, 80))) == ["110", "110", "110", "110", "120"]

    def test_what_is_in_force_within_a_time_begins_with_what_is_at_its_start(self) -> None:
        line = Timeline([stated(50, "1.10", 60), stated(80, "1.20")])
        assert rates(*line.between(0, 49)) == []
        assert [each.holds(0) for each in line.between(0, 50)] == [False]  # whoever asks has to look
        assert rates(*line.between(50, 80)) == ["110", "120"]
        assert rates(*line.between(60, 79)) == []
        assert rates(*line.between(60, 80)) == ["120"]


class TestConversions:
    def test_the_nearest_tenant_upwards_that_states_the_pair_decides(self) -> None:
        found = Conversions([stated(0, "1.10"), stated(0, "1.20", tenant="reseller")], PARENTS)
        told = [found.timeline(tenant, "EUR", "USD") for tenant in ("main", "reseller", "under")]
        assert rates(*(line.at(0) if line else None for line in told)) == ["110", "120", "120"]

    def test_also_where_it_has_no_rate_in_force(self) -> None:
        found = Conversions([stated(0, "1.10"), stated(0, "1.20", 10, "reseller")], PARENTS)
        assert Exchange("under", "USD", found).rates("EUR", 10, 20) == ()

    def test_the_inverse_is_another_pair(self) -> None:
        found = Conversions([stated(0, "1.10")], PARENTS)
        assert found.timeline("main", "USD", "EUR") is None
        assert "no conversion from USD to EUR is stated" in Exchange("main", "EUR", found).lacking("USD", 0)

    def test_without_any_nothing_is_sought(self) -> None:
        assert Exchange("main", "USD").rates("EUR", 0, 0) == ()


class TestExchange:
    LINE = Exchange("main", "USD", Conversions([stated(50, "1.10", 60), stated(80, "1.20")]))

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [(50, 59, ["110"]), (50, 90, ["110", "120"]), (65, 79, ["110"]), (65, 90, ["110", "120"]), (0, 40, ["110"])],
    )
    def test_a_price_that_takes_over_is_held_by_each_rate_that_it_may_be_charged_by(
        self, start: int, end: int, expected: list[str]
    ) -> None:
        assert rates(*(each.conversion for each in self.LINE.taking_over(EUR, start, end))) == expected

    def test_a_price_that_takes_over_needs_no_rate_in_the_own_currency_and_has_none_where_none_is_stated(self) -> None:
        own = replace(EUR, currency="USD")
        assert self.LINE.taking_over(own, 0, 90) == (own,)
        assert Exchange("main", "USD").taking_over(EUR, 0, 90) == ()

    def test_a_tariff_by_each_rate_in_force(self) -> None:
        sold = self.LINE.sold(EUR, 50, 80)
        assert [(each.charged_in, each.conversion and each.conversion.begins) for each in sold] == [
            ("USD", 50), ("USD", 80),
        ]  # fmt: skip
        assert self.LINE.sold(replace(EUR, currency="USD"), 0, 0) == (replace(EUR, currency="USD"),)

    @pytest.mark.parametrize(("at", "rate"), [(0, "110"), (60, "110"), (79, "110")])
    def test_what_happened_is_charged_by_the_last_rate_else_by_the_first(self, at: int, rate: str) -> None:
        assert self.LINE.rates("EUR", at, at) == ()
        assert rates(*self.LINE.rates("EUR", at, at, lapsed=True)) == [rate]
        assert self.LINE.sold(EUR, at, at) == ()

    def test_says_what_is_missing(self) -> None:
        assert "begins later; add a [[conversion]]" in self.LINE.lacking("EUR", 0)
        assert "the last of main has ended" in self.LINE.lacking("EUR", 70)


def test_rates_that_never_meet() -> None:
    first, second, other = (Conversion("EUR", "USD", NANO, a, b, "main") for a, b in ((0, 50), (50, 90), (10, 60)))
    assert not at_one_instant(first, second, None)
    assert at_one_instant(first, other)
    assert at_one_instant(second, other, None)
    assert at_one_instant(None, None)


def test_it_says_its_pair_its_rate_and_its_date() -> None:
    assert str(Conversion("EUR", "USD", parse_nano("1.085"), 0, NEVER, "main")) == (
        "EUR to USD at 1.085 of 1970-01-01T00:00:00.000000Z"
    )


class TestCharge:
    """0.05 EUR a minute at 1/1, at 1.0853 USD for 1 EUR."""

    SOLD = EUR.changed(conversion=Conversion("EUR", "USD", parse_nano("1.0853"), 0, NEVER, "main"))

    def test_it_is_rounded_once_behind_the_conversion(self) -> None:
        # 7 s: 0.0058333... EUR, 0.0063309... USD, 0.0064; rounded before as well it would be 0.0059 EUR and 0.0065.
        assert charge(self.SOLD, 7).amount == parse_nano("0.0064")

    def test_minimum_and_fee_are_converted_with_it(self) -> None:
        lifted = self.SOLD.changed(minimum_charge=parse_nano("0.02"), rounding=Rounding.DOWN)
        assert charge(lifted, 7).amount == parse_nano("0.0217")  # 0.021706
        fee = self.SOLD.changed(connect_fee=parse_nano("0.01"), rounding=Rounding.HALF_UP)
        assert charge(fee, 7).amount == parse_nano("0.0172")  # 0.0158333... EUR, 0.01718391...

    def test_the_quota_is_its_inverse(self) -> None:
        money = parse_nano("1.00")
        seconds = quota(self.SOLD, money, 14_400)
        assert seconds == 1105  # 1 USD / 1.0853 / 0.05 * 60 = 1105.68...
        assert charge(self.SOLD, seconds).amount <= money < charge(self.SOLD, seconds + 1).amount


class TestMargin:
    """Sold at 0.05 EUR charged as USD, bought at 0.05 USD less what a test says."""

    SOLD = EUR.changed(decimals=9, conversion=Conversion("EUR", "USD", parse_nano("1.1"), 0, NEVER, "main"))
    BOUGHT = EUR.changed(currency="USD", decimals=9, rate=parse_nano("0.055"))

    @pytest.mark.parametrize(("rate", "holds"), [("0.055", True), ("0.055000001", False)])
    def test_both_are_compared_in_the_currency_that_is_charged(self, rate: str, holds: bool) -> None:
        assert margin_holds(self.SOLD, self.BOUGHT.changed(rate=parse_nano(rate)), 60, 0, None) is holds

    @pytest.mark.parametrize(("rate", "holds"), [("1.25", True), ("1.250000001", False)])
    def test_a_cost_in_another_is_compared_at_the_exact_rate(self, rate: str, holds: bool) -> None:
        bought = EUR.changed(currency="GBP", decimals=9, rate=parse_nano("0.044"))
        conversion = Conversion("GBP", "USD", parse_nano(rate), 0, NEVER, "main")
        assert margin_holds(self.SOLD, bought, 60, 0, 0, conversion) is holds
