"""What is written about the log, the figures and the alerts holds what the code has, and nothing else."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.http_api.figures import COUNTERS, HISTOGRAMS
from daemon.http_api.metrics import Metrics
from tests.unit.charging.memory_store import MemoryStore

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs" / "operations"
LEVELS = frozenset({"debug", "info", "warning", "error", "critical", "exception"})
OWN = {"decision", "charge", "log lines dropped"}  # lines that do not come by structlog


def _events() -> Iterator[str]:
    """Yield the name of each event that the code logs; one that is put together is its beginning."""
    for file in (ROOT / "daemon").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "_log"):
                continue
            assert call.func.attr in LEVELS | {"log"}, (file, call.lineno)
            name = call.args[1 if call.func.attr == "log" else 0]
            name = name.left if isinstance(name, ast.BinOp) else name
            assert isinstance(name, ast.Constant), f"{file}:{call.lineno}: an event has a name of its own"
            yield str(name.value)


def _first_cells(page: str) -> list[str]:
    """Return what stands in backticks in the first cell of each row of a page's tables."""
    rows = re.findall(r"^\| (`[^|]*`) \|", (OPERATIONS / page).read_text(), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_event_of_the_log_is_in_its_page_and_no_other() -> None:
    told = _first_cells("logs.md")
    assert len(told) == len(set(told))
    logged = set(_events()) | OWN
    beginnings = tuple(name for name in logged if name.endswith(" "))
    assert sorted(logged - set(beginnings) - set(told)) == [], "write them into docs/operations/logs.md"
    assert sorted(name for name in set(told) - logged if not name.startswith(beginnings)) == [], "nobody logs them"
    assert all(any(name.startswith(beginning) for name in told) for beginning in beginnings)


def documented() -> dict[str, tuple[str, ...]]:
    """Return the figures of docs/operations/metrics.md with their labels."""
    rows = re.findall(
        r"^\| `(\w+)` \|([^|]*)\|([^|]+)\|([^|]+)\|", (OPERATIONS / "metrics.md").read_text(), re.MULTILINE
    )
    return {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels, _, _ in rows}


async def families() -> set[str]:
    """Return the names of the figures of a daemon, as a scrape tells them."""
    text = (await Metrics(MemoryStore()).render()).decode()
    return set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))


async def test_every_figure_is_in_its_page_and_no_other() -> None:
    assert await families() == documented().keys()


def test_the_page_has_the_labels_that_are_declared() -> None:
    page = documented()
    for name, declared in (COUNTERS | HISTOGRAMS).items():
        assert page[name] == declared[1], name


def _names(expression: str) -> set[str]:
    found = set(re.findall(r"\b(?:tollway|process)_\w+", re.sub(r'"[^"]*"', "", expression)))
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name not in documented() else name for name in found}


def expressions() -> list[str]:
    """Return the expressions of the dashboard."""
    panels = json.loads((ROOT / "conf/grafana/tollway.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_the_dashboard_shows_every_figure_and_no_other() -> None:
    shown = set().union(*(_names(expression) for expression in expressions()))
    assert shown == documented().keys()


def test_panels_of_the_dashboard_have_a_meaning_and_a_place_of_their_own() -> None:
    panels = json.loads((ROOT / "conf/grafana/tollway.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in across for y in down}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or (panel["description"] and panel["targets"])


ALERTS = (ROOT / "conf/prometheus/alerts.yml").read_text()
RULES = re.split(r"^      - alert: ", ALERTS, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("rule", RULES, ids=[rule.partition("\n")[0] for rule in RULES])
def test_an_alert_says_what_to_do_and_where_it_is_written(rule: str) -> None:
    name = rule.partition("\n")[0]
    assert re.search(r"^          summary: \S", rule, re.MULTILINE)
    assert re.search(r"^          todo: \S", rule, re.MULTILINE)
    assert re.search(r"^          severity: (critical|warning)$", rule, re.MULTILINE)
    assert f"runbook: docs/operations/alerts.md#{name.lower()}\n" in rule
    assert f"\n### {name}\n" in (OPERATIONS / "alerts.md").read_text()
    expression = rule.partition("expr:")[2].partition("for:")[0]
    assert _names(expression) <= documented().keys()


def test_the_page_of_alerts_has_no_other() -> None:
    told = re.findall(r"^### (\w+)$", (OPERATIONS / "alerts.md").read_text(), re.MULTILINE)
    assert told == [rule.partition("\n")[0] for rule in RULES]
    tested = "".join(file.read_text() for file in (ROOT / "tests/integration/prometheus").glob("*_test.yml"))
    for name in told:
        assert f"\n  - name: {name}\n" in tested
        assert f"\n  - name: {name} stays quiet\n" in tested
