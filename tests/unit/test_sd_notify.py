"""What is told to a supervisor, and what of its environment is believed."""

import socket
from pathlib import Path

import pytest

from daemon import sd_notify
from daemon.sd_notify import Notifier, Supervisor, Unusable, supervisor_of


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Supervisor()),
        ({"WATCHDOG_USEC": "1000000"}, Supervisor()),  # nobody to tell
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, Supervisor("/run/systemd/notify")),
        ({"NOTIFY_SOCKET": "@abstract", "WATCHDOG_USEC": "3000000"}, Supervisor("@abstract", 3.0)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, Supervisor("/n", 0.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, Supervisor("/n")),
    ],
)
def test_the_environment_says_who_supervises(environment: dict[str, str], expected: Supervisor) -> None:
    found = supervisor_of(environment, 7)
    assert found == expected
    assert found.alive_seconds == expected.watchdog_seconds / 2


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"NOTIFY_SOCKET": "relative"}, "NOTIFY_SOCKET"),
        ({"NOTIFY_SOCKET": "@"}, "NOTIFY_SOCKET"),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, "NOTIFY_SOCKET"),
        ({"NOTIFY_SOCKET": "/" + "n" * 107}, "NOTIFY_SOCKET"),
        *(
            ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": text}, "WATCHDOG_USEC")
            for text in ("soon", "0", "-1", "1.5", "²")
        ),
    ],
)
def test_what_cannot_be_used_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(Unusable, match=named):
        supervisor_of(environment, 7)


def test_the_messages_are_those_of_the_protocol() -> None:
    assert sd_notify.ready("serving") == "READY=1\nSTATUS=serving"
    assert sd_notify.alive() == "WATCHDOG=1"
    assert sd_notify.stopping("over") == "STOPPING=1\nSTATUS=over"
    assert sd_notify.extended(30, "loading") == "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=loading"
    assert sd_notify.reloading(12.5).splitlines()[:2] == ["RELOADING=1", "MONOTONIC_USEC=12500000"]


def test_a_status_is_one_short_line() -> None:
    told = sd_notify.status("one\nREADY=1\n" + "x" * 1_000)
    assert told.startswith("STATUS=one READY=1 x")
    assert "\n" not in told
    assert len(told) == len("STATUS=") + sd_notify.STATUS_LENGTH_MAX


def test_what_a_full_socket_does_not_take_goes_before_the_next_message(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(path)
        supervisor.setblocking(False)
        notifier = Notifier(path)
        room = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            try:
                while True:
                    other.sendto(b"x", path)
                    room += 1
            except BlockingIOError:
                pass
        notifier.tell("READY=1")
        for _ in range(room):
            assert supervisor.recv(10) == b"x"
        notifier.tell("WATCHDOG=1")
        assert [supervisor.recv(99), supervisor.recv(99)] == [b"READY=1", b"WATCHDOG=1"]
        notifier.close()
        notifier.tell("never sent")
        with pytest.raises(BlockingIOError):
            supervisor.recv(1)


def test_a_socket_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    for _ in range(2 * sd_notify.UNSENT_MAX):
        notifier.tell("WATCHDOG=1")
    notifier.close()
    Notifier().tell("nobody asks")
