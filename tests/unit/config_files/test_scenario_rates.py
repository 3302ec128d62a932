"""What a scenario says of prices: good keys become values, and each kind of fault is told once, at its line and key."""

from pathlib import Path

import pytest

from daemon.charging.configuration import (
    BundleSpec,
    ClassOfServiceSpec,
    CodeListSpec,
    DestinationGroupSpec,
    OverrideSpec,
    RatePlanSpec,
    RateTableSpec,
    RateTypeSpec,
    TimeBandSpec,
)
from daemon.config_files import rate_checks
from daemon.config_files.positions import Problem
from daemon.config_files.scenario_file import Scenario, read_scenario
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO

# Line numbers of the faults below count in this text.
BASE = """\
[[tenant]]
id = "main"
currency = "USD"

[[time_band]]
id = "peak"
tenant = "main"
intervals = ["mon-fri 08:00-20:00"]
holidays = ["2026-12-25"]

[[rate_type]]
id = "toll-free"
tenant = "main"

[[rate_type]]
id = "data"
tenant = "main"
unit = "byte"

[[code_list]]
id = "standard"
tenant = "main"
file = "codes.csv"
standard = true

[[code_list]]
id = "own"
tenant = "main"
file = "own.csv"

[[destination_group]]
id = "premium"
tenant = "main"
prefixes = ["1900"]
destinations = ["France"]

[[rate_table]]
id = "voice"
tenant = "main"
currency = "USD"
deck = "voice.csv"
name = "retail"
override = "^VOICE$"
split_bands = true
tiers = "whole"
tier_period = "week"
rate_types = { "Toll-free Canada" = "toll-free", "Message" = "per_message" }
code_list = "own"

[[rate_table]]
id = "sms"
tenant = "main"
currency = "USD"
name = "retail"
override = "^SMS$"

[[rate_plan]]
id = "base"
tenant = "main"
tables = ["voice", "sms"]

[[rate_plan]]
id = "retail"
tenant = "main"
inherits = "base"
markup_percent = "10"
markup_per_minute = "0.001"
markup_minimum = "0.002"
on_net = ["voice"]

[[class_of_service]]
id = "office"
tenant = "main"
allow = ["+4420"]
block = ["*"]
block_groups = ["premium"]

[[account]]
id = "acme"
tenant = "main"
kind = "prepaid"
currency = "USD"
rate_plan = "retail"
class_of_service = "office"
overrides = [{ prefix = "+4420", rate = "0.0080" }]

[[bundle]]
id = "uk"
account = "acme"
units = 30000
rollover = true
prefixes = ["44"]
group = "premium"
"""
CODES, OWN = "prefix,destination\n33,France\n49,Germany\n", "prefix,destination\n44,UK\n447,UK mobile\n"
DECK = "prefix,destination,rate,time_band,rate_type\n44,,0.01,peak,\n44,,0.005,,\n,UK mobile,0.02,,\n,,0.1,,Message\n"


def read(
    tmp_path: Path, text: str, deck: str = DECK, codes: str = CODES, own: str = OWN
) -> tuple[Scenario | None, list[Problem]]:
    (tmp_path / "scenario.toml").write_text(text)
    for name, content in (("voice.csv", deck), ("codes.csv", codes), ("own.csv", own)):
        (tmp_path / name).write_text(content)
    return read_scenario(tmp_path / "scenario.toml")


def good(tmp_path: Path, text: str = BASE) -> Scenario:
    scenario, problems = read(tmp_path, text)
    assert problems == []
    assert scenario is not None
    return scenario


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1, old
    return BASE.replace(old, new)


