"""What is told of a listener that cannot be bound, and the time that a daemon goes by while its machine's is set."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.app_clock import CORRECTED_MAX, ClockWatch, SteadyClock
from daemon.app_listening import cannot_listen
from daemon.charging.ports import StoreUnavailable
from daemon.kernel.instant import SECOND, Instant
from daemon.settings import Listener

HOUR = 3_600 * SECOND


def told(error: OSError, port: int = 8090) -> str:
    return cannot_listen("http", Listener("127.0.0.1", port), error, "/etc/tollway/tollway.toml")


def test_each_reason_has_its_own_way_out() -> None:
    assert "'tollway doctor' names it" in told(OSError(errno.EADDRINUSE, "in use"))
    assert "no such address" in told(OSError(errno.EADDRNOTAVAIL, "none"))
    assert "CAP_NET_BIND_SERVICE" in told(OSError(errno.EACCES, "denied"), 80)
    assert told(OSError(errno.EIO, "x")).endswith("mend [http] in /etc/tollway/tollway.toml")


def test_the_reason_of_a_datagram_socket_stands_behind_its_error() -> None:
    error = OSError("could not bind to local_addr")
    error.__cause__ = OSError(errno.EADDRINUSE, "in use")
    assert "'tollway doctor' names it" in told(error)
    assert "no reason at all" in told(OSError("no reason at all"))


class Hands:
    """A machine's clocks; a test moves them, ``set_back`` only the one that can be set."""

    def __init__(self) -> None:
        self.wall: Instant = 1_790_000_000 * SECOND
        self.steady = 7

    def passes(self, seconds: int) -> None:
        self.wall += seconds * SECOND
        self.steady += seconds * SECOND

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.steady)


def test_a_clock_that_is_set_back_is_not_followed_until_it_has_come_up() -> None:
    hands = Hands()
    clock = hands.clock()
    began = clock()
    hands.passes(10)
    hands.wall -= HOUR
    assert clock() == began + 10 * SECOND
    hands.passes(1_800)
    assert (clock(), clock.held_back) == (began + 1_810 * SECOND, HOUR)
    hands.wall += HOUR
    assert (clock(), clock.held_back) == (hands.wall, 0)


@pytest.mark.parametrize("back", [1, CORRECTED_MAX])
def test_a_correction_is_followed(back: int) -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall -= back
    assert (clock(), clock.held_back) == (hands.wall, 0)


def test_a_clock_that_is_set_forward_is_followed_once_it_has_stood() -> None:
    hands = Hands()
    clock = hands.clock()
    began = clock()
    hands.wall += HOUR
    assert (clock(), clock.held_back) == (began, -HOUR)
    hands.passes(59)
    assert (clock(), clock.held_back) == (began + 59 * SECOND, -HOUR)
    hands.passes(1)
    assert (clock(), clock.held_back, clock.taken) == (hands.wall, 0, 1)
    hands.wall -= HOUR
    assert (clock(), clock.held_back) == (hands.wall + HOUR, HOUR), "to take that back is a step back"


def test_a_glitch_forward_leaves_nothing_behind() -> None:
    hands = Hands()
    clock = hands.clock()
    began = clock()
    for ahead in (300 * SECOND, 9 * SECOND, 2 * SECOND):
        hands.wall += ahead
        clock()
        hands.passes(3)
        clock()
        hands.wall -= ahead
        assert (clock(), clock.held_back) == (hands.wall, 0)
    assert clock() == began + 9 * SECOND


def test_a_clock_that_goes_on_stepping_is_never_believed() -> None:
    hands = Hands()
    clock = hands.clock()
    began = clock()
    for _ in range(10):
        hands.wall += 10 * SECOND
        hands.passes(30)
        clock()
    assert clock() == began + 300 * SECOND


def test_what_is_followed_back_is_two_seconds_an_hour() -> None:
    hands = Hands()
    clock = hands.clock()
    began = clock()
    for _ in range(60):
        hands.passes(1)
        hands.wall -= SECOND * 199 // 100
        clock()
    assert clock() == began + 60 * SECOND - SECOND * 199 // 100
    assert clock.held_back == 59 * SECOND * 199 // 100
    hands.wall += clock.held_back
    hands.passes(3_600)
    clock()
    hands.wall -= SECOND
    assert (clock(), clock.held_back) == (hands.wall, 0), "an hour later it may be corrected again"


STEPS = st.lists(st.tuples(st.integers(0, 200 * SECOND), st.integers(-400 * SECOND, 400 * SECOND)), max_size=40)
SMALL = st.lists(st.tuples(st.integers(0, 200 * SECOND), st.integers(-3 * SECOND, 3 * SECOND)), max_size=40)


@given(STEPS | SMALL)
def test_it_never_goes_back_and_follows_a_clock_that_stands(steps: list[tuple[int, int]]) -> None:
    hands = Hands()
    clock = hands.clock()
    read = [(hands.steady, clock())]
    for passed, moved in steps:
        hands.steady += passed
        hands.wall += passed + moved
        now = clock()
        assert now - clock.held_back == hands.wall, "what is told of the machine's clock is so"
        for steady, before in read:
            least = CORRECTED_MAX + (hands.steady - steady) * CORRECTED_MAX // HOUR + 1
            assert now - before >= hands.steady - steady - least, "slower than a clock that nobody sets"
        read.append((hands.steady, now))
    hands.passes(1)
    clock()
    hands.passes(60)
    clock()
    if hands.wall >= clock() - CORRECTED_MAX and clock.held_back <= 0:
        assert clock() == hands.wall


async def test_a_step_is_told_at_once_and_each_minute_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    hands = Hands()
    clock = hands.clock()

    async def newest() -> Instant:
        return hands.wall + HOUR

    watch = ClockWatch(clock, newest)
    watch.look()
    assert capsys.readouterr().out == ""
    hands.wall -= HOUR
    for _ in range(61):
        watch.look()
    assert capsys.readouterr().out.count("was set back") == 2
    hands.wall += HOUR
    watch.look()
    assert "is right again" in capsys.readouterr().out
    hands.wall += HOUR
    for _ in range(61):
        watch.look()
        hands.passes(1)
    told = capsys.readouterr().out
    assert (told.count("was set forward"), told.count("stood ahead for 60 s")) == (1, 1)
    assert "is right again" not in told
    hands.wall += HOUR
    watch.look()
    hands.wall -= 2 * HOUR
    watch.look()
    told = capsys.readouterr().out
    assert (told.count("was set forward"), told.count("was set back")) == (1, 1), "one after the other"
    hands.wall += HOUR
    watch.look()
    await watch.begin()
    assert "stands before the newest entry" in capsys.readouterr().out


async def test_a_store_that_cannot_say_keeps_no_start(capsys: pytest.CaptureFixture[str]) -> None:
    async def newest() -> Instant:
        raise StoreUnavailable("away")

    await ClockWatch(Hands().clock(), newest).begin()
    assert "was not compared" in capsys.readouterr().out
