"""Several daemons on one PostgreSQL: nothing that counts lives in a process, and a process that dies takes nothing."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from daemon.charging.call import CallState
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from tests.integration.store_world import ACME, OPENING, RITA, START, World, findings, opened

pytestmark = [pytest.mark.usefixtures("on_postgres"), pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
# Opens the store of a folder, says so, waits to be told to go, does its work, and prints what it made of it.
CONTESTANT = """
import asyncio, json, sys
from dataclasses import replace
from pathlib import Path
from daemon.authorize.decision import Granted
from daemon.charging.event import Decided, MessageKey, Replay
from daemon.charging.ports import Reads
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from tests.integration.store_world import ACME, RITA, opened

def short(world, key, seconds):
    found = world.catalog()
    accounts = {**found.accounts, key: replace(found.accounts[key], max_call_seconds=seconds)}
    world.loaded.append(replace(found, accounts=accounts, by_number={t.number: t for t in accounts.values()}))

async def euro(world, name):
    short(world, ACME, 7)
    async def one(number):
        decided = await world.ocf.authorize(world.attempt(f"{name}-{number}", ACME))
        return decided.decision.seconds if isinstance(decided.decision, Granted) else 0
    return [seconds for seconds in await asyncio.gather(*(one(number) for number in range(500))) if seconds]

async def same_messages(world, name):
    async def one(number):
        message = MessageKey(f"ask:{number}", b"the same body")
        encode = lambda decision: f"{name} grants {getattr(decision, 'seconds', decision)}".encode()
        found = await world.ocf.authorize(world.attempt(f"same-{number}"), message=message, encode=encode)
        assert isinstance(found, Decided | Replay), found
        return found.reply.decode()
    return await asyncio.gather(*(one(number) for number in range(200)))

async def same_calls(world, name):
    async def one(number):
        message = MessageKey(f"{name}:{number}", b"body")
        found = await world.ocf.authorize(world.attempt(f"call-{number}"), message=message)
        assert isinstance(found, Decided), found
        return found.decision.grant_id
    return await asyncio.gather(*(one(number) for number in range(200)))

async def same_keys(world, name):
    made = 0
    for number in range(40):
        done = await world.store.credit(RITA, EntryKind.TOP_UP, NANO, key=f"key-{number}", who=name, reason="")
        made += not done.repeated
    return made

async def whole_calls(world, name):
    for place in range(6):
        await asyncio.gather(*(world.whole(f"{name}-{place}-{lane}", 10) for lane in range(32)))
    return 6 * 32

async def open_calls(world, name):
    for number in range(20):
        await world.ask(f"{name}-{number}")
        if number % 2:
            await world.answer(f"{name}-{number}")
    return 20

async def held_open(world, name):
    # Dies within a transaction: what it read is locked, what it wrote is not committed.
    number = world.catalog().accounts[RITA].number
    def stays(book):
        print("within", flush=True)
        import time
        time.sleep(60)
    await world.store.transact(Reads(accounts=(number,)), stays)

