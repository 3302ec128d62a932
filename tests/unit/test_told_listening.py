"""What is told of a listener that cannot be bound, and the time that a daemon goes by while its machine's is set."""

import errno

import pytest

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


def test_a_clock_that_is_set_forward_is_followed() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall += HOUR
    assert clock() == hands.wall
    hands.wall -= HOUR
    assert (clock(), clock.held_back) == (hands.wall + HOUR, HOUR), "to take that back is a step back"


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
    await watch.begin()
    assert "stands before the newest entry" in capsys.readouterr().out


async def test_a_store_that_cannot_say_keeps_no_start(capsys: pytest.CaptureFixture[str]) -> None:
    async def newest() -> Instant:
        raise StoreUnavailable("away")

    await ClockWatch(Hands().clock(), newest).begin()
    assert "was not compared" in capsys.readouterr().out
