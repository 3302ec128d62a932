"""Durability seen from the kernel: strace counts what reaches the disk between a request and its reply.

A kill leaves the page cache, so only the system calls themselves show that a reply waits for its fsync.
"""

import re
import shutil
import socket
from pathlib import Path

import pytest

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO, SECRET

REQUESTS = 12
# recvmsg and sendmsg carry the datagrams; a sync counts only on the store's own files.
TRACE = ["strace", "-f", "-y", "-e", "trace=recvmsg,recvmmsg,recvfrom,sendmsg,sendmmsg,sendto,fsync,fdatasync"]
ACCEPTED = re.compile(r'send\w+\(\d+<.*"\\2\\')  # a datagram that begins with code 2, Access-Accept
SYNCED = re.compile(r"f(?:data)?sync\(\d+<[^>]*tollway\.db(?:-wal)?>\)\s+= 0|fdatasync resumed>\)\s+= 0")

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (scripts/test-deps)")


def _ask(daemon: DaemonProcess, packet: bytes, port: int, timeout: float = 30) -> peer.Reply | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(timeout)
        link.sendto(packet, ("127.0.0.1", port))
        try:
            return peer.reply(SECRET, packet, link.recv(4096))
        except TimeoutError:
            return None


def test_every_reply_comes_after_a_sync_of_the_store(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    daemon = DaemonProcess(tmp_path, SCENARIO, wrapper=[*TRACE, "-o", str(trace)])
    daemon.apply()
    daemon.start()
    try:
        before = len(trace.read_text().splitlines())
        for number in range(REQUESTS):
            packet = peer.access_request(SECRET, number, "rich", "rich-password", "442071231234", f"sync-{number}")
            answer = _ask(daemon, packet, daemon.auth_port)
            assert answer is not None
            assert answer.code == peer.ACCESS_ACCEPT
    finally:
        daemon.kill()
    lines = trace.read_text(errors="replace").splitlines()[before:]
    replies, synced = 0, 0
    for line in lines:
        if SYNCED.search(line):
            synced += 1
        elif ACCEPTED.search(line):
            assert synced >= 1, f"a reply left before the store was synced: {line}"
            replies += 1
            synced = 0
    assert replies == REQUESTS, "\n".join(lines[-40:])


def test_an_fsync_error_acknowledges_nothing(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, SCENARIO)
    daemon.apply()
    daemon.start()
    granted = peer.access_request(SECRET, 1, "rich", "rich-password", "442071231234", "eio-1")
    answer = _ask(daemon, granted, daemon.auth_port)
    daemon.kill()
    assert answer is not None
    # From here on every sync of the store fails; only reads of what is there still work.
    inject = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=EIO",
    ]
    daemon.wrapper = inject
    daemon.await_ready = False
    daemon.start()
    try:
        start = peer.accounting_request(SECRET, 2, peer.START, "eio-1", "rich", "442071231234")
        assert _ask(daemon, start, daemon.acct_port, timeout=3) is None
        refused = peer.access_request(SECRET, 3, "rich", "rich-password", "442071231234", "eio-2")
        reply = _ask(daemon, refused, daemon.auth_port, timeout=3)
        assert reply is None or reply.code == peer.ACCESS_REJECT
    finally:
        daemon.kill()
    daemon.wrapper, daemon.await_ready = [], True
    daemon.start()
    try:
        assert _ask(daemon, start, daemon.acct_port) is not None
    finally:
        daemon.kill()
