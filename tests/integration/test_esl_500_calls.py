"""The 500-call capture at full speed through wire, legs, call control and the real store: each caller charged once.

The literal was made by scripts/price_500_calls.py, which shares no code with the daemon. The three totals beside it are
what the same calls would come to with the usual mistakes: none of them may be ours.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from daemon.kernel.money import format_nano, parse_nano
from tests.integration.esl_captures import FORMS, LOAD, TABLES, capture
from tests.integration.esl_replay import replaying

ROOT = Path(__file__).parents[2]
TOTAL = "132.7700"  # printed by scripts/price_500_calls.py
WRONG = {"by_billsec": "131.4310", "with_called_legs": "265.5130", "with_the_digit": "162.4722"}
BALANCES = {f"acct{number:03d}": "100.00" for number in range(50)}


def test_the_literals_are_what_the_script_prints() -> None:
    script = ROOT / "scripts" / "price_500_calls.py"
    done = subprocess.run([sys.executable, "-I", str(script)], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == {"calls": "500", "total": TOTAL} | WRONG
    imported = {line.split()[1] for line in script.read_text().splitlines() if line.startswith(("import ", "from "))}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize("form", FORMS)
async def test_charges_500_callers_once_each(form: str, tmp_path: Path) -> None:
    deck = (TABLES / f"{LOAD}-deck.csv").read_text()
    async with replaying(tmp_path, BALANCES, deck) as replay:
        assert await replay.feed(capture(f"{LOAD}.{form}")) == 3_002
        records = await replay.world.records()
        total = sum(record.charge for record in records)
        print(f"total {format_nano(total)}, expected {TOTAL}; the wrong ones: {WRONG}")
        assert Counter(record.call_id for record in records).most_common(1)[0][1] == 1
        assert len(records) == 500
        assert total == parse_nano(TOTAL)
        assert total not in {parse_nano(wrong) for wrong in WRONG.values()}
        standings = {account: await replay.world.standing(account) for account in BALANCES}
        assert sum(parse_nano("100.00") - balance for balance, _, _ in standings.values()) == total
        assert {(reserved, channels) for _, reserved, channels in standings.values()} == {(0, 0)}
        assert len(await replay.world.exceptions(["unauthorised"])) == 500
        assert not await replay.world.exceptions(["no_account", "unrated", "duplicate_differs", "end_unknown"])
        replay.restart()  # a tracker that remembers nothing: the ledger alone must know
        await replay.feed(capture(f"{LOAD}.{form}"))
        assert await replay.world.records() == records
        assert {account: await replay.world.standing(account) for account in BALANCES} == standings
