"""Where a scenario meets another currency: a stated rate makes it good, and each lack is told at its line."""

from pathlib import Path

import pytest

from daemon.charging.configuration import ConversionSpec
from daemon.config_files import currency_checks
from daemon.config_files.positions import Problem
from daemon.config_files.scenario_file import Scenario, read_scenario
from daemon.kernel.instant import Instant, parse_rfc3339
from daemon.kernel.money import parse_nano

# Line numbers of the faults below count in this text.
BASE = """\
[[tenant]]
id = "main"
currency = "USD"
[[tenant]]
id = "ray"
parent = "main"
account = "trunk"
currency = "EUR"
[[rate_table]]
id = "retail"
tenant = "main"
currency = "EUR"
[[rate_table]]
id = "buy"
tenant = "main"
currency = "GBP"
[[rate_table]]
id = "rays"
tenant = "ray"
currency = "EUR"
[[rate_plan]]
id = "retail"
tenant = "main"
tables = ["retail"]
[[rate_plan]]
id = "rays"
tenant = "ray"
tables = ["rays"]
[[carrier]]
id = "carrier-a"
tenant = "main"
rate_table = "buy"
dial = "{number}"
[[account]]
id = "trunk"
tenant = "main"
kind = "postpaid"
credit_limit = "100.00"
currency = "USD"
rate_plan = "retail"
[[account]]
id = "rita"
tenant = "ray"
kind = "prepaid"
currency = "EUR"
rate_plan = "rays"
"""
RATES = (("EUR", "USD", "1.085"), ("USD", "EUR", "0.915"), ("GBP", "USD", "1.27"))
NOW: Instant = parse_rfc3339("2026-11-24T12:00:00Z")


def rate(source: str, target: str, worth: str, dates: str = 'effective_from = "2026-01-01T00:00:00Z"') -> str:
    return f'[[conversion]]\nfrom = "{source}"\nto = "{target}"\nrate = "{worth}"\n{dates}\n'


STATED = "".join(rate(*each) for each in RATES)


def read(folder: Path, text: str, now: Instant | None = None) -> tuple[Scenario | None, list[Problem]]:
    (folder / "scenario.toml").write_text(text)
    return read_scenario(folder / "scenario.toml", now=now)


def told(folder: Path, text: str, now: Instant | None = None) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.key, problem.message) for problem in read(folder, text, now)[1]]


def test_stated_rates_become_values_and_make_the_chain_good(tmp_path: Path) -> None:
    scenario, problems = read(tmp_path, BASE + STATED, NOW)
    assert problems == []
    assert scenario is not None
    begins = parse_rfc3339("2026-01-01T00:00:00Z")
    assert scenario.conversions[0] == ConversionSpec("main", "EUR", "USD", parse_nano("1.085"), begins)
    assert scenario.conversions[0].id == "EUR-USD-2026-01-01T00:00:00.000000Z"
    assert scenario.conversions[0] in scenario.objects


@pytest.mark.parametrize(
    ("lacking", "line", "key", "message"),
    [
        ("EUR", 40, "account[trunk].rate_plan", "asks retail, which is priced in EUR, and the account is kept in USD"),
        ("USD", 8, "tenant[ray].currency", "is EUR, and the account with main in line 34 is USD"),
        ("GBP", 32, "carrier[carrier-a].rate_table", "is priced in GBP, and tenant main keeps USD"),
    ],
)
def test_each_meeting_needs_its_pair(tmp_path: Path, lacking: str, line: int, key: str, message: str) -> None:
    stated = "".join(rate(*each) for each in RATES if each[0] != lacking)
    [(at, where, what)] = told(tmp_path, BASE + stated)
    assert (at, where) == (line, key)
    assert what.startswith(message)
    target = next(each[1] for each in RATES if each[0] == lacking)
    assert f'add a [[conversion]] from = "{lacking}", to = "{target}"' in what


def test_the_inverse_is_not_turned_round(tmp_path: Path) -> None:
    stated = "".join(rate(*each) for each in RATES if each[0] != "EUR")
    [(_, _, what)] = told(tmp_path, BASE + stated)
    assert what.endswith("(the one in line 47 is the other direction, and is not turned round)")


def test_a_tenant_below_has_those_above_and_its_own_alone_serve_no_other(tmp_path: Path) -> None:
    assert told(tmp_path, BASE + STATED) == []
    own = "".join(rate(*each) for each in RATES if each[0] != "EUR")
    text = BASE + own + rate("EUR", "USD", "1.085").replace("\n", '\ntenant = "ray"\n', 1)
    assert [where for _, where, _ in told(tmp_path, text)] == ["account[trunk].rate_plan"]


