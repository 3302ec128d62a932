"""The duplicate cache keeps RFC 5080 section 2.2.2 to the second, and never grows beyond its bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.radius.dedup import DuplicateCache, Key

KEY: Key = ("192.0.2.1", 40000, 1, 7)
SECOND = 1_000_000


def test_a_repeat_gets_the_first_answer_until_its_life_ends() -> None:
    cache = DuplicateCache(life_seconds=5)
    assert cache.seen(KEY, b"a", 0) is None
    begun = cache.seen(KEY, b"a", 1)
    assert begun is not None
    assert begun.reply is None
    assert cache.answered(KEY, b"a", b"reply")
    again = cache.seen(KEY, b"a", 5 * SECOND - 1)
    assert again is not None
    assert again.reply == b"reply"
    assert cache.seen(KEY, b"a", 5 * SECOND) is None


def test_a_new_request_with_the_identifier_takes_the_place_and_the_old_answer_is_not_sent() -> None:
    cache = DuplicateCache()
    assert cache.seen(KEY, b"a", 0) is None
    assert cache.seen(KEY, b"b", 1) is None
    assert not cache.answered(KEY, b"a", b"old")
    assert cache.answered(KEY, b"b", b"new")
    entry = cache.seen(KEY, b"b", 2)
    assert entry is not None
    assert entry.reply == b"new"


@pytest.mark.parametrize("place", range(4))
def test_another_source_port_code_or_identifier_is_another_request(place: int) -> None:
    cache = DuplicateCache()
    other = ("192.0.2.2", 40001, 4, 8)
    changed: Key = tuple(other[i] if i == place else KEY[i] for i in range(4))  # type: ignore[assignment]
    assert cache.seen(KEY, b"a", 0) is None
    assert cache.seen(changed, b"a", 0) is None
    assert len(cache) == 2


def test_what_got_no_answer_is_worked_on_afresh() -> None:
    cache = DuplicateCache()
    cache.seen(KEY, b"a", 0)
    cache.dropped(KEY, b"another")
    assert cache.seen(KEY, b"a", 0) is not None
    cache.dropped(KEY, b"a")
    assert cache.seen(KEY, b"a", 0) is None


def test_an_answer_forgotten_under_load_is_still_sent() -> None:
    cache = DuplicateCache(entries_max=1)
    cache.seen(KEY, b"a", 0)
    cache.seen(("192.0.2.9", 1, 1, 1), b"b", 0)
    assert cache.answered(KEY, b"a", b"reply")


@pytest.mark.parametrize("seconds", [0, 4, 31])
def test_a_life_outside_the_rfc_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="5 to 30"):
        DuplicateCache(life_seconds=seconds)


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=1), st.integers(0, 3 * SECOND)), max_size=200))
def test_it_is_bounded_and_never_answers_one_request_with_anothers_answer(steps: list[tuple[int, bytes, int]]) -> None:
    cache, now = DuplicateCache(life_seconds=5, entries_max=4), 0
    for identifier, digest, wait in steps:
        now += wait
        key: Key = ("192.0.2.1", 1, 1, identifier)
        known = cache.seen(key, digest, now)
        if known is not None:
            assert known.reply == b"reply to %d:" % identifier + digest
            assert now - known.at < 5 * SECOND
        elif not cache.answered(key, digest, b"reply to %d:" % identifier + digest):
            raise AssertionError("nothing came between")
        assert len(cache) <= 4