async def main(folder, name, work):
    async with opened(folder, prefix=name) as world:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        made = await globals()[work](world, name)
        print(json.dumps(made), flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
"""


class Contestant:
    """A process with a store of its own."""

    def __init__(self, folder: Path, name: str, work: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTESTANT, str(folder), name, work],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT,
        )  # fmt: skip

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


async def race(folder: Path, work: str) -> list[Any]:
    """Let two processes do the same work at once; return what each made of it."""
    both = [Contestant(folder, name, work) for name in ("one", "two")]
    try:
        for each in both:
            assert await asyncio.to_thread(each.said) == "ready"
        for each in both:
            each.go_on()
        made = [json.loads(await asyncio.to_thread(each.said)) for each in both]
        for each in both:
            each.go_on()
        assert [each.process.wait(60) for each in both] == [0, 0]
        return made
    finally:
        for each in both:
            each.end()


@contextlib.asynccontextmanager
async def waiting(folder: Path, name: str, work: str) -> AsyncIterator[Contestant]:
    """Give a process that was told to begin."""
    made = Contestant(folder, name, work)
    try:
        assert await asyncio.to_thread(made.said) == "ready"
        made.go_on()
        yield made
    finally:
        made.end()


async def settled(world: World) -> None:
    """Let everything lapse that nobody reports on, and see that nothing is held any more."""
    world.now += 10 * 86_400_000_000
    while await world.ocf.expire_due():
        pass
    assert await world.store.open_calls() == []
    held = await world.store.rows("SELECT sum(reserved), sum(channels_in), sum(channels_out), sum(day) FROM account")
    assert held[0][:3] == (0, 0, 0)


async def test_of_a_thousand_attempts_on_one_euro_exactly_what_fits_is_granted(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.store.credit(ACME, EntryKind.ADJUST, -24 * NANO, key="", who="test", reason="one is left")
        assert await world.balance(ACME) == NANO
        granted = await race(tmp_path, "euro")
        # A euro is a hundred seconds at 0.60 a minute: fourteen calls of seven, and one of two.
        assert sorted(granted[0] + granted[1]) == [2] + [7] * 14
        view = await world.store.account_view(ACME)
        assert view is not None
        assert (view.standing.balance, view.standing.reserved, view.available) == (NANO, NANO, 0)
        await settled(world)
    assert await findings(tmp_path) == []


async def test_one_message_that_comes_to_both_has_one_answer(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        one, two = await race(tmp_path, "same_messages")
        assert one == two
        assert len(one) == 200
        assert len(await world.store.open_calls()) == 200
        who = Counter(reply.split()[0] for reply in one)
        assert set(who) <= {"one", "two"}
        await settled(world)
    assert await findings(tmp_path) == []


async def test_one_call_that_is_asked_about_at_both_holds_its_money_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        grants = await race(tmp_path, "same_calls")
        calls = await world.store.open_calls()
        assert sorted(call.call_id for call in calls) == sorted(f"call-{number}" for number in range(200))
        assert {call.grant_id for call in calls} <= {grant for made in grants for grant in made}
        await settled(world)
    assert await findings(tmp_path) == []


async def test_a_top_up_under_one_key_counts_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        made = await race(tmp_path, "same_keys")
        assert sum(made) == 40
        assert await world.balance(RITA) == OPENING + 40 * NANO
    assert await findings(tmp_path) == []


async def test_whole_calls_of_both_at_two_levels_add_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        made = await race(tmp_path, "whole_calls")
        assert await world.balance(RITA) == OPENING - sum(made) * 100_000_000
        sequences = [seq for (seq,) in await world.store.rows("SELECT seq FROM record WHERE tenant = 'ray'")]
        assert len(sequences) == len(set(sequences)) == sum(made)
    assert await findings(tmp_path) == []


async def test_what_a_killed_daemon_left_open_the_other_lists_and_settles(tmp_path: Path) -> None:
    async with opened(tmp_path, prefix="other") as world:
        async with waiting(tmp_path, "dead", "open_calls") as dead:
            assert await asyncio.to_thread(dead.said) == "20"
            dead.kill()
        calls = await world.store.open_calls()
        assert [call.call_id for call in calls] == [f"dead-{number}" for number in range(20)]
        late = await world.end("dead-1", 100)
        assert (late.state, [posted.charge for posted in late.posted]) == (
            CallState.SETTLED, [NANO, NANO // 2],
        ), "a report that reaches the other daemon charges the call"  # fmt: skip
        await settled(world)
        states = Counter(state for (state,) in await world.store.rows("SELECT state FROM call"))
        assert states == {"settled": 10, "expired": 10}, states
        again = await world.end("dead-3", 200)
        assert again.posted[0].charge == 2 * NANO, "an end that comes later still corrects the estimate"
    assert await findings(tmp_path) == []


async def test_a_daemon_killed_within_a_transaction_holds_nobody_up(tmp_path: Path) -> None:
    async with opened(tmp_path, prefix="other") as world:
        async with waiting(tmp_path, "dead", "held_open") as dead:
            assert await asyncio.to_thread(dead.said) == "within"
            blocked = asyncio.create_task(world.ask("c1"))
            await asyncio.sleep(0.3)
            assert not blocked.done(), "the other has the account"
            dead.kill()
            await asyncio.wait_for(blocked, 4)
        await world.end("c1", 0)
        assert await world.balance(RITA) == OPENING
    assert await findings(tmp_path) == []


async def test_two_that_expire_the_same_calls_settle_each_once(tmp_path: Path) -> None:
    async with opened(tmp_path, prefix="a") as one, opened(tmp_path, prefix="b") as two:
        for number in range(40):
            await one.ask(f"c{number}")
            await one.answer(f"c{number}")
        one.now += 86_400_000_000
        two.now = one.now
        changed = await asyncio.gather(one.ocf.expire_due(), two.ocf.expire_due())
        assert sum(map(len, changed)) == 40
        assert not one.ocf.stuck
        assert not two.ocf.stuck
    assert await findings(tmp_path) == []


async def test_a_batch_for_invoicing_waits_for_records_that_have_a_lower_number(
    tmp_path: Path, on_postgres: str
) -> None:
    async with opened(tmp_path, prefix="a") as one:
        await one.whole("first")
        slow = await asyncpg.connect(on_postgres)
        await slow.execute("BEGIN")
        # Another daemon's record: it has its number, and is not committed yet.
        await slow.execute(
            "INSERT INTO record (record_id, grant_id, tenant, account, status, currency, charge, uncollected, cost,"
            " settled_at, body) SELECT 'late', 'late', tenant, account, status, currency, charge, uncollected, cost,"
            " settled_at, body FROM record WHERE tenant = 'ray'"
        )
        await one.whole("second", payer=ACME)
        cutting = asyncio.create_task(one.store.begin_stored_batch("ray", START, "UTC"))
        await asyncio.sleep(0.3)
        assert not cutting.done()
        await slow.execute("COMMIT")
        await slow.close()
        batch = await cutting
        found = [seq async for seq, _record in one.store.records("ray", batch.after_seq, batch.until_seq)]
        ids = await one.store.rows("SELECT record_id FROM record WHERE tenant = 'ray' ORDER BY seq")
        assert len(found) == 2
        assert ids[1] == ("late",)