@pytest.mark.parametrize(
    ("dates", "good"),
    [
        ('effective_from = "2026-11-24T12:00:00Z"', True),
        ('effective_from = "2026-11-24T12:00:01Z"', False),
        ('effective_from = "2026-01-01T00:00:00Z"\neffective_to = "2026-11-24T12:00:00Z"', False),
        ('effective_from = "2026-01-01T00:00:00Z"\neffective_to = "2026-11-24T12:00:01Z"', True),
    ],
)
def test_a_rate_has_to_be_in_force_when_it_is_read(tmp_path: Path, dates: str, good: bool) -> None:
    text = BASE + rate("EUR", "USD", "1.085", dates) + "".join(rate(*each) for each in RATES[1:])
    assert told(tmp_path, text) == []  # at no instant in particular it is only to be stated
    found = told(tmp_path, text, NOW)
    assert (found == []) is good
    if not good:
        assert "no rate from EUR to USD is in force now (2026-11-24T12:00:00" in found[0][2]
        assert found[0][2].endswith("add a [[conversion]] beside that in line 47")


def test_what_cannot_be_read_is_not_called_missing(tmp_path: Path) -> None:
    text = BASE + STATED.replace('from = "GBP"', 'from = "gbp"')
    assert [where for _, where, _ in told(tmp_path, text, NOW)] == ["conversion[2].from"]
    text = BASE + STATED.replace('rate = "1.27"', 'rate = "-1.27"')
    assert [where for _, where, _ in told(tmp_path, text, NOW)] == ["conversion[2].rate"]


def test_an_account_in_a_third_currency_needs_its_own_pairs(tmp_path: Path) -> None:
    third = '[[account]]\nid = "{}"\ntenant = "{}"\nkind = "prepaid"\ncurrency = "CHF"\n'
    found = told(tmp_path, BASE + third.format("carl", "main") + third.format("rolf", "ray") + STATED)
    assert [where for _, where, _ in found] == ["account[carl].currency", "account[rolf].currency"]
    assert "a carrier of the owner is paid in GBP; no rate from GBP to CHF" in found[0][2]
    assert "tenant ray is charged in USD; no rate from USD to CHF" in found[1][2]


MIXED = (
    BASE.replace('tables = ["retail"]', 'tables = ["retail", "dollars"]')
    + '[[rate_table]]\nid = "dollars"\ntenant = "main"\ncurrency = "USD"\n'
    + STATED
)


def test_a_plan_may_have_tables_in_several_currencies(tmp_path: Path) -> None:
    assert told(tmp_path, MIXED, NOW) == []


def test_an_amount_is_added_to_prices_in_one_currency_alone(tmp_path: Path) -> None:
    plan = '[[rate_plan]]\nid = "more"\ntenant = "main"\ninherits = "retail"\n{} = "{}"\n'
    assert told(tmp_path, MIXED + plan.format("markup_percent", "5")) == []
    for name in ("markup_per_minute", "markup_minimum"):
        [(_, where, what)] = told(tmp_path, MIXED + plan.format(name, "0.01"))
        assert where == f"rate_plan[more].{name}"
        assert what.startswith("is an amount, and what is inherited is priced in EUR and USD")
        assert told(tmp_path, BASE + STATED + plan.format(name, "0.01")) == []


def test_an_account_with_prices_of_its_own_has_plans_in_one_currency(tmp_path: Path) -> None:
    overrides = 'overrides = [{ prefix = "44", rate = "0.01" }]\n'
    text = MIXED.replace('rate_plan = "retail"\n', 'rate_plan = "retail"\n' + overrides)
    [(_, where, what)] = told(tmp_path, text)
    assert where == "account[trunk].overrides"
    assert "priced in EUR and USD" in what
    one = BASE.replace('rate_plan = "retail"\n', 'rate_plan = [{ plan = "retail" }]\n' + overrides)
    assert told(tmp_path, one + STATED) == []


def test_a_pair_has_so_many_rates_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(currency_checks, "PAIR_RATES_MAX", 1)
    later = rate("EUR", "USD", "1.09", 'effective_from = "2027-01-01T00:00:00Z"')
    [(_, where, what)] = told(tmp_path, BASE + STATED + later)
    assert where == "conversion[3]"
    assert "more than 1 rates of a pair" in what


def test_rates_of_the_store_count_where_it_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text(BASE)
    path, begins = tmp_path / "scenario.toml", parse_rfc3339("2026-01-01T00:00:00Z")
    stored = [ConversionSpec("main", source, target, parse_nano(worth), begins) for source, target, worth in RATES]
    assert read_scenario(path, now=NOW, conversions=stored)[1] == []
    alone = read_scenario(path, now=NOW)[1]
    assert all("'tollway apply' counts the rates of the store too" in problem.message for problem in alone)
    lacking = read_scenario(path, now=NOW, conversions=stored[1:])[1]
    assert "account[trunk].rate_plan" in [problem.key for problem in lacking]
    assert not any("in this file" in problem.message for problem in lacking)
    ended = [*stored[1:], ConversionSpec("main", "EUR", "USD", 1, begins, begins + 1)]
    over = read_scenario(path, now=NOW, conversions=ended)[1]
    assert any("beside those of the store" in problem.message for problem in over)
