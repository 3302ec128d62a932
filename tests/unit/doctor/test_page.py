"""The page of the doctor has every probe and every fault with what to do, and none that there is not."""

import re
from pathlib import Path

from daemon.doctor import PROBES, REMEDIES

PAGE = (Path(__file__).parents[3] / "docs/operations/doctor.md").read_text(encoding="utf-8")
FAULT = re.compile(r"^\| `([\w.]+)` `(\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
PROBE = re.compile(r"^\| `([\w.]+)` \| ([^|]+) \|$", re.MULTILINE)


def test_every_probe_is_on_the_page() -> None:
    assert dict(PROBE.findall(PAGE)) == dict(PROBES)


def test_every_fault_is_on_the_page_with_what_to_do() -> None:
    written = {(name, fault): (state, to_do) for name, fault, state, seen, to_do in FAULT.findall(PAGE) if seen.strip()}
    assert written == {key: (remedy.state.value, remedy.to_do) for key, remedy in REMEDIES.items()}


def test_every_fault_is_of_a_probe() -> None:
    assert {name for name, _fault in REMEDIES} <= PROBES.keys()
