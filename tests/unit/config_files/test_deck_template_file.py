"""An operator's own template: the one in the documentation works, and every fault is told at its line."""

import csv
import re
from pathlib import Path

import pytest

from daemon.config_files.deck_template_file import TEMPLATE, read_template_file
from daemon.ingest.deck_records import read_deck_records
from daemon.ingest.deck_template import RECORD_COLUMNS, SPECIAL_TARGETS, PricePer, Template
from daemon.ingest.templates import BUILT_IN, NATIVE

DOCUMENT = (Path(__file__).parents[3] / "docs" / "decks.md").read_text()


def faults(folder: Path, text: str) -> list[str]:
    """Return the faults of a template without the path in front."""
    path = folder / "mine.toml"
    path.write_text(text)
    template, problems = read_template_file(path)
    assert (template is None) == bool(problems)
    return [str(problem).removeprefix(f"{path}:") for problem in problems]


def test_the_example_of_the_documentation_reads_its_deck(tmp_path: Path) -> None:
    part = DOCUMENT.split("## A template of your own")[1]
    toml, deck, records = re.findall(r"```(?:toml|csv)\n(.*?)```", part, re.DOTALL)
    (tmp_path / "mine.toml").write_text(toml)
    (tmp_path / "deck.csv").write_text(deck)
    template, problems = read_template_file(tmp_path / "mine.toml")
    assert problems == []
    source = read_deck_records(tmp_path / "deck.csv", template=template)
    found = [dict(zip(RECORD_COLUMNS, record.cells, strict=True)) for record in source.records]
    assert source.errors == []
    expected = list(csv.DictReader(records.splitlines()))
    assert [{name: record[name] for name in expected[0]} for record in found] == expected
    assert "template mine: Example Carrier, weekly; header on line 1" in source.notes


def test_every_key_and_target_is_documented() -> None:
    part = DOCUMENT.split("## A template of your own")[1]
    keys, targets = (re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in part.split("`columns` takes"))
    assert keys == [key.name for key in TEMPLATE.keys]
    assert targets == list(SPECIAL_TARGETS)


