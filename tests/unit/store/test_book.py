"""The overlay of one function: what it sees, what becomes part of the batch, and what leaves no trace."""

import dataclasses

import pytest
from msgspec import structs

from benchmarks.bench_store import call_of, record_of
from daemon.charging.ports import Message, Reads
from daemon.ledger.account import Entry, EntryKind, Standing
from daemon.rating.bundle import Bundle, Meter
from daemon.store.book import KEY_LENGTH_MAX, REPLY_SIZE_MAX, Overlay, Working

CALL = call_of(1).changed(aliases=("conf-1",))
KEY = (CALL.id_domain, CALL.call_id)
READS = Reads(accounts=(1, 2), calls=(KEY,), grants=(CALL.grant_id,), aliases=(("gw1", "conf-1"),), messages=("m",))


def loaded() -> Working:
    working = Working(standings={1: Standing(1, 10), 2: Standing(2, 20), 3: Standing(3, 30)})
    working.add_loaded([CALL])
    return working


def test_nothing_is_part_of_the_batch_before_it_is_merged() -> None:
    working = loaded()
    book = Overlay(working, READS)
    book.post((Standing(1, 9), Entry(1, EntryKind.ADJUST, 0, amount=-1)))
    book.save_call(CALL.changed(joined=True))
    book.save_message(Message("m", b"b", b"r", 0))
    book.append_record(record_of(CALL, 0))
    assert (book.standing(1).balance, book.message("m")) == (9, Message("m", b"b", b"r", 0))
    assert [call.joined for call in book.calls(*KEY)] == [True]
    assert len(book.records(CALL.grant_id)) == 1
    another = Overlay(working, READS)
    assert (another.standing(1).balance, another.message("m")) == (10, None)
    assert [call.joined for call in another.calls(*KEY)] == [False]
    assert another.records(CALL.grant_id) == []
    assert not working.is_changed
    book.merge()
    third = Overlay(working, READS)
    assert (third.standing(1).balance, third.message("m")) == (9, Message("m", b"b", b"r", 0))
    found = third.call(CALL.grant_id)
    assert found is not None
    assert found.joined
    assert len(third.records(CALL.grant_id)) == 1
    assert (working.touched, list(working.saved), len(working.entries)) == ({1}, [CALL.grant_id], 1)


def test_a_call_under_another_id_is_found_there_and_no_more_here() -> None:
    working = loaded()
    reads = structs.replace(READS, calls=(KEY, ("gw2", "new")))
    book = Overlay(working, reads)
    book.save_call(CALL.changed(id_domain="gw2", call_id="new"))
    for seen in (book, None):
        view = seen if seen is not None else Overlay(working, reads)
        assert view.calls(*KEY) == []
        assert [call.grant_id for call in view.calls("gw2", "new")] == [CALL.grant_id]
        if seen is not None:
            book.merge()
    assert working.new_aliases == [("gw2", "conf-1", CALL.grant_id)]


def test_calls_come_oldest_first_whoever_saved_them() -> None:
    working = loaded()
    later = CALL.changed(grant_id="later", part=2)
    book = Overlay(working, READS)
    book.save_call(later)
    book.save_call(CALL.changed(joined=True))
    assert [call.grant_id for call in book.calls(*KEY)] == [CALL.grant_id, "later"]
    book.merge()
    assert [call.grant_id for call in Overlay(working, READS).calls(*KEY)] == [CALL.grant_id, "later"]
    assert list(working.saved) == ["later", CALL.grant_id]


def test_an_alias_means_the_newest_call_that_nothing_has_joined() -> None:
    working = loaded()
    book = Overlay(working, READS)
    second, third = CALL.changed(grant_id="second"), CALL.changed(grant_id="third", joined=True)
    for call in (second, third):
        book.save_call(call)
    assert book.aliased("gw1", "conf-1") == second
    book.save_call(second.changed(joined=True))
    assert book.aliased("gw1", "conf-1") == CALL
    book.merge()
    after = Overlay(working, READS)
    after.save_call(CALL.changed(joined=True))
    assert after.aliased("gw1", "conf-1") == third
    assert working.new_aliases == [("gw1", "conf-1", "second"), ("gw1", "conf-1", "third")]


def test_only_what_was_named_is_seen() -> None:
    book = Overlay(loaded(), Reads(grants=(CALL.grant_id,)))
    assert book.standing(1).balance == 10, "an account of a visible call"
    with pytest.raises(KeyError):
        book.standing(3)
    with pytest.raises(KeyError):
        Overlay(loaded(), Reads(accounts=(9,))).standing(9)
    with pytest.raises(KeyError):
        book.calls(*KEY)
    with pytest.raises(KeyError):
        book.aliased("gw1", "conf-1")
    with pytest.raises(KeyError):
        book.message("m")
    with pytest.raises(KeyError):
        Overlay(loaded(), Reads()).call(CALL.grant_id)
    assert Overlay(loaded(), Reads(calls=(KEY,))).call(CALL.grant_id) == CALL
    assert Overlay(loaded(), Reads(aliases=(("gw1", "conf-1"),))).standing(2).balance == 20
    assert Overlay(loaded(), Reads(grants=("unknown",))).call("unknown") is None


def test_a_message_has_bounds() -> None:
    book = Overlay(loaded(), READS)
    book.save_message(Message("k" * KEY_LENGTH_MAX, b"", b"r" * REPLY_SIZE_MAX, 0))
    for message in (
        Message("k" * (KEY_LENGTH_MAX + 1), b"", b"", 0),
        Message("k", b"", b"r" * (REPLY_SIZE_MAX + 1), 0),
    ):
        with pytest.raises(ValueError, match="octets"):
            book.save_message(message)


def test_a_meter_is_seen_where_it_was_named_and_becomes_part_of_the_batch_when_merged() -> None:
    working = loaded()
    reads = structs.replace(READS, meters=((1, "bundle:b:month"),))
    book = Overlay(working, reads)
    assert book.meter(1, "bundle:b:month") == Meter(1, "bundle:b:month")
    book.save_meter(Meter(1, "bundle:b:month", 7, 5))
    assert (book.meter(1, "bundle:b:month").used, Overlay(working, reads).meter(1, "bundle:b:month").used) == (5, 0)
    assert not working.is_changed
    book.merge()
    assert working.is_changed
    assert Overlay(working, reads).meter(1, "bundle:b:month").used == 5
    with pytest.raises(KeyError, match="bundle:b:month"):
        Overlay(working, READS).meter(1, "bundle:b:month")
    # A call that is seen brings the meters of its levels.
    bundle = Bundle("b", 60)
    with_bundle = CALL.changed(
        levels=(dataclasses.replace(CALL.levels[0], account=1, bundles=(bundle,)), *CALL.levels[1:])
    )
    saving = Overlay(working, READS)
    saving.save_call(with_bundle)
    assert saving.meter(1, "bundle:b:month").used == 5
