"""Phones of raw sockets, for what no honest phone sends: the same Call-ID twice, a BYE for nobody, a made-up tag."""

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tests.integration.kamailio_world import Proxy

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
WAIT_SECONDS_MAX = 10  # seconds for one message, on a busy machine
ANSWER_SECONDS = 0.3  # seconds of ringing


def headers(message: str, name: str) -> list[str]:
    """Return the values of every header of a name."""
    return re.findall(rf"^{name}:\s*(.*?)\r?$", message, re.MULTILINE | re.IGNORECASE)


def cseq(message: str) -> int:
    """Return the number of a message's CSeq."""
    return int(headers(message, "CSeq")[0].split()[0])


def _text(*lines: str) -> bytes:
    return ("\r\n".join(each for each in lines if each) + "\r\nContent-Length: 0\r\n\r\n").encode()


class Phone(asyncio.DatagramProtocol):
    """What arrives at one socket; `messages` of it in their order."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._more = asyncio.Event()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.host, self.port = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        self.messages.append(data.decode())
        self._more.set()

    async def find(self, start: str, call_id: str, method: str) -> str:
        """Return the first message that begins so, of a call and a method, as soon as it is there."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while True:
                for each in self.messages:
                    of = (headers(each, "Call-ID")[0], headers(each, "CSeq")[0].split()[1])
                    if each.startswith(start) and of == (call_id, method):
                        return each
                self._more.clear()
                await self._more.wait()


