"""Requests for tests of the mapping, built from names and values."""

from collections.abc import Sequence
from dataclasses import replace

from daemon.authorize.catalog import Catalog
from daemon.charging.configuration import NasSpec
from daemon.kernel.instant import Instant, parse_rfc3339
from daemon.radius.client import build
from daemon.radius.fields import Fields
from daemon.radius.packet import Packet, decode
from daemon.radius.question import Question, read_question
from daemon.radius.record import Record, read_record
from tests.unit.charging.desk import catalog
from tests.unit.radius.vectors import octets

Pairs = Sequence[tuple[str, str]]
SECRET = "testing123"
SOURCE = ("192.0.2.20", 40000)
ARRIVAL: Instant = parse_rfc3339("2026-01-01T00:10:00Z")


def nas(profile: str = "generic", **changes: object) -> NasSpec:
    """Return a client."""
    return replace(NasSpec("gw1", "main", "192.0.2.0/24", SECRET, profile), **changes)  # type: ignore[arg-type]


def request(code: int, pairs: Pairs, profile: str = "generic") -> Packet:
    """Return a request as it arrives."""
    return decode(build(code, pairs, SECRET.encode(), 1, profile))


def fields(pairs: Pairs, profile: str = "generic") -> Fields:
    """Return the fields of an accounting request."""
    return Fields(request(4, pairs, profile), profile)


def question(pairs: Pairs, client: NasSpec | None = None, known: Catalog | None = None) -> Question:
    """Return the question in an Access-Request."""
    client = client or nas()
    return read_question(request(1, pairs, client.profile), client, SOURCE, SECRET.encode(), known or catalog())


def record(
    pairs: Pairs, profile: str = "generic", arrival: Instant = ARRIVAL, client: NasSpec | None = None
) -> Record:  # fmt: skip
    """Return the record in an Accounting-Request."""
    client = client or nas(profile)
    return read_record(request(4, pairs, client.profile), client, SOURCE[0], catalog(), arrival)


def vector_record(name: str, profile: str, arrival: Instant = ARRIVAL) -> Record:
    """Return the record in a vector's packet."""
    return read_record(decode(octets(name)), nas(profile), SOURCE[0], catalog(), arrival)
