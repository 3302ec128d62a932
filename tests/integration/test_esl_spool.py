"""The switch's own records while the daemon lives: a link that was down, a store that fails, files of all kinds."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from daemon.charging.call import CallState
from daemon.charging.ports import StoreUnavailable
from daemon.esl import spool as spool_module
from daemon.esl import switch as switch_module
from daemon.esl.cdr import FILE_OCTETS_MAX
from tests.integration.esl_world import SWITCH, World, until
from tests.integration.test_esl_park import UK, running
from tests.switch_double.double import Call, Plan, SwitchDouble

ENDLESS = {"a_nest.cdr.json": '{"variables":{"x":' + "[" * 200_000}
NEAR = 50_000  # microseconds between the answer of the called side and of its caller


async def _missed(world: World, switch: SwitchDouble, *, answers: bool) -> Call:
    """Play a call that is granted, then answered (or not) and over wholly while the link is down."""
    call = switch.play(Plan("acme", UK, ring=0.6 if answers else 30))
    await until(lambda: bool(call.b_created))
    await switch.close_links()
    await until(lambda: not world.adapter.links_up()[SWITCH.id])
    if answers:
        await until(lambda: bool(call.answered))
        await asyncio.sleep(1.2)
    switch.hang_up(call, "NORMAL_CLEARING")
    await switch.listen()
    await world.linked(8)
    await world.settled()
    return call


def _files(folder: Path, pattern: str = "*.json") -> list[Path]:
    return list(folder.glob(pattern))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(switch_module, "SPOOL_SECONDS", 0.1)
    made = tmp_path / "spool"
    made.mkdir()
    return made


async def test_a_call_answered_and_over_while_the_link_was_down_is_charged_by_its_record(
    tmp_path: Path, folder: Path
) -> None:
    async with running(tmp_path, "25.00", cdr_spool=str(folder)) as (world, switch):
        switch.spool = folder
        call = await _missed(world, switch, answers=True)
        (record,) = await world.records()
        assert (record.call_id, record.told_by, record.authorised) == (call.a, "spool", True)
        assert abs(record.duration_us - call.talked_us) <= NEAR
        assert not await world.exceptions()
        await until((folder / "taken" / f"a_{call.a}.cdr.json").exists)


async def test_one_that_was_never_answered_costs_nothing_and_is_no_exception(tmp_path: Path, folder: Path) -> None:
    async with running(tmp_path, "25.00", cdr_spool=str(folder)) as (world, switch):
        switch.spool = folder
        call = await _missed(world, switch, answers=False)
        assert [found.state for found in await world.calls(call.a)] == [CallState.VOIDED]
        assert not await world.records()
        assert not await world.exceptions()


async def test_without_a_record_it_is_let_go_and_listed_and_a_later_record_charges_it(
    tmp_path: Path, folder: Path
) -> None:
    async with running(tmp_path, "25.00", cdr_spool=str(folder)) as (world, switch):
        late = tmp_path / "late"
        late.mkdir()
        switch.spool = late
        call = await _missed(world, switch, answers=True)
        assert [item["kind"] for item in await world.exceptions()] == ["recovery"]
        assert not await world.records()
        (path,) = late.iterdir()
        os.utime(path, (1, 1))
        path.rename(folder / path.name)
        await until(lambda: not _files(folder))
        (record,) = await world.records()
        assert (record.call_id, record.told_by) == (call.a, "spool")
        assert abs(record.duration_us - call.talked_us) <= NEAR


async def test_what_was_charged_by_its_events_stays_as_it_is(tmp_path: Path, folder: Path) -> None:
    async with running(tmp_path, "25.00", cdr_spool=str(folder)) as (world, switch):
        switch.spool = folder
        call = switch.play(Plan("acme", UK, talk=0.5))
        await asyncio.wait_for(call.over.wait(), 5)
        await world.settled()
        before = await world.records()
        (path,) = _files(folder)
        told = json.loads(path.read_text())
        told["variables"]["end_uepoch"] = str(call.hung_up + 90_000_000)
        path.write_text(json.dumps(told))
        os.utime(path, (1, 1))
        await until(lambda: not _files(folder))
        assert await world.records() == before
        assert not await world.exceptions()


async def test_files_that_are_none_are_refused_and_young_ones_wait(tmp_path: Path, folder: Path) -> None:
    files = {"broken.cdr.json": "{", "huge.cdr.json": " " * (FILE_OCTETS_MAX + 1), "other.txt": "{", **ENDLESS}
    async with running(tmp_path, "25.00", cdr_spool=str(folder)) as (world, _):
        for name, text in files.items():
            (folder / name).write_text(text)
            os.utime(folder / name, (1, 1))
        (folder / "young.cdr.json").write_text("{")
        (folder / "elsewhere.cdr.json").symlink_to(tmp_path / "tollway.db")
        await until(lambda: len(_files(folder, "refused/*")) == 3)
        assert world.tally.counts["tollway_discarded_total", "esl_spool", "unreadable"] == 3
        await asyncio.sleep(0.3)
        left = {path.name for path in _files(folder, "*")}
        assert left == {"refused", "other.txt", "young.cdr.json", "elsewhere.cdr.json"}


async def test_a_file_that_cannot_be_charged_keeps_no_other_from_it(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, "25.00", cdr_spool=str(folder)) as (world, switch):
        switch.spool = folder
        real = world.ocf.ended

        async def fails_once(*told: object, **more: object) -> object:
            monkeypatch.setattr(world.ocf, "ended", real)
            raise OverflowError("beyond 64 bits")

        bad = {"uuid": "u-1", "end_uepoch": "2", "direction": "inbound", "answer_uepoch": "1", "bridge_uepoch": "1",
               "tollway_account": "acme", "billsec": "9" * 5_000}  # fmt: skip
        monkeypatch.setattr(world.ocf, "ended", fails_once)
        (folder / "a_u-1.cdr.json").write_text(json.dumps({"variables": bad}))
        os.utime(folder / "a_u-1.cdr.json", (1, 1))
        await until(lambda: bool(_files(folder, "refused/*")))
        assert world.tally.counts["tollway_discarded_total", "esl_spool", "not_charged"] == 1
        call = await _missed(world, switch, answers=True)
        (record,) = await world.records()
        assert (record.call_id, record.told_by) == (call.a, "spool")


def test_a_file_that_cannot_be_moved_is_passed_over(tmp_path: Path) -> None:
    for name in ("a.cdr.json", "b.cdr.json"):
        (tmp_path / name).write_text("{}")
    assert spool_module._names(tmp_path, 2e12, frozenset({"a.cdr.json"})) == ["b.cdr.json"]


async def test_files_stay_while_the_store_cannot_commit(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, "25.00", cdr_spool=str(folder)) as (world, switch):
        real = world.store.transact

        async def refuses(*_: object) -> object:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(world.store, "transact", refuses)
        called = {"uuid": "u-1", "end_uepoch": str(switch.now()), "direction": "inbound", "answer_uepoch": "1"}
        path = folder / "a_u-1.cdr.json"
        path.write_text(json.dumps({"variables": called}))
        os.utime(path, (1, 1))
        await asyncio.sleep(0.5)
        assert path.exists()
        monkeypatch.setattr(world.store, "transact", real)
        await until(lambda: not path.exists())


def test_a_folder_with_very_many_files_is_read_in_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "NAMES_MAX", 4)
    monkeypatch.setattr(spool_module, "FILES_MAX", 2)
    for number in range(9):
        (tmp_path / f"{number}.cdr.json").write_text("")
    assert len(spool_module._names(tmp_path, 2e12, frozenset())) == 2
    assert spool_module._names(tmp_path, 0, frozenset()) == []
