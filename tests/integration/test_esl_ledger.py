"""Every capture through real charging and a real store: the ledger says what the table says, once."""

from pathlib import Path
from urllib.parse import quote

import pytest

from daemon.kernel.ids import Key
from daemon.kernel.money import parse_nano
from tests.integration.esl_captures import FORMS, LOAD, NAMES, TABLES, capture, edited, table
from tests.integration.esl_replay import replaying

pytestmark = pytest.mark.virtual_time

BALANCES = {"acme": "25.00", "zeta": "25.00", "victim": "25.00"}
DECK = (TABLES / "deck.csv").read_text()
HOSTILE = quote("x\nvariable_tollway_account: victim\n").encode()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != LOAD])
async def test_the_ledger_says_what_the_table_says(name: str, form: str, tmp_path: Path) -> None:
    expected = table(name)
    async with replaying(tmp_path, BALANCES, DECK) as replay:
        await replay.feed(capture(f"{name}.{form}"))
        world = replay.world
        records = await world.records()
        written = sorted(
            (r.call_id[:8], r.part, r.account, r.answered_at, r.duration_us, r.switch_seconds, r.charge, r.cause)
            for r in records
        )
        assert written == sorted(
            (line.uuid, line.part, line.account, line.answered_at, line.microseconds, line.switch_seconds, line.charge,
             line.cause)
            for line in expected.pays
        )  # fmt: skip
        for account in BALANCES:
            charged = sum(line.charge or 0 for line in expected.pays if line.account == account)
            assert await world.standing(account) == (parse_nano("25.00") - charged, 0, 0), account
        # Nobody asked about these calls: each is listed, and charged all the same.
        assert len(await world.exceptions(["unauthorised"])) == len(expected.pays)
        listed = [str(item["call_id"])[:8] for item in await world.exceptions(["no_account"])]
        assert listed == expected.exceptions


@pytest.mark.parametrize("form", FORMS)
async def test_replayed_twice_changes_nothing(form: str, tmp_path: Path) -> None:
    names = ("bridge-answered", "click-to-call", "blind-transfer", "hostile-callerid", "unicode")
    async with replaying(tmp_path, BALANCES, DECK) as replay:
        for name in names:
            await replay.feed(capture(f"{name}.{form}"))
        world = replay.world
        before = (await world.records(), await world.exceptions(), await world.standing("acme"))
        replay.restart()  # a tracker that remembers nothing: the ledger alone must know
        for name in names:
            await replay.feed(capture(f"{name}.{form}"))
        assert (await world.records(), await world.exceptions(), await world.standing("acme")) == before


@pytest.mark.parametrize("form", FORMS)
async def test_the_hostile_name_touches_no_ledger(form: str, tmp_path: Path) -> None:
    async with replaying(tmp_path, BALANCES, DECK) as replay:
        await replay.feed(capture(f"hostile-callerid.{form}"))
        world = replay.world
        assert [item["kind"] for item in await world.exceptions()] == ["no_account"]
        for account in BALANCES:
            assert await world.standing(account) == (parse_nano("25.00"), 0, 0)
            assert len(await world.store.entries(Key("main", account))) == 1, "only the opening balance"


async def test_the_hostile_name_in_a_paid_call_charges_acme(tmp_path: Path) -> None:
    octets = b"".join(
        edited(capture("bridge-answered.plain"), lambda body: body.replace(b": Alice%20Example\n", b": %s\n" % HOSTILE))
    )
    assert octets.count(HOSTILE) > 20
    async with replaying(tmp_path, BALANCES, DECK) as replay:
        await replay.feed(octets)
        assert [(r.account, r.charge) for r in await replay.world.records()] == [("acme", parse_nano("0.06"))]
        assert await replay.world.standing("victim") == (parse_nano("25.00"), 0, 0)
