"""The way to a price in words: every table that was asked, the band and why, mark-ups, own prices, blocks, rounding."""

from decimal import Decimal
from pathlib import Path

import pytest

from daemon.app_prices import Question
from daemon.authorize.catalog import Catalog
from daemon.cli.price_steps import band_words, price_lines
from daemon.cli.rate import price_value
from daemon.kernel.instant import INSTANT_MAX, parse_rfc3339
from daemon.rating.rate_table import Policy
from daemon.rating.tariff import Gap
from tests.tables.prices_world import catalog_of, priced

SCENARIO = Path(__file__).resolve().parents[2] / "tables" / "prices" / "scenario.toml"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_of(SCENARIO)


def lines(
    catalog: Catalog, plan: str, number: str, seconds: str = "60", at: str = "2026-11-26T15:00:00Z", **more: str
) -> list[str]:
    volume = int(more.pop("volume", "0"))
    question = Question(plan, number, Decimal(seconds), parse_rfc3339(at), volume=volume, **more)
    return [f"{label}: {words}" for label, words in price_lines(priced(catalog, question), question)]


def test_mark_ups_are_told_step_by_step(catalog: Catalog) -> None:
    found = lines(catalog, "top", "39061234567")
    assert found[1:] == [
        "table: top: no prefix of it fits",
        "table: base: prefix 39 (Italy), 0.3972 USD a minute",
        "row: prefix 39 (Italy), 0.30 USD a minute: the longest of base, version 1",
        "mark-up: plus 10.00 percent plus 0.001: 0.331 USD a minute, connect fee 0.11",
        "mark-up: plus 20.00 percent, at least 0.02: 0.3972 USD a minute, connect fee 0.132",
        "rate: prefix 39 (Italy), 0.3972 USD a minute, 1/1, of base, version 1",
        "duration: 60 s, rounded up = 60 s",
        "billed: 60 s: 1 + ceil((60 - 1) / 1) * 1 = 1 + 59 * 1",
        "connect fee: 0.132",
        "from second 0: 60 s * 0.3972 / 60 = 0.3972",
        "rounding: 0.00 (up at 4 places)",
        "charge: 0.5292 USD",
    ]
    minimum = "mark-up: plus 20.00 percent, at least 0.02: 0.076 USD a minute, minimum charge 0.66"
    assert minimum in lines(catalog, "top", "3221234567")


def test_the_band_is_told_with_its_reason(catalog: Catalog) -> None:
    found = lines(catalog, "by-block", "441632960000", "120", "2026-11-27T00:59:00Z")
    assert "band: Thu 2026-11-26 19:59 in America/New_York: peak" in found
    assert "steps: band peak, from second 0 0.06 USD a minute by 1" in found
    assert [line for line in found if line.startswith("split")] == ["split: from second 60 on: all other time"]
    assert "from second 0: 60 s * 0.06 / 60 = 0.06 (peak)" in found
    holiday = lines(catalog, "by-start", "441632960000", at="2026-12-25T15:00:00Z")
    assert "band: Fri 2026-12-25 10:00 in America/New_York, a holiday of night, peak: all other time" in holiday


def test_a_call_goes_on_through_a_time_without_rates(catalog: Catalog) -> None:
    found = lines(catalog, "by-block", "4930123456", "120", "2026-11-27T00:59:00Z")
    assert "split: from second 60 on: a time without rates" in found


def test_a_time_without_a_band_is_told(catalog: Catalog) -> None:
    found = lines(catalog, "by-start", "4930123456", at="2026-11-28T15:00:00Z")
    assert found[1:] == [
        "table: by-start: prefix 49 (Germany), without a rate for this time",
        "row: prefix 49 (Germany), without a rate for this time: the longest of by-start, version 1",
        "band: Sat 2026-11-28 10:00 in America/New_York: no band of prefix 49 holds this time",
    ]


