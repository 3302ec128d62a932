"""Events and replies as a real switch wrote them, cut out of the captures, with the legs' ids and times replaced.

Nothing of the daemon is imported here: the double must not share a mistake with what it tests.
"""

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

VECTORS = Path(__file__).parents[1] / "vectors" / "freeswitch"
Headers: TypeAlias = dict[str, str | list[str]]
CAPTURE = "parked-then-transferred"
A_LEG, B_LEG = "0a833ead-bdb7-4ab2-8898-f2d5406f2a0f", "9113beb6-04e3-4704-b338-0fe7f922e004"


@dataclass(frozen=True)
class Packet:
    """A message as captured: its headers, its body and all of its octets."""

    headers: dict[str, str]
    body: bytes
    octets: bytes


def packets(name: str) -> list[Packet]:
    """Return the messages of a capture."""
    data = gzip.decompress((VECTORS / f"{name}.bin.gz").read_bytes())
    found: list[Packet] = []
    at = 0
    while at < len(data):
        end = data.index(b"\n\n", at) + 2
        headers = dict(line.split(": ", 1) for line in data[at : end - 2].decode().split("\n"))
        size = int(headers.get("Content-Length", "0"))
        found.append(Packet(headers, data[end : end + size], data[at : end + size]))
        at = end + size
    return found


def replies() -> dict[str, bytes]:
    """Return the octets of replies that captures hold: auth, accepted, json, plain, ok, gone."""
    json_link, plain_link = packets(f"{CAPTURE}.json"), packets(f"{CAPTURE}.plain")
    bodies = {packet.body: packet.octets for packet in packets("joined-mid-call.json")}
    return {
        "auth": json_link[0].octets, "accepted": json_link[1].octets, "json": json_link[2].octets,
        "plain": plain_link[2].octets, "ok": bodies[b"+OK\n"], "gone": bodies[b"-ERR No such channel!\n"],
    }  # fmt: skip


def events() -> dict[tuple[str, str], str]:
    """Return the first event of each name for either leg, as JSON text: {("a", "CHANNEL_PARK"): ...}."""
    found: dict[tuple[str, str], str] = {}
    for packet in packets(f"{CAPTURE}.json"):
        if packet.headers.get("Content-Type") != "text/event-json":
            continue
        event = json.loads(packet.body)
        role = {A_LEG: "a", B_LEG: "b"}.get(event.get("Unique-ID"), "")
        for name in [name for name in event if name.startswith("variable_tollway_")]:
            del event[name]  # of an earlier naming, or of that call alone
        found.setdefault((role, event["Event-Name"]), json.dumps(event))
    return found


def channel_row() -> dict[str, str]:
    """Return one row of ``show channels as json`` as captured."""
    table = next(p for p in packets("joined-mid-call.json") if p.headers["Content-Type"] == "api/response")
    row: dict[str, str] = json.loads(table.body)["rows"][0]
    return row


def as_json(event: Headers) -> bytes:
    """Return the octets of an event on a JSON link."""
    body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)


def as_plain(event: Headers) -> bytes:
    """Return the octets of an event on a plain link; values are URL-encoded as the switch encodes them."""
    lines = []
    for name, value in event.items():
        text = value if isinstance(value, str) else "ARRAY::" + "|:".join(value)
        lines.append(f"{name}: {quote(text, safe='/,()*!~')}\n")
    body = ("".join(lines) + "\n").encode()
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n%s" % (len(body), body)


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " ", "'": "'", '"': '"', "\\": "\\"}


def separated(text: str, delimiter: str) -> list[str]:
    """Split as switch_separate_string does: backslashes escape, single quotes quote, outer blanks go."""
    parts, start, quoted, at = [], 0, False, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "'" and (quoted or "'" in text[at + 1 :]):
            quoted = not quoted
        elif text[at] == delimiter and not quoted:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return [_cleaned(part, delimiter) for part in parts if part]


def _cleaned(text: str, delimiter: str) -> str:
    pattern = re.compile(r"\\(.)|(')|( +$)", re.DOTALL)

    def replaced(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1] if match[1] == delimiter else _ESCAPES.get(match[1], match[0])
        return ""

    return pattern.sub(replaced, text.lstrip(" "))