class Called(Phone):
    """The called side: it rings, and answers what its number says: `…0486` once 486, `…0503` once 503, else 200."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.highest: Counter[str] = Counter()

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        super().datagram_received(data, addr)
        message = data.decode()
        if message.startswith(("SIP/", "ACK ")):
            return
        call, number = headers(message, "Call-ID")[0], cseq(message)
        late = number <= self.highest[call] and not message.startswith("INVITE ")
        self.highest[call] = max(number, self.highest[call])
        if not message.startswith("INVITE "):
            self._answer(message, "500 CSeq" if late else "200 OK", addr)
            return
        code = message.split("@")[0][-3:]
        if code in ("486", "503") and call not in self.refused:
            self.refused.add(call)
            self._answer(message, f"{code} Refused", addr)
            return
        self._answer(message, "180 Ringing", addr)
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._answer, message, "200 OK", addr)

    def _answer(self, message: str, status: str, addr: tuple[str | int, int]) -> None:
        to = headers(message, "To")[0]
        self.transport.sendto(
            _text(
                f"SIP/2.0 {status}",
                *(f"Via: {each}" for each in headers(message, "Via")),
                *(f"Record-Route: {each}" for each in headers(message, "Record-Route")),
                f"From: {headers(message, 'From')[0]}",
                f"To: {to}" if "tag=" in to else f"To: {to};tag=called",
                f"Call-ID: {headers(message, 'Call-ID')[0]}",
                f"CSeq: {headers(message, 'CSeq')[0]}",
                f"Contact: <sip:called@{self.host}:{self.port}>",
            ),
            addr,
        )

    def hang_up(self, invite: str, sip: int) -> None:
        """Send the BYE of this side, with a number of its own."""
        text = _text(
            f"BYE {headers(invite, 'Contact')[0].strip('<>')} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{time.time_ns()}",
            *(f"Route: {each}" for each in headers(invite, "Record-Route")),
            f"From: {headers(invite, 'To')[0]};tag=called",
            f"To: {headers(invite, 'From')[0]}",
            f"Call-ID: {headers(invite, 'Call-ID')[0]}",
            "CSeq: 1 BYE",
            "Max-Forwards: 70",
        )
        self.transport.sendto(text, (HERE, sip))

    def heard(self, call_id: str) -> Counter[str]:
        """Count what arrived of a call, by method."""
        requests = (each for each in self.messages if not each.startswith("SIP/"))
        return Counter(each.split()[0] for each in requests if headers(each, "Call-ID")[0] == call_id)


@dataclass
class Caller:
    """One caller and his call; `to` and `routes` are what the answer told him."""

    proxy: Proxy
    phone: Phone
    call_id: str
    called: str
    tag: str = "caller"
    first: int = 5  # CSeq
    to: str = ""
    contact: str = ""
    routes: list[str] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"sip:{self.called}@{HERE}:{self.proxy.sip}"

    def send(self, method: str, number: int, uri: str = "", extra: str = "", phone: Phone | None = None) -> bytes:
        """Send one request of the call, from another's phone where one is given, and return it."""
        by = phone or self.phone
        request = _text(
            f"{method} {uri or self.contact or self.uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {by.host}:{by.port};branch=z9hG4bK{time.time_ns()}",
            *(f"Route: {each}" for each in self.routes),
            f"From: <sip:alice@tollway.test>;tag={self.tag}",
            f"To: {self.to or f'<sip:{self.called}@tollway.test>'}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:alice@{self.phone.host}:{self.phone.port}>",
            "Max-Forwards: 70",
            extra,
        )
        self.again(request, by)
        return request

    def again(self, request: bytes, by: Phone | None = None) -> None:
        """Send what was sent once more, as a phone repeats itself."""
        (by or self.phone).transport.sendto(request, (HERE, self.proxy.sip))

    async def final(self, method: str, number: int, phone: Phone | None = None) -> str:
        """Return the status of the final answer to a request, and take it off."""
        by = phone or self.phone
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while True:
                for each in by.messages:
                    told = (headers(each, "Call-ID")[0], headers(each, "CSeq")[0])
                    if re.match("SIP/2.0 [2-6]", each) and told == (self.call_id, f"{number} {method}"):
                        by.messages.remove(each)
                        return each
                await asyncio.sleep(0.01)

    async def dial(self, repeated: bool = False) -> str:
        """Call with alice's password, and return the status of the last answer: of the challenge where it is none."""
        self.send("INVITE", self.first)
        challenge = await self.final("INVITE", self.first)
        if not challenge.startswith("SIP/2.0 407"):
            return challenge.split()[1]
        self._acknowledge(challenge, self.first)
        request = self.send("INVITE", self.first + 1, extra=self._proof(challenge))
        if repeated:
            self.again(request)
        answer = await self.final("INVITE", self.first + 1)
        if answer.startswith("SIP/2.0 200"):
            self.take(answer, self.first + 1)
        else:
            self._acknowledge(answer, self.first + 1)
        return answer.split()[1]

    def take(self, answer: str, number: int) -> None:
        """Acknowledge an answer, and go on in its call."""
        self.to, self.routes = headers(answer, "To")[0], headers(answer, "Record-Route")[::-1]
        self.contact = headers(answer, "Contact")[0].strip("<>")
        self.send("ACK", number)

    def _acknowledge(self, refusal: str, number: int) -> None:
        before, self.to = self.to, headers(refusal, "To")[0]
        self.send("ACK", number)
        self.to = before

    def _proof(self, challenge: str) -> str:
        told = headers(challenge, "Proxy-Authenticate")[0]
        found = {name: re.search(rf'{name}="([^"]*)"', told) for name in ("realm", "nonce", "qop")}
        realm, nonce, qop = (each.group(1) if each else "" for each in found.values())
        one, two = _md5(f"alice:{realm}:hello"), _md5(f"INVITE:{self.uri}")
        middle = f"{nonce}:00000001:cc:auth" if qop else nonce
        proof = (
            f'Proxy-Authorization: Digest username="alice",realm="{realm}",nonce="{nonce}",uri="{self.uri}",'
            f'response="{_md5(f"{one}:{middle}:{two}")}",algorithm=MD5'
        )
        return f'{proof},qop=auth,nc=00000001,cnonce="cc"' if qop else proof

    async def ask(self, method: str, number: int, uri: str = "", phone: Phone | None = None) -> str:
        """Send a request of the call, and return the status of its final answer."""
        self.send(method, number, uri, phone=phone)
        return (await self.final(method, number, phone)).split()[1]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


Plugged = TypeVar("Plugged", bound=Phone)


@asynccontextmanager
async def plugged(kind: type[Plugged], host: str = HERE, port: int = 0) -> AsyncIterator[Plugged]:
    """Open a phone's socket."""
    transport, phone = await asyncio.get_running_loop().create_datagram_endpoint(kind, local_addr=(host, port))
    try:
        yield phone
    finally:
        transport.close()
