"""The rows of calls: what is written of one, and that rows of releases which wrote every field are read alike."""

import msgspec

from benchmarks.bench_store import call_of, record_of, settled
from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Event
from daemon.ledger.account import Standing
from daemon.store.book import Working
from daemon.store.postgres_batch import packed, packed_ahead
from daemon.store.rows import call_row, record_row, written


def test_a_call_is_read_as_it_was_written_and_as_older_releases_wrote_it() -> None:
    for call in (call_of(1), settled(call_of(1)), call_of(1).changed(aliases=("a",), route=2, interims=3)):
        body = str(call_row(call)[-1])
        assert msgspec.json.decode(body, type=Call) == call
        every = {name: getattr(call, name) for name in Call.__struct_fields__}
        whole = msgspec.json.encode(every)
        assert len(whole) > len(body)
        assert msgspec.json.decode(whole, type=Call) == call


def test_a_record_is_written_whole() -> None:
    record = record_of(call_of(1), 0)
    body = str(record_row(record)[-1])
    assert msgspec.json.decode(body, type=RatedCdr) == record
    assert msgspec.json.decode(body).keys() == set(RatedCdr.__struct_fields__)


def test_only_a_call_that_is_new_or_moved_takes_a_place_under_the_charge_key() -> None:
    working = Working()
    working.add_loaded([call_of(1), call_of(2), call_of(3)])
    moved = call_of(2).changed(part=2)
    paid_by_another = call_of(3, retail=7)
    for call in (settled(call_of(1)), moved, paid_by_another, call_of(4)):
        working.put(call)
    assert working.placed == {moved.grant_id, paid_by_another.grant_id, call_of(4).grant_id}
    rows = next(rows for table, rows in written(working) if table == "call")
    assert [row[0] for row in rows] == list(working.saved)
    assert working.by_call[moved.id_domain, moved.call_id] == [moved.grant_id]


def test_what_is_written_ahead_is_not_written_again_at_the_end() -> None:
    working = Working()
    working.events.append(Event(1, "fraud", "main", "alice", "uk", "warn", "c1", "2 calls"))
    working.touched.add(1)
    working.standings[1] = Standing(1, suspended_at=5, month=9, month_spent=3)
    assert packed_ahead(working).kinds == ("event",)
    assert packed(working).kinds == ("account",)
