"""A record of 613 octets: decode, verify, type, answer; beside pyrad doing the same in the same run."""

import statistics
import sys
import time
from collections.abc import Callable
from io import StringIO

from pyrad.dictionary import Dictionary as PyradDictionary
from pyrad.packet import AcctPacket

from daemon.radius.authenticator import request_is_authentic
from daemon.radius.client import build
from daemon.radius.dictionary import dictionary
from daemon.radius.fields import Fields
from daemon.radius.packet import decode, encode
from daemon.radius.reply import accounting_response

SECRET = b"benchmark-secret"
ROUNDS, REPEATS = 2000, 7
VOIP = (
    "h323-conf-id", "h323-incoming-conf-id", "h323-setup-time", "h323-connect-time", "h323-disconnect-time",
    "h323-disconnect-cause", "h323-call-origin", "h323-call-type", "h323-remote-address", "Cisco-AVPair",
)  # fmt: skip
RECORD = [
    ("Acct-Status-Type", "Stop"), ("Acct-Session-Id", "0000004F"), ("User-Name", "18005551212"),
    ("NAS-IP-Address", "192.0.2.10"), ("NAS-Port", "5060"), ("Called-Station-Id", "442079460000"),
    ("Calling-Station-Id", "18005551212"), ("Acct-Session-Time", "185"), ("Acct-Terminate-Cause", "1"),
    ("Acct-Delay-Time", "0"), ("Acct-Input-Octets", "1480000"), ("Acct-Output-Octets", "1480000"),
    ("Acct-Input-Packets", "9250"), ("Acct-Output-Packets", "9250"), ("Service-Type", "1"),
    *[(name, f"{name}=00:03:10.000 UTC Thu"[:32]) for name in VOIP],
]  # fmt: skip


def _packet() -> bytes:
    short = build(4, RECORD, SECRET, 7)
    return build(4, [*RECORD, ("NAS-Identifier", "g" * (613 - len(short) - 2))], SECRET, 7)


def _pyrad_dictionary() -> PyradDictionary:
    book = dictionary("generic", 4)
    lines = ["VENDOR Cisco 9"]
    lines += [f"ATTRIBUTE {d.name} {d.key} {d.kind}" for d in book.by_key.values() if d.key < 256 and d.kind != "tlv"]
    lines.append("BEGIN-VENDOR Cisco")
    lines += [f"ATTRIBUTE {d.name} {d.key & 255} {d.kind}" for d in book.by_key.values() if d.key >> 8 == 9]
    lines.append("END-VENDOR Cisco")
    return PyradDictionary(StringIO("\n".join(lines) + "\n"))


def _microseconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for _ in range(ROUNDS):
            work()
        times.append((time.perf_counter() - begun) / ROUNDS * 1e6)
    return statistics.median(times)


def main() -> int:
    """Print microseconds and ratios."""
    data = _packet()
    assert len(data) == 613, len(data)
    book = _pyrad_dictionary()
    attributes = decode(data).attributes

    def ours_typed() -> object:
        packet = decode(data)
        assert request_is_authentic(packet, SECRET)
        return Fields(packet, "generic")

    def theirs_typed() -> object:
        packet = AcctPacket(packet=data, secret=SECRET, dict=book)
        assert packet.VerifyAcctRequest()
        return [packet[key] for key in packet.keys()]  # noqa: SIM118 - pyrad's packet is no plain mapping

    def ours_answer() -> object:
        packet = decode(data)
        assert request_is_authentic(packet, SECRET)
        Fields(packet, "generic")
        return accounting_response(packet, SECRET)

    def theirs_answer() -> object:
        packet = AcctPacket(packet=data, secret=SECRET, dict=book)
        assert packet.VerifyAcctRequest()
        assert [packet[key] for key in packet.keys()]  # noqa: SIM118 - as above
        return packet.CreateReply().ReplyPacket()

    assert theirs_answer() == ours_answer()
    rows: tuple[tuple[str, Callable[[], object], Callable[[], object] | None], ...] = (
        ("decode, raw values", lambda: decode(data), lambda: AcctPacket(packet=data, secret=SECRET, dict=book)),
        ("decode, verify, by name", ours_typed, theirs_typed),
        ("datagram in, reply out", ours_answer, theirs_answer),
        ("encode", lambda: encode(4, 7, bytes(16), attributes), None),
    )
    print("trust the ratios: the machine is shared")
    print(f"{'accounting record of 613 octets':32} {'ours us':>9} {'pyrad us':>9} {'ratio':>7}")
    for name, ours, theirs in rows:
        mine = _microseconds(ours)
        peer = _microseconds(theirs) if theirs is not None else 0.0
        print(f"{name:32} {mine:9.1f} {peer:9.1f} {peer / mine if peer else 0:7.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
