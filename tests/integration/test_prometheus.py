"""What is shipped for Prometheus and Grafana, checked by Prometheus' own tool: rules, their tests, expressions."""

import subprocess
from pathlib import Path

from tests.unit.test_seeing import ROOT, expressions

CONF = ROOT / "conf" / "prometheus"


def _promtool(*words: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_rules() -> None:
    assert "SUCCESS" in _promtool("check", "rules", CONF / "alerts.yml")


def test_the_scrape_configuration_is_one_and_finds_the_rules() -> None:
    assert "SUCCESS: 1 rule files found" in _promtool("check", "config", CONF / "prometheus.yml")


def test_each_alert_fires_where_it_should_and_stays_quiet_elsewhere() -> None:
    _promtool("test", "rules", *sorted((Path(__file__).parent / "prometheus").glob("*_test.yml")))


def test_each_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    lines = ["groups:", "  - name: dashboard", "    rules:"]
    for number, expression in enumerate(expressions()):
        for variable, value in (("$__rate_interval", "5m"), ("$instance", ".*")):
            expression = expression.replace(variable, value)  # noqa: PLW2901  # what Grafana does
        assert "$" not in expression
        lines += [f"      - record: panel:{number}", "        expr: >-", f"          {expression}"]
    rules = tmp_path / "dashboard.yml"
    rules.write_text("\n".join(lines) + "\n")
    assert f"SUCCESS: {len(expressions())} rules found" in _promtool("check", "rules", rules)


def test_what_is_no_expression_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "broken.yml"
    rules.write_text(
        "groups:\n  - name: x\n    rules:\n      - record: a:b\n        expr: rate(tollway_open_calls[5m]\n"
    )
    done = subprocess.run(["promtool", "check", "rules", str(rules)], capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
