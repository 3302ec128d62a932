"""Rate types: what is built in, and what counts seconds."""

import pytest

from daemon.rating.rate_table import Policy
from daemon.rating.rate_type import BARE, BUILT_IN, CALLS, RateType

TOLL_FREE = RateType("inbound_toll_free")
DATA = RateType("data", "byte", 1_000_000)
POLICY = Policy("t", 1, "USD", rate_types={"Toll-free Canada": TOLL_FREE, "Toll-free USA": TOLL_FREE, "GPRS": DATA})


@pytest.mark.parametrize(
    ("word", "unit", "per", "is_calls"),
    [
        ("", "second", 60, True),
        ("per_minute", "second", 60, True),
        ("per_message", "message", 1, False),
        ("per_unit", "unit", 1, False),
        ("Toll-free USA", "second", 60, True),
        ("GPRS", "byte", 1_000_000, False),
    ],
)
def test_a_rate_type_says_what_is_counted(word: str, unit: str, per: int, is_calls: bool) -> None:
    found = POLICY.rate_type(word)
    assert found is not None
    assert (found.unit, found.per, found.is_calls) == (unit, per, is_calls)


def test_granular_words_are_one_grouped_rate_type() -> None:
    assert POLICY.rate_type("Toll-free Canada") is POLICY.rate_type("Toll-free USA") is TOLL_FREE


@pytest.mark.parametrize("word", ["sms", "inbound_toll_free", "gprs", " "])
def test_what_nobody_declared_is_not_guessed(word: str) -> None:
    assert POLICY.rate_type(word) is None


def test_what_a_bare_call_states_is_built_in_and_by_time() -> None:
    assert all(BUILT_IN[word].is_calls for word in BARE)
    assert BUILT_IN[""] is CALLS
