"""Captures of a real switch, the tables of what each must cost, and what the daemon's reading of a capture comes to."""

import gzip
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

from daemon.esl import events
from daemon.esl.dialplan import Rules
from daemon.esl.events import Event
from daemon.esl.legs import Began, Closed, Ended, Legs, Unpaid
from daemon.esl.wire import EslConnection, EventBody, Message
from daemon.kernel.money import parse_nano
from daemon.rating.charge import charge, duration_seconds
from daemon.rating.rate_table import RateTable
from tests.decks import read_deck

TESTS = Path(__file__).resolve().parent.parent
CAPTURES = TESTS / "vectors" / "freeswitch"
TABLES = TESTS / "tables" / "freeswitch"
NAMES = sorted(path.name.removesuffix(".json.bin.gz") for path in CAPTURES.glob("*.json.bin.gz"))
LOAD = "load-500-calls"
FORMS = ("json", "plain")
RULES = Rules(strip_digits=1, charged_contexts=frozenset({"public"}))  # the dialplan's scenario digit, its context

Decode = Callable[[EventBody], Event]


class Pays(NamedTuple):
    """One call that one leg pays; ``charge`` in nano-units."""

    uuid: str
    part: int
    account: str
    number: str
    answered_at: int
    microseconds: int
    seconds: int
    switch_seconds: int | None
    charge: int | None
    cause: str


@dataclass
class Account:
    """What a capture comes to: the role of each leg, who pays what, and the exceptions."""

    roles: dict[str, str] = field(default_factory=dict)
    pays: list[Pays] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)

    def total(self) -> int:
        """Return the sum of all charges in nano-units."""
        return sum(line.charge or 0 for line in self.pays)

    def settled(self) -> "Account":
        """Return the same in an order of its own, each leg's uuid cut as the tables have it."""
        return Account(
            {uuid[:8]: role for uuid, role in self.roles.items()},
            sorted((line._replace(uuid=line.uuid[:8]) for line in self.pays), key=lambda line: (line.uuid, line.part)),
            sorted(uuid[:8] for uuid in self.exceptions),
        )


@cache
def capture(name: str) -> bytes:
    """Return a capture's octets."""
    return gzip.decompress((CAPTURES / f"{name}.bin.gz").read_bytes())


@cache
def table(name: str) -> Account:
    """Return the account that was drawn up by hand."""
    written = tomllib.loads((TABLES / f"{name}.toml").read_text())
    named = {leg["name"]: leg["uuid"] for leg in written["leg"]}
    assert len(named) == len(set(named.values())) == len(written["leg"]), "two legs of one name or one uuid"
    account = Account({leg["uuid"]: leg["role"] for leg in written["leg"]})
    for leg in written["leg"]:
        for line in leg.get("pays", ()):
            assert line["answered_by"] in named, line
            account.pays.append(
                Pays(
                    leg["uuid"], line["part"], line["account"], line["number"], line["answered_at"],
                    line["microseconds"], line["seconds"], line["switch_seconds"], parse_nano(line["charge"]),
                    line["cause"],
                )
            )  # fmt: skip
    account.exceptions = [named[name] for name in written["exceptions"]]
    total = written.get("total")
    assert total is None or account.total() == parse_nano(total)
    return account.settled()


@cache
def rates() -> RateTable:
    """Return the deck beside the tables."""
    rows, faults = read_deck((TABLES / "deck.csv").read_text(), "deck.csv")
    built, more = RateTable.from_rows(rows, table="retail", version=1, currency="USD")
    assert built is not None, (faults, more)
    assert not faults
    return built


def messages(chunks: Iterable[bytes]) -> list[Message]:
    """Return what one link that delivers these pieces says."""
    connection = EslConnection()
    return [message for chunk in chunks for message in connection.receive_data(chunk)]


@cache
def whole(name: str) -> tuple[Message, ...]:
    """Return the messages of a capture taken at once."""
    return tuple(messages([capture(name)]))


def decoded(said: Iterable[Message], decode: Decode = events.decode) -> list[Event]:
    """Return the events among messages."""
    return [decode(message) for message in said if isinstance(message, EventBody)]


@cache
def events_of(name: str) -> tuple[Event, ...]:
    """Return the events of a capture."""
    return tuple(decoded(whole(name)))


def drawn_up(heard: Iterable[Event], rules: Rules = RULES) -> Account:
    """Return what the daemon makes of events. Every beginning must have its end, as it began."""
    legs, account, running = Legs(rules), Account(), []
    for event in heard:
        for intent in legs.on_event(event):
            match intent:
                case Began(paid):
                    running.append(paid)
                case Ended(paid, _, microseconds, cause, switch_seconds, _):
                    running.remove(paid)
                    seconds, charged = _priced(paid.number, paid.answered_at, microseconds)
                    account.pays.append(
                        Pays(
                            paid.channel, paid.part, paid.account, paid.number, paid.answered_at, microseconds,
                            seconds, switch_seconds, charged, cause,
                        )
                    )  # fmt: skip
                case Unpaid(channel):
                    account.exceptions.append(channel)
                case Closed(channel, role):
                    account.roles[channel] = role.value
                case _:
                    pass
    assert not running, running
    return account.settled()


def _priced(number: str, answered_at: int, microseconds: int) -> tuple[int, int | None]:
    """Return the seconds and the charge; None where the deck has no rate for the number."""
    tariff = rates().match(number, answered_at)
    seconds = duration_seconds(microseconds, rates().policy.duration_rounding)
    return seconds, None if tariff is None else charge(tariff, seconds).amount


def units(nano: int) -> Decimal:
    """Return nano-units as an amount."""
    return Decimal(nano).scaleb(-9)


def edited(octets: bytes, edit: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Give a capture's messages again with each body edited, its length told anew."""
    at = 0
    while (end := octets.find(b"\n\n", at)) >= 0:
        lines = octets[at:end].lstrip(b"\n").split(b"\n")
        size = next((int(line.partition(b": ")[2]) for line in lines if line.startswith(b"Content-Length: ")), 0)
        at = end + 2 + size
        body = edit(octets[end + 2 : at])
        told = [b"Content-Length: %d" % len(body) if line.startswith(b"Content-Length: ") else line for line in lines]
        yield b"\n".join(told) + b"\n\n" + body
