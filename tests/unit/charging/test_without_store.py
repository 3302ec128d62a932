"""Postpaid calls while the store cannot commit: who is granted, within what, and that each is entered once."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from daemon.authorize.decision import Granted
from daemon.charging import without_store
from daemon.charging.call import CallState
from daemon.charging.event import Decided, Replay
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Message, Outside, Reads, StoreError, StoreUnavailable
from daemon.charging.without_store import SECONDS_MAX, WithoutStore
from daemon.journal import LINE_OCTETS_MAX, PostpaidJournal
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO, parse_nano
from daemon.rating.bundle import Bundle
from tests.unit.charging.desk import ALICE, BOB, RAY, Desk, catalog, key, with_account
from tests.unit.charging.memory_store import MemoryBook, MemoryStore

T = TypeVar("T")


@dataclass
class Failing(MemoryStore):
    """A store that can go away; ``silently``: what it was asked last is committed all the same."""

    out: bool = False
    silently: bool = False
    tries: int = 0

    async def transact(self, reads: Reads, decide: Callable[[MemoryBook], T]) -> T:
        if not self.out:
            return await super().transact(reads, decide)
        self.tries += 1
        if self.silently:
            self.silently = False
            await super().transact(reads, decide)
        raise StoreUnavailable("out")


@dataclass
class Outage(Desk):
    """A desk whose store can go away, with a journal in a real file."""

    store: Failing = field(default_factory=Failing)
    folder: Path = Path()
    chosen: bool = True

    def __post_init__(self) -> None:
        self.settings = replace(self.settings, grants_postpaid=self.chosen)
        self.memory = WithoutStore(PostpaidJournal(self.file))
        outside = Outside(now=lambda: self.now, new_id=self._new_id)
        self.ocf = OnlineCharging(self.store, self, self, outside, self.settings, self.memory)

    @property
    def file(self) -> Path:
        return self.folder / "postpaid.jsonl"

    async def died(self) -> None:
        """Let the process die and another begin, from the store and the journal alone."""
        self.__post_init__()
        await self.memory.load()

    def back(self) -> None:
        """Let the store be there again, and long enough for it to be tried."""
        self.store.out = False
        self.memory._failed_at = -without_store.RETRY_SECONDS


async def _outage(folder: Path, **changes: object) -> Outage:
    found = with_account(catalog(), BOB, **{"credit_limit": 10 * NANO, **changes})
    desk = Outage(found, folder=folder)
    await desk.ocf.learn()
    desk.store.out = True
    return desk


async def _granted(desk: Outage, call_id: str, payer: Key = BOB) -> Granted:
    decided = await desk.ocf.authorize(desk.attempt(call_id, payer=payer), message=key(call_id), encode=_bytes)
    assert isinstance(decided, Decided), decided
    assert isinstance(decided.decision, Granted), decided
    return decided.decision


def _bytes(decision: object) -> bytes:
    return repr(decision).encode()


async def test_a_postpaid_call_is_granted_journalled_and_entered_once(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    granted = await _granted(desk, "c1")
    assert granted.seconds == 1_000  # 10.00 at 0.60 a minute
    assert granted.is_final
    assert len(desk.file.read_bytes().splitlines()) == desk.ocf.journalled == 1
    with pytest.raises(StoreUnavailable):
        await desk.answer("c1", payer=BOB)
    desk.back()
    outcome = await desk.answer("c1", payer=BOB)
    assert outcome.call is not None
    assert (outcome.call.grant_id, outcome.call.authorised) == (granted.grant_id, True)
    assert not desk.file.exists()
    assert desk.ocf.journalled == 0
    desk.wait(60)
    await desk.end("c1", payer=BOB, duration_us=60 * SECOND)
    assert desk.standing(BOB).balance == -parse_nano("0.60")
    assert (desk.standing(BOB).reserved, desk.standing(BOB).channels) == (0, 0)


async def test_calls_of_one_second_count_while_the_store_is_away(tmp_path: Path) -> None:
    desk = await _outage(tmp_path, credit_limit=100 * NANO, calls_per_second=2)
    for each in range(2):
        await _granted(desk, f"c{each}")
    with pytest.raises(StoreUnavailable, match="2 calls in this second, at most 2"):
        await desk.ocf.authorize(desk.attempt("c2", payer=BOB), message=key("c2"), encode=_bytes)
    desk.wait(1)
    await _granted(desk, "c3")


async def test_a_repeat_is_answered_with_the_same_bytes_before_and_after(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    first = await desk.ocf.authorize(desk.attempt("c1", payer=BOB), message=key("c1"), encode=_bytes)
    assert isinstance(first, Decided)
    for back in (False, True):
        if back:
            desk.back()
        again = await desk.ocf.authorize(desk.attempt("c1", payer=BOB), message=key("c1"), encode=_bytes)
        assert again == Replay(first.reply)
    assert len(desk.store.saved) == 1


async def test_a_question_that_the_store_answered_is_not_granted_again(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    desk.store.out = False
    for message in (key("c1"), replace(key("c2"), of_call=True)):
        asked = desk.attempt(message.key, payer=BOB, renewable=True)
        first = await desk.ocf.authorize(asked, message=message, encode=_bytes)
        assert isinstance(first, Decided)
        desk.store.out = True
        assert await desk.ocf.authorize(asked, message=message, encode=_bytes) == Replay(first.reply)
        assert desk.ocf.journalled == 0
        desk.store.out = False
    desk.store.out = True
    desk.wait(61)  # the call id may be another call's by now; what is known of the account still bounds it
    assert isinstance(await desk.ocf.authorize(asked, message=message, encode=_bytes), Decided)


async def test_answers_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_store, "ANSWERED_MAX", 2)
    memory = WithoutStore(PostpaidJournal(tmp_path / "journal"))
    for name in ("a", "b", "a", "c"):
        memory.remember(Message(name, b"body", name.encode(), 0))
    assert [memory.repeat(key(name), 0) for name in ("a", "b", "c")] == [b"a", None, b"c"]
    assert memory.repeat(key("a", b"other"), 0) is None


async def test_the_credit_limit_holds_over_all_that_is_granted_meanwhile(tmp_path: Path) -> None:
    desk = await _outage(tmp_path, max_call_seconds=600)
    assert [(await _granted(desk, name)).seconds for name in ("c1", "c2")] == [600, 400]
    with pytest.raises(StoreUnavailable, match="last known"):
        await _granted(desk, "c3")
    desk.back()
    await desk.ocf.expire_due()
    assert desk.standing(BOB).reserved == 10 * NANO


async def test_who_is_refused(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    for payer in (ALICE, RAY):
        with pytest.raises(StoreUnavailable, match="prepaid"):
            await _granted(desk, "c1", payer)
    bundled = await _outage(tmp_path, bundles=(Bundle("b", 60),))
    with pytest.raises(StoreUnavailable, match="known to it alone"):
        await _granted(bundled, "c1")
    unlearned = Outage(catalog(), folder=tmp_path)
    unlearned.store.out = True
    with pytest.raises(StoreUnavailable, match="known to it alone"):
        await _granted(unlearned, "c1")
    refusing = Outage(catalog(), folder=tmp_path, chosen=False)
    await refusing.ocf.learn()
    refusing.store.out = True
    with pytest.raises(StoreUnavailable, match="out"):
        await _granted(refusing, "c1")
    assert not desk.file.exists()


async def test_number_and_length_of_grants_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_store, "GRANTS_MAX", 2)
    desk = await _outage(tmp_path, credit_limit=None)
    assert (await _granted(desk, "c1")).seconds == SECONDS_MAX
    await _granted(desk, "c2")
    with pytest.raises(StoreUnavailable, match="which is the limit"):
        await _granted(desk, "c3")


async def test_a_store_that_is_away_is_not_asked_for_every_question(tmp_path: Path) -> None:
    desk = await _outage(tmp_path, max_call_seconds=60)
    await _granted(desk, "c1")
    tries = desk.store.tries
    for number in range(5):
        await _granted(desk, f"d{number}")
        with pytest.raises(StoreUnavailable):
            await desk.answer("c1", payer=BOB)
    assert desk.store.tries == tries + 1


@pytest.mark.parametrize("entered", [False, True])
async def test_a_death_in_between_enters_each_once(tmp_path: Path, entered: bool) -> None:
    desk = await _outage(tmp_path)
    granted = await _granted(desk, "c1")
    line = desk.file.read_bytes()
    if entered:  # dies after the store has it, before the journal is empty
        desk.back()
        await desk.ocf.expire_due()
        desk.file.write_bytes(line)
    await desk.died()
    assert desk.ocf.journalled == 1
    desk.back()
    await desk.answer("c1", payer=BOB)
    desk.wait(30)
    await desk.end("c1", payer=BOB, duration_us=30 * SECOND)
    desk.file.write_bytes(line)  # and once more, after the end
    await desk.died()
    await desk.ocf.expire_due()
    (call,) = desk.store.saved.values()
    assert (call.grant_id, call.state) == (granted.grant_id, CallState.SETTLED)
    assert desk.standing(BOB).balance == -parse_nano("0.30")
    assert not desk.file.exists()


async def test_a_grant_that_was_committed_unknown_to_anybody_is_let_go(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    desk.store.silently = True
    told = await _granted(desk, "c1")
    desk.back()
    await desk.answer("c1", payer=BOB)
    states = {call.grant_id: call.state for call in desk.store.saved.values()}
    assert sorted(state.value for state in states.values()) == ["answered", "voided"]
    assert states[told.grant_id] is CallState.ANSWERED
    assert desk.standing(BOB).channels == 1


async def test_a_grant_nobody_uses_lapses(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    await _granted(desk, "c1")
    desk.back()
    desk.wait(10_000)
    await desk.ocf.expire_due()
    assert [call.state for call in desk.store.saved.values()] == [CallState.EXPIRED]
    assert desk.standing(BOB).reserved == 0


async def test_a_journal_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    desk = await _outage(tmp_path / "file")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        await _granted(desk, "c1")
    assert desk.ocf.journalled == 0
    assert (await _outage(tmp_path)).ocf.journalled == 0


async def test_a_torn_last_line_was_never_told_and_any_other_fault_is_an_error(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    await _granted(desk, "c1")
    line = desk.file.read_bytes()
    desk.file.write_bytes(line + line[:40])
    await desk.died()
    assert desk.ocf.journalled == 1
    assert desk.file.read_bytes() == line
    assert len(line) < LINE_OCTETS_MAX
    desk.file.write_bytes(line[:40] + b"\n" + line)
    with pytest.raises(StoreError, match=":1: this line"):
        await desk.died()


async def test_a_grant_that_cannot_be_entered_is_listed(tmp_path: Path) -> None:
    desk = await _outage(tmp_path)
    await _granted(desk, "c1")
    entry = desk.memory.grants[0]
    desk.memory.grants[0] = replace(
        entry, call=entry.call.changed(levels=(replace(entry.call.levels[0], reserved=-1),))
    )
    desk.back()
    await desk.ocf.expire_due()
    assert [item.kind for item in desk.store.exceptions] == ["journalled_grant"]
    assert desk.ocf.journalled == 0
