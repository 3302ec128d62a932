"""The oracles. Each takes any octets and returns; whatever it raises is a bug in the daemon.

Beside that only documented errors are raised they hold that octets in pieces mean what they mean whole, and that what
was decoded is encoded to something that means the same. Nothing here knows the fuzzer: seeds are replayed without it.
"""

import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

from daemon.authorize.catalog import Catalog
from daemon.charging.configuration import NasSpec
from daemon.config_files.deck_files import Unreadable, read_deck_file
from daemon.esl import events, wire
from daemon.esl.cdr import read_leg
from daemon.esl.dialplan import Rules
from daemon.esl.legs import Legs
from daemon.esl.wire import EslConnection, EventBody, Message, RemoteWireError
from daemon.http_api.messages import (
    AnswerRequest,
    AuthorizeRequest,
    EndRequest,
    TopUpRequest,
    UpdateRequest,
    VoucherRequest,
    checked,
    decoded,
    duration_us,
    instant,
)
from daemon.http_api.refusal import RequestRefused
from daemon.kernel.instant import SECOND
from daemon.radius import authenticator, digest, reply
from daemon.radius.dictionary import PROFILES, dictionary
from daemon.radius.packet import LocalPacketError, Packet, RemotePacketError, decode, encode
from daemon.radius.question import USER_PASSWORD, read_question
from daemon.radius.record import read_record

PIECES_MAX = 32  # octets of one piece of a stream
SECRET = b"loopback-secret"
ARRIVAL = 1_795_000_000 * SECOND
CATALOG = Catalog(1, {}, {}, {}, {}, {}, {})
ACCESS, ACCOUNTING = 1, 4
FRAMED = {b"J": b"text/event-json", b"P": b"text/event-plain"}  # a first octet of ESL, and what its rest is
DECODERS = tuple(
    msgspec.json.Decoder(kind)
    for kind in (AuthorizeRequest, AnswerRequest, UpdateRequest, EndRequest, TopUpRequest, VoucherRequest)
)


def esl(data: bytes) -> None:
    """Octets of a switch: the first one says how the rest comes in pieces, and whether it is bodies to be framed."""
    stream = data[1:]
    if data[:1] in FRAMED:
        stream = b"".join(_framed(FRAMED[data[:1]], body) for body in stream.split(b"\0"))
    whole, fault = _messages(stream, [len(stream)])
    pieces, same_fault = _messages(stream, _sizes(data[:1], len(stream)))
    assert (whole, fault) == (pieces, same_fault)
    legs = Legs(Rules())
    for message in whole:
        if isinstance(message, EventBody):
            _event(message, legs)
    try:
        read_leg(stream)
    except RemoteWireError:
        pass


def _framed(kind: bytes, body: bytes) -> bytes:
    """Return an event: what changes a length by chance is no event any more, and nothing behind it is tried."""
    return b"Content-Type: %b\nContent-Length: %d\n\n%b" % (kind, len(body), body)


def _sizes(seed: bytes, octets: int) -> list[int]:
    drawn = random.Random(seed)
    sizes = []
    while octets > 0:
        sizes.append(min(octets, drawn.randint(1, PIECES_MAX)))
        octets -= sizes[-1]
    return sizes


def _messages(stream: bytes, sizes: list[int]) -> tuple[list[Message], str]:
    """Return what a connection makes of a stream in pieces, and what ended it."""
    connection, found, at = EslConnection(), [], 0
    for size in sizes:
        try:
            found += connection.receive_data(stream[at : at + size])
        except RemoteWireError as error:
            return found, str(error)
        if connection.fault is not None:
            return found, str(connection.fault)
        at += size
    return found, ""


def _event(message: EventBody, legs: Legs) -> None:
    try:
        event = events.decode(message)
    except RemoteWireError:
        return
    assert event.at >= 0
    assert events.from_json(msgspec.json.encode(event)) == event
    if wire.is_uuid(event.channel):
        legs.on_event(event)


def radius(data: bytes) -> None:
    """A datagram, as a request of either kind from a client of each profile."""
    try:
        packet = decode(data)
    except RemotePacketError:
        return
    _means_the_same(packet)
    for profile in PROFILES:
        _shown(packet, profile)
    _judged(packet)
    for profile in PROFILES:
        nas = NasSpec("gw1", "main", "127.0.0.1", SECRET.decode(), profile, trust_user_name=True)
        if packet.code == ACCESS:
            read_question(packet, nas, ("127.0.0.1", 1), SECRET, CATALOG)
        if packet.code == ACCOUNTING:
            read_record(packet, nas, "127.0.0.1", CATALOG, ARRIVAL)


def _means_the_same(packet: Packet) -> None:
    assert decode(packet.data) == packet
    try:
        again = encode(packet.code, packet.identifier, packet.authenticator, packet.attributes)
    except LocalPacketError:
        return  # code 0, or more than 4,096 octets: what lay in one attribute of a vendor lies in several
    assert decode(again).attributes == packet.attributes


def _shown(packet: Packet, profile: str) -> None:
    book = dictionary(profile, packet.code)
    for key, value in packet.attributes:
        name, shown = book.shown(key, value)
        if isinstance(shown, int):
            # A name may have another number too: switches disagree about it.
            assert book.written(name, str(shown))[1] == value


def _judged(packet: Packet) -> None:
    authenticator.request_is_authentic(packet, SECRET)
    authenticator.response_is_authentic(packet, packet.authenticator, SECRET)
    authenticator.signature_is_valid(packet, SECRET)
    authenticator.signature_is_valid(packet, SECRET, packet.authenticator)
    for value in packet.values(USER_PASSWORD):
        plain = authenticator.reveal_password(value, SECRET, packet.authenticator)
        if plain:
            hidden = authenticator.hide_password(plain, SECRET, packet.authenticator)
            assert authenticator.reveal_password(hidden, SECRET, packet.authenticator) == plain
    if reply.proxy_states(packet) is not None:
        answer = decode(reply.accounting_response(packet, SECRET))
        assert authenticator.response_is_authentic(answer, packet.authenticator, SECRET)
        assert authenticator.signature_is_valid(answer, SECRET, packet.authenticator) in (None, True)
    stated = digest.from_packet(packet)
    if stated is not None:
        stated.proves("password", "")
        stated.proves("", "0" * 32)


def http(data: bytes) -> None:
    """A body, as each of the requests that HTTP takes."""
    for decoder in DECODERS:
        try:
            value = decoded(decoder, data)
        except RequestRefused:
            continue
        told = msgspec.json.encode(value)
        assert msgspec.json.encode(decoder.decode(told)) == told  # not the values: no number equals none
        for name in value.__struct_fields__:
            _field(name, getattr(value, name))


def _field(name: str, value: object) -> None:
    try:
        if name == "duration_seconds":
            duration_us(value)  # type: ignore[arg-type]  # a decimal or nothing
        elif name in ("at", "expires_at") and isinstance(value, str):
            instant(value)
        elif isinstance(value, str):
            checked(value, name)
    except RequestRefused:
        pass


def deck(data: bytes) -> None:
    """A deck in a file."""
    path = _folder() / "deck.csv"
    path.write_bytes(data)
    try:
        read = read_deck_file(path)
    except Unreadable:
        return
    assert not (read.rows and read.problems), "a deck is taken whole or not"


def _folder() -> Path:
    return Path(_made_folder().name)


@cache
def _made_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="tollway-fuzz-")


TARGETS: dict[str, Callable[[bytes], None]] = {"esl": esl, "radius": radius, "http": http, "deck": deck}