@pytest.mark.parametrize("template", BUILT_IN, ids=lambda template: template.name)
def test_every_layout_is_documented_column_by_column(template: Template) -> None:
    if template is NATIVE or template.refusal:
        assert f"### `{template.name}`" not in DOCUMENT
        return
    part = DOCUMENT.split(f"### `{template.name}`: {template.title}\n")[1].split("\n##")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `")]
    meant = {name: meaning for names, meaning in rows for name in re.findall("`([^`]+)`", names)}
    for target, names in template.columns.items():
        required = ", required" if target in template.required else ""
        assert {meant.pop(name) for name in names} == {f"`{target}`{required}"}
    assert {name: meaning for name, meaning in meant.items() if meaning.startswith("not taken: ")} == {
        name: f"not taken: {reason}" for name, reason in template.ignored.items()
    }
    assert {name for name, meaning in meant.items() if meaning.startswith("only ")} == set(template.only)


def test_a_template_has_the_name_of_its_file_unless_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[columns]\nprefix = ["P"]\nrate = ["R"]\n')
    template, _ = read_template_file(tmp_path / "mine.toml")
    assert template is not None
    assert (template.name, template.columns) == ("mine", {"prefix": ("P",), "rate": ("R",)})
    assert (template.required, template.price_per, template.timezone) == (("rate",), PricePer.MINUTE, "UTC")
    (tmp_path / "mine.toml").write_text(
        'name = "other"\nat_once = ["NOW"]\n[columns]\ncountry_code = ["C"]\nrate = ["R"]\n'
    )
    template, _ = read_template_file(tmp_path / "mine.toml")
    assert template is not None
    assert (template.name, template.at_once) == ("other", ("now",))


GOOD = '[columns]\nprefix = ["P"]\nrate = ["R"]\n'
CASES: list[tuple[str, str, list[str]]] = [
    ("no TOML", "columns = [", ["1: the file is not TOML: Invalid value"]),
    ("nothing", "", ["1: columns: is missing; write columns ="]),
    ("no columns", "[columns]\n", ["1: columns: says of no header name that it is the prefix",
                                   "1: required[0]: is required, and columns names no header for it"]),
    ("a slip in a key", 'timezon = "UTC"\n' + GOOD, ["1: timezon: is an unknown key; did you mean timezone?"]),
    ("a slip in a target", GOOD + 'connectfee = ["F"]\n', ["4: columns.connectfee: is an unknown key; did you mean"]),
    ("a name that is no list", '[columns]\nprefix = "P"\nrate = ["R"]\n', ["2: columns.prefix: is a text; write a"]),
    ("an empty name", '[columns]\nprefix = [" "]\nrate = ["R"]\n', ["2: columns.prefix[0]: is empty"]),
    ("a name of two meanings", GOOD + 'connect_fee = ["r"]\n', ["4: columns.connect_fee[0]: means rate already"]),
    ("a name taken and ignored", 'ignored = ["r "]\n' + GOOD, ["1: ignored[0]: means rate already"]),
    ("a name with rules", GOOD + '[only]\nP = ["0"]\n', ["5: only.P: means prefix already"]),
    ("no cell allowed", GOOD + "[only]\nX = []\n", ["5: only.X: has 0 elements; write 1 to"]),
    ("no table", "only = 1\n" + GOOD, ["1: only: is no table of at most 256 names"]),
    ("required and not there", 'required = ["rate", "connect_fee"]\n' + GOOD, ["1: required[1]: is required, and"]),
    ("required of what is nothing", 'required = ["rat"]\n' + GOOD, ["1: required[0]: 'rat' is not one of prefix,"]),
    ("no prefix", '[columns]\narea_code = ["A"]\nrate = ["R"]\n', ["1: columns: says of no header name that it is"]),
    ("an order of dates", 'date_format = "ymd"\n' + GOOD, ["1: date_format: 'ymd' is not one of iso, dmy, mdy"]),
    ("a zone", 'timezone = "Mars"\n' + GOOD, ["1: timezone: 'Mars' is not a zone of the tz database"]),
    ("a unit", 'price_per = "hour"\n' + GOOD, ["1: price_per: 'hour' is not one of minute, second, block"]),
    ("a sign", 'dialled = ["x"]\n' + GOOD, ["1: dialled[0]: 'x' is no sign such as"]),
    ("a rate that blocks", 'blocked_rates = ["-1.0"]\n' + GOOD, ["1: blocked_rates[0]: '-1.0' is no decimal"]),
    ("an action", GOOD + '[actions]\nneu = "add"\n', ["5: actions.neu: 'add' is not one of set, delete, block"]),
    ("a flag", "end_includes_day = 1\n" + GOOD, ["1: end_includes_day: is a whole number; write true or false"]),
    ("the name of native decks", 'name = "tollway"\n' + GOOD, ["1: name: is the template of native decks"]),
    ("several", 'decimal = "."\nencoding = "ebcdic"\ndelimiter = ","\ncomment = "x"\n' + GOOD,
     ["1: decimal: ", "2: encoding: ", "3: delimiter: ", "4: comment: "]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "beginnings"), CASES, ids=[case[0] for case in CASES])
def test_a_fault_is_told_at_its_line(tmp_path: Path, name: str, text: str, beginnings: list[str]) -> None:
    found = faults(tmp_path, text)
    assert len(found) == len(beginnings), (name, found)
    for fault, beginning in zip(found, beginnings, strict=True):
        assert fault.startswith(beginning), name


def test_a_price_per_block_and_words_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'price_per = "block"\nblocked_rates = ["9.99"]\noff_peak_band = "night"\n'
        '[columns]\nprefix = ["P"]\nrate = ["R"]\nnext_seconds = ["N"]\noff_peak_rate = ["O"]\n'
    )
    (tmp_path / "deck.csv").write_text("P,R,N,O\n44,0.01,6,0.005\n45,9.990,6,\n46,0.01,7,\n")
    template, _ = read_template_file(tmp_path / "mine.toml")
    source = read_deck_records(tmp_path / "deck.csv", template=template)
    found = [
        (record.line, {k: v for k, v in zip(RECORD_COLUMNS, record.cells, strict=True) if v})
        for record in source.records
    ]
    blocks = {"first_seconds": "6", "next_seconds": "6"}
    assert found == [
        (2, {"prefix": "44", "rate": "0.10", **blocks}),
        (2, {"prefix": "44", "rate": "0.05", "time_band": "night", **blocks}),
        (3, {"prefix": "45", "rate": "99.90", "blocked": "true", **blocks}),
    ]
    assert [error.line for error in source.errors] == [4]
