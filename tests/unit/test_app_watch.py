"""One line for each decision and each charge, whichever road asks, with its figures; none for what changed nothing."""

from typing import NoReturn

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.app_log import LogLines
from daemon.app_watch import CallWatch
from daemon.authorize.attempt import Identity, PlainPassword
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.denial import Denial
from daemon.charging.event import MessageKey
from daemon.charging.ports import Reads, StoreUnavailable
from daemon.http_api.metrics import Metrics
from daemon.kernel.ids import Key
from daemon.kernel.money import format_nano
from tests.unit.charging.desk import ALICE, RAY, Desk
from tests.unit.charging.memory_store import MemoryStore


class _Lines(LogLines):
    """Keeps what would be written."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.kept: list[dict[str, object]] = []

    def put(self, level: str, pairs: object) -> None:
        assert level == "info"
        self.kept.append(dict(pairs))  # type: ignore[call-overload]  # pairs of names and values


class World:
    """A desk that is watched."""

    def __init__(self, *, tells: bool = True) -> None:
        self.store, self.lines = MemoryStore(), _Lines()
        self.metrics = Metrics(self.store)
        self.watch = CallWatch(self.lines, self.metrics, tells=tells)
        self.desk = Desk(store=self.store, watch=self.watch)
        self.desk.fund(ALICE, "1.00")

    async def figure(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families((await self.metrics.render()).decode())
        for sample in (sample for family in families for sample in family.samples):
            if (sample.name, sample.labels) == (name, labels):
                return float(sample.value)
        return 0

    def last(self) -> dict[str, object]:
        return self.lines.kept[-1]


async def test_a_grant_and_its_charge_have_a_line_each() -> None:
    world = World()
    granted = await world.desk.ask("c1", routed=False)
    assert isinstance(granted.decision, Granted)
    assert world.lines.kept == [{
        "event": "decision", "road": "test", "switch": "gw1", "call_id": "c1", "account": "main/alice",
        "code": "granted", "duration_us": 0, "grant_id": "g1", "seconds": granted.decision.seconds,
    }]  # fmt: skip
    await world.desk.answer("c1")
    world.desk.wait(60)
    await world.desk.end("c1")
    charge = world.last()
    assert (len(world.lines.kept), charge["event"], charge["code"]) == (2, "charge", "rated")
    assert charge["settled_by"] == "hangup"
    assert (charge["account"], charge["call_id"], charge["grant_id"]) == ("main/alice", "c1", "g1")
    assert (charge["duration_seconds"], charge["billed_seconds"], charge["uncollected"]) == ("60", 60, "0.00")
    (record,) = world.store.written
    assert (charge["charge"], charge["currency"]) == (format_nano(record.charge), "USD")
    kinds = {"road": "test", "kind": "rated", "settled_by": "hangup"}
    assert await world.figure("tollway_charges_total", **kinds) == 1
    assert await world.figure("tollway_charged_nano_total", currency="USD") == record.charge > 0
    assert await world.figure("tollway_decision_seconds_count", road="test") == 1
    assert await world.figure("tollway_event_lag_seconds_count", road="test") == 2


async def test_a_second_end_charges_and_tells_nothing() -> None:
    world = World()
    await world.desk.ask("c1")
    await world.desk.answer("c1")
    world.desk.wait(60)
    for _ in range(2):
        await world.desk.end("c1")
    assert [line["event"] for line in world.lines.kept] == ["decision", "charge"]


async def test_a_refusal_says_its_code_and_the_account_that_was_found() -> None:
    world = World()
    await world.desk.ask("c1", to="999999")
    assert (world.last()["code"], world.last()["account"]) == ("destination_unrated", "main/alice")
    await world.desk.ask("c2", payer=Key("main", "nobody"))
    assert (world.last()["code"], world.last()["account"]) == ("account_unknown", "")


async def test_a_repeat_is_no_decision_and_an_explanation_neither() -> None:
    world = World()
    for _ in range(2):
        await world.desk.ocf.authorize(world.desk.attempt("c1"), message=MessageKey("k", b"body"))
    world.desk.ocf.explain(world.desk.attempt("c2"), world.desk.store_standing)
    assert [line["call_id"] for line in world.lines.kept] == ["c1"]


async def test_what_the_store_could_not_commit_is_told_too() -> None:
    class Gone(MemoryStore):
        async def transact(self, reads: Reads, decide: object) -> NoReturn:
            raise StoreUnavailable("gone")

    world = World()
    world.desk = Desk(store=Gone(), watch=world.watch)
    with pytest.raises(StoreUnavailable):
        await world.desk.ocf.authorize(world.desk.attempt("c1"))
    assert world.last()["code"] == "store_unavailable"


async def test_a_refusal_of_the_road_itself_is_told_too() -> None:
    world = World()
    world.desk.ocf.refuse(world.desk.attempt("c1"), Denied(Denial.OVERLOADED, "too many"))
    assert (world.last()["code"], world.last()["call_id"]) == ("overloaded", "c1")


async def test_an_estimate_that_is_corrected_is_taken_back_in_a_line_of_its_own() -> None:
    world = World()
    granted = await world.desk.ask("c1")
    assert granted.call is not None
    await world.desk.answer("c1")
    world.desk.wait(30)
    await world.desk.alive("c1")
    await world.desk.ocf.recover(granted.call.grant_id)
    world.desk.wait(60)
    await world.desk.end("c1")
    charges = [line for line in world.lines.kept if line["event"] == "charge"]
    told = [(line["code"], line["settled_by"]) for line in charges]
    assert told == [("rated", "recovery"), ("reversal", "recovery"), ("rated", "hangup")]
    assert str(charges[1]["charge"]) == f"-{charges[0]['charge']}"
    assert await world.figure("tollway_reversed_nano_total", currency="USD") > 0


async def test_only_the_payers_charge_of_a_chain_has_a_line() -> None:
    world = World()
    world.desk.fund(RAY, "1.00")
    await world.desk.ask("c1", payer=RAY)
    await world.desk.answer("c1", payer=RAY)
    world.desk.wait(60)
    await world.desk.end("c1", payer=RAY)
    assert len(world.store.written) == 2
    assert [line["account"] for line in world.lines.kept if line["event"] == "charge"] == [str(RAY)]


async def test_calls_without_lines_have_their_figures() -> None:
    world = World(tells=False)
    await world.desk.ask("c1")
    assert world.lines.kept == []
    assert await world.figure("tollway_decision_seconds_count", road="test") == 1


async def test_no_line_has_a_number_or_what_proves_who_calls() -> None:
    world = World()
    identity = Identity(sip_user="alice", credential=PlainPassword("wonder"))
    await world.desk.ask("c1", identity=identity)
    await world.desk.answer("c1")
    await world.desk.end("c1")
    await world.desk.ask("c2", identity=Identity(sip_user="alice", credential=PlainPassword("guess-4711")))
    await world.desk.ask("c3", identity=Identity(pin="48213377", via="gw1"))
    assert [line["code"] for line in world.lines.kept][-2:] == ["credential_wrong", "account_unknown"]
    text = str(world.lines.kept)
    assert not [word for word in ("wonder", "4711", "48213377", "442071231234", "15551230001") if word in text]
