"""Who pays, by tables of attempts: nothing that a caller chose or wrote changes it, on any road, at real listeners."""

import json
import tomllib
from pathlib import Path
from typing import Any

from daemon.kernel.instant import DAY
from tests.integration.esl_world import until
from tests.switch_double.double import Plan
from tests.tables.who_pays_world import ASTERISK, Roads, roads

TABLES = Path(__file__).parent / "who_pays"
UK = "442071231234"


def _cases(road: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = tomllib.loads((TABLES / f"{road}.toml").read_text())["case"]
    assert len({case["name"] for case in cases}) == len(cases)
    return cases


async def _differs(here: Roads, case: dict[str, Any], code: str, call_id: str) -> str:
    """Return what is wrong with an answer, or nothing. A refusal holds nothing, and an emergency call is nobody's."""
    payer, called = await here.paid(call_id)
    expected = case["pays"]
    if "/" not in expected and expected:
        right = (code, payer) == (expected, "")
    else:
        right = code == "granted" and payer == expected and (not payer or called == case.get("called", called))
        right = right and bool(payer) is not case.get("emergency", False)
    return "" if right else f"{case['name']}: {code}, {payer} for {called}\n"


async def test_over_radius(tmp_path: Path) -> None:
    wrong = ""
    async with roads(tmp_path) as here:
        for place, case in enumerate(_cases("radius")):
            call_id = case.get("call_id", f"c{place}")
            pairs = [(name, text) for name, text in case["pairs"]]
            wrong += await _differs(here, case, await here.over_radius(case["client"], pairs, call_id), call_id)
        assert len(here.lines) == 2, "an emergency call is journalled"
    assert not wrong, wrong


async def test_over_http(tmp_path: Path) -> None:
    wrong = ""
    async with roads(tmp_path) as here:
        for place, case in enumerate(_cases("http")):
            call_id = case.get("call_id", f"c{place}")
            fields = {"call_id": call_id, "from": "15550000000", "to": UK, "direction": "outbound"}
            body = case["text"].replace("{id}", call_id) if "text" in case else json.dumps(fields | case["fields"])
            here.ahead = DAY + 1 if case.get("tomorrow") else 0
            path = case.get("path", "/v1/authorize")
            code = await here.over_http(case.get("token", "switch"), path, body.encode())
            wrong += await _differs(here, case, code, call_id)
    assert not wrong, wrong


async def test_over_fastagi(tmp_path: Path) -> None:
    wrong = ""
    async with roads(tmp_path) as here:
        await until(lambda: here.asterisk.serves(ASTERISK.host))
        for place, case in enumerate(_cases("fastagi")):
            arguments = [f"agi_arg_1: {case.get('account', '')}", f"agi_arg_2: {case.get('number', UK)}"]
            lines = [*case.get("block", []), *arguments, *case.get("more", [])]
            script, variables = case.get("script", "authorize"), dict(case.get("variables", {}))
            code = await here.over_fastagi(script, lines, variables, f"c{place}")
            wrong += await _differs(here, case, code, f"c{place}")
        assert len(here.lines) == 1, "an emergency call is journalled"
    assert not wrong, wrong


async def test_over_the_event_socket(tmp_path: Path) -> None:
    wrong = ""
    async with roads(tmp_path) as here:
        for case in _cases("esl"):
            plan = Plan(
                case.get("account", ""), case.get("number", UK), ring=9, caller=case.get("caller", "15550000000"),
                variables=case.get("variables", {}),
            )  # fmt: skip
            code, channel = await here.over_esl(case.get("switch", "fs1"), plan)
            wrong += await _differs(here, case, code, channel)
    assert not wrong, wrong
