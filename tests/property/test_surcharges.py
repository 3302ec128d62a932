"""Surcharges are part of the tariff: quota stays the exact inverse of charge, and nothing else is added."""

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from daemon.kernel.money import NANO, Rounding
from daemon.rating.charge import charge, costs_money, first_paid_second
from daemon.rating.conversion import Conversion
from daemon.rating.quota import quota
from daemon.rating.tariff import Rates, Step, Tariff, Tier

CENT = NANO // 100
CAP = 7_200


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    """Return a tariff of one rate or of two steps, in the currency of the charge or another, with surcharges."""
    rate, later = draw(st.integers(0, 200 * CENT)), draw(st.integers(0, 200 * CENT))
    following = draw(st.sampled_from([1, 6, 60]))
    steps = (Step(0, rate, following), Step(90, later, 1))
    rates = (Rates("", (Tier(0, steps),)),) if draw(st.booleans()) else ()
    conversion = (
        Conversion("EUR", "USD", draw(st.integers(1, 3 * NANO)), 0, 1 << 60, "main") if draw(st.booleans()) else None
    )
    return Tariff(
        "t", 1, "44", "UK", "EUR" if conversion is not None else "USD", rate=rate,
        connect_fee=draw(st.integers(0, 10 * CENT)), first_seconds=draw(st.sampled_from([1, 30, 60])),
        next_seconds=following, free_seconds=draw(st.sampled_from([0, 5])),
        included_seconds=draw(st.sampled_from([0, 0, 20])), minimum_charge=draw(st.sampled_from([0, 0, 15 * CENT])),
        decimals=draw(st.sampled_from([2, 4, 9])), rounding=draw(st.sampled_from(list(Rounding))), alternatives=rates,
        conversion=conversion, surcharge=draw(st.integers(0, 50 * CENT)),
        surcharge_rate=draw(st.sampled_from([0, 1, 7 * CENT, 60 * CENT])),
    )  # fmt: skip


@given(tariff=tariffs(), money=st.integers(0, 40 * NANO), units=st.sampled_from([0, 0, 45]))
def test_quota_is_the_exact_inverse(tariff: Tariff, money: int, units: int) -> None:
    seconds = quota(tariff, money, CAP, units)
    if charge(tariff, first_paid_second(tariff, units), units).amount > money:
        assert seconds < first_paid_second(tariff, units)
        return
    assert charge(tariff, seconds, units).amount <= money
    if seconds < CAP:
        assert charge(tariff, seconds + 1, units).amount > money


@given(tariff=tariffs(), seconds=st.integers(1, 600))
def test_a_call_costs_its_surcharges_more(tariff: Tariff, seconds: int) -> None:
    assume(not tariff.minimum_charge)
    bare = tariff.changed(surcharge=0, surcharge_rate=0)
    with_it, without = charge(tariff, seconds), charge(bare, seconds)
    assert with_it.billed_seconds == without.billed_seconds
    if not costs_money(tariff, seconds, 0):
        assert with_it == without
        return
    added = tariff.surcharge + Fraction(with_it.billed_seconds * tariff.surcharge_rate, 60)
    assert abs(with_it.amount - without.amount - added) <= 10 ** (9 - tariff.decimals)


@given(tariff=tariffs(), seconds=st.integers(1, 600))
def test_only_what_is_added_to_the_rate_counts_towards_the_minimum(tariff: Tariff, seconds: int) -> None:
    assume(tariff.conversion is None and not tariff.alternatives and costs_money(tariff, seconds, 0))
    dearer = tariff.changed(rate=tariff.rate + tariff.surcharge_rate, surcharge=0, surcharge_rate=0, decimals=9)
    exact = tariff.changed(decimals=9)
    # Half a nano-unit may go to the even one on either side.
    assert abs(charge(exact, seconds).amount - charge(dearer, seconds).amount - tariff.surcharge) <= 1