def test_every_key_becomes_its_value(tmp_path: Path) -> None:
    scenario = good(tmp_path)
    assert scenario.time_bands == (TimeBandSpec("main", "peak", ("mon-fri 08:00-20:00",), ("2026-12-25",)),)
    assert scenario.rate_types == (
        RateTypeSpec("main", "toll-free", "second", 60), RateTypeSpec("main", "data", "byte", 1),
    )  # fmt: skip
    assert scenario.code_lists == (
        CodeListSpec("main", "standard", (("33", "France"), ("49", "Germany")), True),
        CodeListSpec("main", "own", (("44", "UK"), ("447", "UK mobile")), False),
    )
    assert scenario.destination_groups == (DestinationGroupSpec("main", "premium", ("1900",), ("France",)),)
    assert scenario.rate_tables[0] == RateTableSpec(
        "main", "voice", "USD", split_bands=True, name="retail", override="^VOICE$", tiers="whole", tier_period="week",
        rate_types=(("Message", "per_message"), ("Toll-free Canada", "toll-free")), code_list="own",
    )  # fmt: skip
    assert scenario.rate_plans == (
        RatePlanSpec("main", "base", ("voice", "sms")),
        RatePlanSpec("main", "retail", (), "base", 10 * NANO, NANO // 1000, NANO // 500, ("voice",)),
    )
    assert scenario.classes_of_service == (ClassOfServiceSpec("main", "office", ("4420",), ("*",), (), ("premium",)),)
    [acme] = scenario.accounts
    assert (acme.class_of_service, acme.overrides) == ("office", (OverrideSpec("4420", NANO // 125),))
    assert scenario.bundles == (
        BundleSpec("main", "uk", "acme", 30_000, rollover=True, prefixes=("44",), group="premium"),
    )
    kinds = [type(each).__name__ for each in scenario.objects]
    assert kinds.index("CodeListSpec") < kinds.index("RateTableSpec") < kinds.index("RatePlanSpec")
    assert kinds.index("ClassOfServiceSpec") < kinds.index("AccountSpec") < kinds.index("BundleSpec")


def test_a_deck_is_written_out_by_the_list_of_its_table(tmp_path: Path) -> None:
    rows = good(tmp_path).decks[Key("main", "voice")]
    named = [(row.prefix, row.destination, row.line) for row in rows]
    assert named == [("44", "UK", 2), ("44", "UK", 3), ("447", "UK mobile", 4), ("", "", 5)]


def test_a_table_without_a_list_of_its_own_has_the_standard_one(tmp_path: Path) -> None:
    text = changed('code_list = "own"\n', "")
    rows = good_deck(tmp_path, text, "prefix,destination,rate\n,Germany,0.01\n4420,,0.02\n")
    assert rows == [("49", "Germany"), ("4420", "")]
    [problem] = read(tmp_path, text, "prefix,destination,rate\n,UK,0.01\n")[1]
    assert (problem.file, problem.line, problem.key) == (str(tmp_path / "voice.csv"), 2, "destination")
    assert "is no destination of code list standard" in problem.message


def good_deck(tmp_path: Path, text: str, deck: str) -> list[tuple[str, str]]:
    scenario, problems = read(tmp_path, text, deck)
    assert problems == []
    assert scenario is not None
    return [(row.prefix, row.destination) for row in scenario.decks[Key("main", "voice")]]


def test_a_bundle_is_of_the_tenant_of_its_only_account(tmp_path: Path) -> None:
    reseller = (
        '\n[[tenant]]\nid = "sub"\nparent = "main"\naccount = "acme"\ncurrency = "USD"\n[[account]]\nid = "erin"\n'
        'tenant = "sub"\nkind = "prepaid"\ncurrency = "USD"\n[[bundle]]\nid = "mine"\naccount = "erin"\nunits = 1\n'
    )
    assert good(tmp_path, BASE + reseller).bundles[1] == BundleSpec("sub", "mine", "erin", 1)
    # Where the owner has an account of this id too, it is the owner's.
    both = BASE + reseller.replace('"erin"', '"acme"')
    assert good(tmp_path, both).bundles[1] == BundleSpec("main", "mine", "acme", 1)


def test_a_holiday_may_be_a_date_of_toml(tmp_path: Path) -> None:
    assert good(tmp_path, changed('["2026-12-25"]', "[2026-12-25]")).time_bands[0].holidays == ("2026-12-25",)


PLAN = 'inherits = "base"'  # line 63 of BASE
BAND = 'intervals = ["mon-fri 08:00-20:00"]'
ACCOUNT = 'overrides = [{ prefix = "+4420", rate = "0.0080" }]'

# what replaces what in BASE, line, key, a piece of the message
FAULTS = [
    # time bands
    (BAND, 'intervals = ["mon-fri 8-20"]', 8, "time_band[peak].intervals[0]", "is no interval"),
    (BAND, 'intervals = ["mon 08:00-24:01"]', 8, "time_band[peak].intervals[0]", "past 24:00"),
    (BAND, 'intervals = ["mon 08:00-08:00"]', 8, "time_band[peak].intervals[0]", "ends where it begins"),
    (BAND, 'intervals = ["monday 08:00-09:00"]', 8, "time_band[peak].intervals[0]", "no such day"),
    (BAND, 'intervals = ["mon,mon 08:00-09:00"]', 8, "time_band[peak].intervals[0]", "a day twice"),
    (BAND, "intervals = []", 8, "time_band[peak].intervals", "write 1 to 100"),
    (BAND + "\n", "", 5, "time_band[peak].intervals", "is missing"),
    ('["2026-12-25"]', '["2026-02-30"]', 9, "time_band[peak].holidays[0]", "no day of the calendar"),
    ('["2026-12-25"]', '["25.12.2026"]', 9, "time_band[peak].holidays[0]", "is no day such as"),
    ('["2026-12-25"]', '["1969-12-25"]', 9, "time_band[peak].holidays[0]", "before 1970"),
    ('["2026-12-25"]', "[2026-12-25T00:00:00Z]", 9, "time_band[peak].holidays[0]", "write a text"),
    # rate types
    ('unit = "byte"', 'unit = "giga byte"', 18, "rate_type[data].unit", "is no unit"),
    ('unit = "byte"', "per = 0", 18, "rate_type[data].per", "from 1 to"),
    ('id = "data"', 'id = "per_minute"', 16, "rate_type[per_minute].id", "is built in"),
    # code lists and groups
    ('file = "own.csv"', 'file = "absent.csv"', 29, "code_list[own].file", "cannot be read"),
    ('file = "own.csv"', 'file = "own.csv"\nstandard = true', 30, "code_list[own].standard", "one standard code list"),
    ("standard = true", "standard = false", 35, "destination_group[premium].destinations",
     "needs a standard code list"),
    ('destinations = ["France"]', 'destinations = ["Frence"]', 35, "destination_group[premium].destinations[0]",
     "did you mean 'France'?"),
    ('destinations = ["France"]', 'destinations = ["Atlantis"]', 35, "destination_group[premium].destinations[0]",
     "as the list does"),
    ('prefixes = ["1900"]\ndestinations = ["France"]', "", 31, "destination_group[premium]", "holds no number"),
    ('prefixes = ["1900"]', 'prefixes = ["19x0"]', 34, "destination_group[premium].prefixes[0]", "18 digits"),
    # tables
    ('override = "^VOICE$"', 'override = "(VOICE"', 43, "rate_table[voice].override", "is no regular expression"),
    ('override = "^VOICE$"', 'override = "(V+)+$"', 43, "rate_table[voice].override", "repeats a group"),
    ('override = "^VOICE$"', 'override = "a*b*c*d*"', 43, "rate_table[voice].override", "has 4 repetitions"),
    ('override = "^VOICE$"', f'override = "{"V" * 129}"', 43, "rate_table[voice].override", "at most 128"),
    ('tiers = "whole"', 'tiers = "stepped"', 45, "rate_table[voice].tiers", "is not one of graduated, whole"),
    ('tiers = "whole"\n', "", 45, "rate_table[voice].tier_period", "belongs to tiers"),
    ('tier_period = "week"', 'tier_period = "fortnight"', 46, "rate_table[voice].tier_period", "is not one of day"),
    ('"Toll-free Canada" = "toll-free"', '"Toll-free Canada" = "tolls-free"', 47,
     "rate_table[voice].rate_types.Toll-free Canada", "did you mean toll-free?"),
    ('{ "Toll-free Canada" = "toll-free", "Message" = "per_message" }', '"per_message"', 47,
     "rate_table[voice].rate_types", "write a table"),
    ('{ "Toll-free Canada" = "toll-free", "Message" = "per_message" }', '{ "" = "per_message" }', 47,
     "rate_table[voice].rate_types.", "is no text of 1 to 64"),
    ('code_list = "own"', 'code_list = "mine"', 48, "rate_table[voice].code_list", "there is no code_list mine"),
    # plans
    (PLAN, 'inherits = "basic"', 65, "rate_plan[retail].inherits", "did you mean base?"),
    (PLAN, 'inherits = "retail"', 65, "rate_plan[retail].inherits", "retail -> retail"),
    (PLAN + '\nmarkup_percent = "10"\nmarkup_per_minute = "0.001"', 'tables = ["voice"]', 66,
     "rate_plan[retail].markup_minimum", "inherits none"),
    ('markup_percent = "10"', 'markup_percent = "1001"', 66, "rate_plan[retail].markup_percent", 'to "1000"'),
    ('markup_minimum = "0.002"', 'markup_minimum = "-1"', 68, "rate_plan[retail].markup_minimum", "is negative"),
    ('on_net = ["voice"]', 'on_net = ["vioce"]', 69, "rate_plan[retail].on_net[0]", "did you mean voice?"),
    ('tables = ["voice", "sms"]', 'tables = ["sms", "sms"]', 60, "rate_plan[base].tables[1]", "twice"),
    ('override = "^SMS$"', 'override = "^VOICE$"', 60, "rate_plan[base].tables[1]", "the same override values"),
    ('override = "^VOICE$"', 'override = ""', 60, "rate_plan[base].tables[1]", "any override value before it"),
    # classes of service and an account's own prices
    ('block = ["*"]', 'block = ["**"]', 75, "class_of_service[office].block[0]", "18 digits"),
    ('block = ["*"]', 'block = ["4420"]', 75, "class_of_service[office].block[0]", "stands in allow too"),
    ('block_groups = ["premium"]', 'block_groups = ["premium"]\nallow_groups = ["premium"]', 76,
     "class_of_service[office].block_groups[0]", "stands in allow_groups too"),
    ('block_groups = ["premium"]', 'allow_groups = ["prem"]', 76, "class_of_service[office].allow_groups[0]",
     "did you mean premium?"),
    ('class_of_service = "office"', 'class_of_service = "ofice"', 84, "account[acme].class_of_service",
     "did you mean office?"),
    (ACCOUNT, 'overrides = [{ prefix = "44", rate = "-1" }]', 85, "account[acme].overrides[0].rate", "is negative"),
    (ACCOUNT, 'overrides = [{ prefix = "44" }]', 85, "account[acme].overrides[0].rate", "is missing"),
    (ACCOUNT, 'overrides = [{ prefix = "44", rate = "1" },\n{ prefix = "+44", rate = "2" }]', 86,
     "account[acme].overrides[1].prefix", "in this list before"),
    # bundles
    ('account = "acme"', 'account = "acne"', 89, "bundle[uk].account", "did you mean acme?"),
    ("units = 30000", "units = 0", 90, "bundle[uk].units", "from 1 to"),
    ("units = 30000", "units = 30000\nperiod = \"once\"", 91, "bundle[uk].period", "leave units and rollover out"),
    ("rollover = true", 'unit = "parsec"', 91, "bundle[uk].unit", "is counted by no rate type"),
    ("rollover = true", 'period = "fortnight"', 91, "bundle[uk].period", "is not one of day"),
    ('group = "premium"', 'group = "premiums"', 93, "bundle[uk].group", "did you mean premium?"),
    ('account = "acme"', 'account = "acme"\ntenant = "mine"', 90, "bundle[uk].tenant", "there is no tenant mine"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), FAULTS)
def test_one_fault(tmp_path: Path, old: str, new: str, line: int, key: str, message: str) -> None:
    scenario, problems = read(tmp_path, changed(old, new))
    assert scenario is None
    assert [(problem.line, problem.key) for problem in problems] == [(line, key)], problems
    assert message in problems[0].message


DECK_FAULTS = [
    ("prefix,rate,time_band\n44,0.01,peek\n", 2, "the time band 'peek' is not declared; declared are peak"),
    ("prefix,rate,rate_type\n44,0.01,Messages\n", 2, "the rate type 'Messages' is not declared"),
    ("prefix,rate,currency\n44,0.01,EUR\n", 2, "the row is in EUR, the table in USD"),
    ("prefix,rate,step_from_seconds\n44,0.01,60\n", 2, "has no row for second 0"),
    ("prefix,destination,rate\n44,,0.01\n,UK,0.02\n", 3, "two rows for second 0 of one version"),
]


@pytest.mark.parametrize(("deck", "line", "message"), DECK_FAULTS)
def test_a_deck_is_checked_by_what_its_table_says(tmp_path: Path, deck: str, line: int, message: str) -> None:
    [problem] = read(tmp_path, BASE, deck)[1]
    assert (problem.file, problem.line) == (str(tmp_path / "voice.csv"), line)
    assert message in problem.message


def test_a_fault_of_a_band_is_not_told_of_every_row_that_names_it(tmp_path: Path) -> None:
    problems = read(tmp_path, changed(BAND, 'intervals = ["never"]'))[1]
    assert [problem.key for problem in problems] == ["time_band[peak].intervals[0]"]


def test_bands_that_overlap_are_a_fault_of_the_deck_that_has_both(tmp_path: Path) -> None:
    more = '\n[[time_band]]\nid = "noon"\ntenant = "main"\nintervals = ["wed 12:00-13:00"]\n'
    good(tmp_path, BASE + more)
    [problem] = read(tmp_path, BASE + more, "prefix,rate,time_band\n44,0.01,peak\n44,0.02,noon\n")[1]
    assert "they overlap while both are valid" in problem.message


@pytest.mark.parametrize(
    ("codes", "line", "key", "message"),
    [
        ("prefix,name\n33,France\n", 1, "", "is not prefix,destination"),
        ("", 1, "", "is not prefix,destination"),
        ("prefix,destination\n", 1, "", "is empty"),
        ("prefix,destination\n33,France\n33,Paris\n", 3, "prefix", "stands in line 2 too"),
        ("prefix,destination\n33,France,x\n", 2, "", "the row has 3 cells"),
        ("prefix,destination\n3x,France\n", 2, "prefix", "18 digits"),
        ("prefix,destination\n33,\n", 2, "destination", "write a name"),
        ('prefix,destination\n33,"France\n', 2, "", "quoted whole"),
    ],
)
def test_a_fault_of_a_code_list_has_its_file_and_line(
    tmp_path: Path, codes: str, line: int, key: str, message: str
) -> None:
    [problem] = read(tmp_path, BASE, own=codes)[1]
    assert (problem.file, problem.line, problem.key) == (str(tmp_path / "own.csv"), line, key)
    assert message in problem.message


def test_a_circle_of_plans_is_told_once(tmp_path: Path) -> None:
    text = changed('tables = ["voice", "sms"]', 'inherits = "retail"')
    [problem] = read(tmp_path, text)[1]
    assert (problem.line, problem.key) == (60, "rate_plan[base].inherits")
    assert "base -> retail -> base" in problem.message


def test_plans_inherit_to_a_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_checks, "DEPTH_MAX", 1)
    [problem] = read(tmp_path, BASE)[1]
    assert problem.key == "rate_plan[retail].inherits"
    assert "more than 1 plans" in problem.message
