"""``rate batch`` when it is stopped: the first signal ends it after the rows under way, and it says where to go on."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.rate_batch import going_on, stoppable

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def heard() -> Iterator[None]:
    """Hear both signals: whoever runs the tests in the background has one of them ignored."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in NUMBERS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", NUMBERS)
def test_a_first_signal_asks_and_a_second_interrupts(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in NUMBERS]
    with stoppable() as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert [signal.getsignal(each) for each in NUMBERS] == before


def test_a_signal_that_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("rows", "restart", "told"),
    [
        (0, False, "out.csv is not written yet, and no row was kept; the same command begins anew"),
        (0, True, "out.csv is not written yet, and no row was kept; the same command begins anew"),
        (65_536, False, "out.csv is not written yet; the same command goes on from row 65537"),
        (65_536, True, "out.csv is not written yet; the same command without --restart goes on from row 65537"),
    ],
)
def test_it_says_where_the_same_command_goes_on(rows: int, restart: bool, told: str) -> None:
    assert going_on(Path("out.csv"), rows, restart=restart) == f"interrupted: {told}"