def test_steps_and_tiers_are_told(catalog: Catalog) -> None:
    steps = lines(catalog, "steps", "4312345678", "41")
    assert "steps: from second 0 0.06 USD a minute by 1, then from second 30 0.12 USD a minute by 10" in steps
    tiers = lines(catalog, "graduated", "441632960000", volume="570")
    assert "tier: from 0 on, since the period had used 570 before; tiers are graduated" in tiers
    assert "steps: 30 units into the call, from second 0 0.03 USD a minute by 1" in tiers
    assert "billed: 60 s: 1 s, then each block at the price of where it begins" in tiers


def test_tables_that_are_not_asked_say_why(catalog: Catalog) -> None:
    found = lines(catalog, "services", "441632960000", "3", override="SMS", rate_type="per_message")
    assert "table: voice: not asked, its override ^VOICE$ does not fit SMS" in found
    assert "table: sms: prefix 44 (UK), 0.02 USD a message" in found
    assert "table: rest: not asked, an earlier table of the name usage fits SMS" in found
    assert "quantity: 3 units, rounded up = 3 units" in found
    assert "from unit 0: 3 units * 0.02 / 1 = 0.06" in found
    assert (
        "call: 3 of per_message to 441632960000 by plan services, answered 2026-11-26T15:00:00.000000Z, override SMS"
        in found
    )


def test_usage_without_a_number_is_found_by_its_rate_type(catalog: Catalog) -> None:
    found = lines(catalog, "types", "", "2500000", rate_type="data")
    assert "table: types: rate type data (Data), 0.01 USD for 1000000 bytes" in found
    assert "charge: 0.025 USD" in found


def test_on_net_and_an_accounts_own_price_are_told(catalog: Catalog) -> None:
    found = lines(catalog, "retail", "442079460000", account="acme")
    assert "on-net: 442079460000 is a number of the tenant's own" in found
    assert "table: on-net (on-net): prefix 44 (UK on-net), 0.001 USD a minute" in found
    assert "table: retail: not asked, a table for the tenant's own numbers decided" in found
    beaten = "in place of prefix 44 (UK on-net), 0.001 USD a minute"
    assert f"override: the account's own price for 442 is 0.01 USD a minute {beaten}" in found
    alone = lines(catalog, "retail", "88112345678", "30", account="acme")
    assert "override: the account's own price for 881 is 0.70 USD a minute, where the plan has none" in alone
    unmoved = lines(catalog, "retail", "441612345678", account="acme")
    assert not any(line.startswith("override") for line in unmoved)


def test_what_a_class_of_service_does_is_told(catalog: Catalog) -> None:
    assert lines(catalog, "retail", "33142685300", account="lobby")[-1] == "class: british blocks every number"
    assert lines(catalog, "retail", "449091234567", account="desk")[-1] == "class: no-premium blocks 44909"
    found = lines(catalog, "retail", "19005551234", account="chief")
    assert "table: retail: prefix 1900 (Premium), blocked" in found
    assert "class: everything lets 1900 through" in found


def test_json_joins_neighbours_of_one_rate_and_band(catalog: Catalog) -> None:
    question = Question("by-block", "39061234567", Decimal(121), parse_rfc3339("2026-11-27T00:59:30Z"))
    value = price_value(priced(catalog, question))
    assert [(block["from_second"], block["seconds"], block["rate"], block["band"]) for block in value["blocks"]] == [
        (0, 60, "0.06", "peak"), (60, 120, "0.03", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("UTC", "Fri 9999-12-31 23:59 in UTC"),
        ("Asia/Tokyo", "Sat 10000-01-01 08:59 in Asia/Tokyo"),
        ("America/New_York", "Fri 9999-12-31 18:59 in America/New_York"),
    ],
)
def test_the_last_instant_of_all_has_a_day_in_every_zone(zone: str, words: str) -> None:
    gap = Gap("t", "44", "UK")
    found = band_words(Policy("t", 1, "USD", zone=zone), gap, INSTANT_MAX)
    assert found == f"{words}: no band of prefix 44 holds this time"


def test_a_call_that_lasts_beyond_the_last_instant_is_priced(catalog: Catalog) -> None:
    found = lines(catalog, "by-block", "441632960000", "1000000", "9999-12-31T23:59:59Z")
    assert "band: Fri 9999-12-31 18:59 in America/New_York: peak" in found
    assert found[-1].startswith("charge: ")
