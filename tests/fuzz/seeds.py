"""What fuzzing begins with: the committed seeds, and the octets that the vectors and the hostile corpora hold."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.hostile_cases import cases, octets

TESTS = Path(__file__).parents[1]
SEEDS = Path(__file__).parent / "seeds"
SIZE_MAX = 16_384  # octets of one seed: mutations of a longer one find less in a second
CAPTURED = ("busy.json", "busy.plain", "bridge-answered.json", "unicode.plain")
EVENTS_MAX = 40  # events of one capture
EVENT = re.compile(rb"(?<=\n\n)(?:\{.*?\}|Event-Name: .*?\n)(?=Content-|\n)", re.DOTALL)


def seeds(target: str) -> Iterator[bytes]:
    """Yield the seeds of a target; the committed ones, each of which was found or written for a reason, come first."""
    for path in sorted((SEEDS / target).iterdir()):
        yield path.read_bytes()
    for seed in _BORROWED[target]():
        yield seed[:SIZE_MAX]


def _esl() -> Iterator[bytes]:
    for name in CAPTURED:
        stream = gzip.decompress((TESTS / "vectors" / "freeswitch" / f"{name}.bin.gz").read_bytes())
        yield b"\0" + stream
        for body in EVENT.findall(stream)[:EVENTS_MAX]:
            yield name.partition(".")[2][:1].upper().encode() + body.removesuffix(b"\n")
    for case in cases("esl"):
        if "send" in case:
            yield b"\1" + octets(case["send"])
        for key, kind in (("event", b"J"), ("plain", b"P")):
            if key in case:
                yield kind + octets(case[key])


def _radius() -> Iterator[bytes]:
    for vector in json.loads((TESTS / "vectors" / "radius_vectors.json").read_text(encoding="utf-8"))["vectors"]:
        if vector.get("hex"):
            yield bytes.fromhex(vector["hex"])


def _http() -> Iterator[bytes]:
    for case in cases("http"):
        if "json" in case:
            yield octets(case["json"], names={"call": b"c1"})


def _deck() -> Iterator[bytes]:
    for path in sorted((TESTS / "vectors" / "decks").iterdir()):
        yield path.read_bytes()
    for case in cases("decks"):
        yield octets(case["file"])


_BORROWED = {"esl": _esl, "radius": _radius, "http": _http, "deck": _deck}
