"""A double of an Asterisk: its manager's port, its channels, and the FastAGI side of its dialplan.

What it says of a call are the messages of a real Asterisk 22 (tests/vectors/asterisk/cut-off-at-limit.ami.gz), with the
ids and channel names of the call put in and stamped with the time. It hangs up by AbsoluteTimeout as the real one does.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.virtual_time import wall_us

CAPTURE = Path(__file__).resolve().parents[1] / "vectors" / "asterisk" / "cut-off-at-limit.ami.gz"
CALLER, CALLED = b"1795457659.2", b"1795457659.3"
NAMES = {CALLER: b"PJSIP/sipp-00000002", CALLED: b"PJSIP/carrier-00000003"}
USERNAME, SECRET = "tollway", "of this switch"
Variables = dict[str, str]


def _messages() -> list[bytes]:
    """Return what the capture says of its one call, in order; the rest of it is of other calls or of nobody's."""
    text = gzip.decompress(CAPTURE.read_bytes())
    return [message for message in text.split(b"\r\n\r\n") if CALLER in message and b"Event: CoreShow" not in message]


def _phases() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return what is said until somebody answers, at the answer, and at the end."""
    messages = [each for each in _messages() if not each.startswith((b"Event: AGIExec", b"Event: VarSet"))]
    answers = next(place for place, each in enumerate(messages) if each.startswith(b"Event: DialEnd"))
    ends = next(place for place, each in enumerate(messages) if each.startswith(b"Event: BridgeLeave"))
    dials = next(place for place, each in enumerate(messages) if each.startswith(b"Event: DialBegin"))
    return messages[dials:answers], messages[answers:ends], messages[ends:]


RINGS, ANSWERS, ENDS = _phases()


@dataclass
class Channel:
    """A caller's channel and the one that it calls."""

    uniqueid: str
    called: str
    answered_at: int = 0
    ended_at: int = 0
    cause: str = ""
    timer: asyncio.TimerHandle | None = None
    timer_at: float = 0.0
    variables: Variables = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def talked_us(self) -> int:
        return self.ended_at - self.answered_at


class AsteriskDouble:
    """Listens as a manager; ``actions`` are those that it was told, in order."""

    def __init__(self) -> None:
        self.port = 0
        self.actions: list[tuple[str, dict[str, str]]] = []
        self.channels: dict[str, Channel] = {}
        self.secret = SECRET
        self.deaf = False  # takes actions and answers none
        self.mute = False  # makes no events
        self._made = 0
        self._server: asyncio.Server | None = None
        self._links: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "AsteriskDouble":
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_links()
        for channel in self.channels.values():
            if channel.timer is not None:
                channel.timer.cancel()

    async def listen(self) -> None:
        """Accept links, on the same port as before."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close_links(self) -> None:
        """Break every link and accept none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in self._links:
            link.close()
        self._links.clear()
        await asyncio.sleep(0)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._linked(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        challenge = "259071254"
        try:
            while True:
                block = await reader.readuntil(b"\r\n\r\n")
                action = dict(line.split(": ", 1) for line in block.decode().rstrip("\r\n").split("\r\n"))
                name = action.pop("Action")
                self.actions.append((name, action))
                if self.deaf:
                    continue
                if name == "Login":
                    proof = hashlib.md5(f"{challenge}{self.secret}".encode(), usedforsecurity=False).hexdigest()
                    accepted = (action["Username"], action["Key"]) == (USERNAME, proof)
                    answer = {"Message": "Authentication accepted" if accepted else "Authentication failed"}
                    _say(writer, {"Response": "Success" if accepted else "Error", **_id(action), **answer})
                    if accepted:
                        self._links.append(writer)
                    else:
                        writer.close()
                        return
                elif name == "Challenge":
                    _say(writer, {"Response": "Success", **_id(action), "Challenge": challenge})
                else:
                    self._act(writer, name, action)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _act(self, writer: asyncio.StreamWriter, name: str, action: dict[str, str]) -> None:
        if name == "CoreShowChannels":
            _say(writer, {"Response": "Success", **_id(action), "EventList": "start"})
            for fields in self._listed():
                _say(writer, {"Event": "CoreShowChannel", **_id(action), **fields})
            _say(writer, {"Event": "CoreShowChannelsComplete", **_id(action), "EventList": "Complete"})
            return
        channel = self.channels.get(action.get("Channel", ""))
        if name != "Ping" and (channel is None or channel.over.is_set()):
            _say(writer, {"Response": "Error", **_id(action), "Message": "No such channel"})
            return
        _say(writer, {"Response": "Success", **_id(action), **self._done(channel, name, action)})

    def _done(self, channel: Channel | None, name: str, action: dict[str, str]) -> dict[str, str]:
        if channel is None:
            return {"Ping": "Pong"}
        if name == "Hangup":
            self.hang_up(channel, action["Cause"])
        elif name == "AbsoluteTimeout":
            self.arm(channel, float(action["Timeout"]))
        elif name == "Setvar":
            channel.variables[action["Variable"]] = action.get("Value", "")
        elif action["Variable"] == "CDR(answer,u)":
            return {"Value": f"{channel.answered_at // 10**6}.{channel.answered_at % 10**6:06d}"}
        return {"Message": "done"}

    def _listed(self) -> Iterator[dict[str, str]]:
        for channel in self.channels.values():
            if channel.over.is_set():
                continue
            up = bool(channel.answered_at)
            for uniqueid in (channel.uniqueid, channel.called)[: 1 + up]:
                yield {
                    "Channel": "PJSIP/x", "ChannelState": "6" if up else "4", "Uniqueid": uniqueid,
                    "Linkedid": channel.uniqueid, "BridgeId": "b1" if up else "",
                }  # fmt: skip

    def call(self) -> Channel:
        """Make a caller's channel."""
        self._made += 2
        made = Channel(f"1795457700.{self._made}", f"1795457700.{self._made + 1}")
        self.channels[made.uniqueid] = made
        return made

    def say(self, channel: Channel, messages: list[bytes], change: Callable[[bytes], bytes] = bytes) -> None:
        """Say captured messages of a call, now."""
        if self.mute:
            return
        now = wall_us()
        stamp = b"\r\nTimestamp: %d.%06d\r\n" % (now // 10**6, now % 10**6)
        for message in messages:
            told = message
            for captured, own in ((CALLER, channel.uniqueid), (CALLED, channel.called)):
                told = told.replace(captured, own.encode())
            octets = change(re.sub(rb"\r\n", stamp, told, count=1)) + b"\r\n\r\n"
            self.shout(octets)

    def ring(self, channel: Channel) -> None:
        """Have the caller call."""
        self.say(channel, RINGS)

    def answer(self, channel: Channel) -> None:
        """Have the called side answer."""
        channel.answered_at = wall_us()
        self.say(channel, ANSWERS)

    def hang_up(self, channel: Channel, cause: str = "16") -> None:
        """End both channels."""
        if channel.over.is_set():
            return
        channel.ended_at, channel.cause = wall_us(), cause
        channel.over.set()
        if channel.timer is not None:
            channel.timer.cancel()
        own = f"\r\nCause: {cause}\r\n".encode()
        self.say(channel, ENDS, lambda octets: octets.replace(b"\r\nCause: 16\r\n", own))

    def arm(self, channel: Channel, seconds: float) -> None:
        """End a channel after so many seconds from now, whatever was armed before; 0: never."""
        loop = asyncio.get_running_loop()
        if channel.timer is not None:
            channel.timer.cancel()
        channel.timer_at = loop.time() + seconds
        channel.timer = loop.call_later(seconds, self.hang_up, channel, "16") if seconds else None

    async def ask(
        self, channel: Channel, port: int, account: str, number: str, variables: Variables | None = None,
        source: str = "127.0.0.1",
    ) -> Variables:  # fmt: skip
        """Run AGI(agi://…/authorize,ACCOUNT,NUMBER) on a channel; return its variables."""
        channel.variables |= variables or {}
        block = (
            "agi_network: yes\nagi_network_script: authorize\nagi_request: agi://127.0.0.1/authorize\n"
            f"agi_channel: PJSIP/x\nagi_uniqueid: {channel.uniqueid}\nagi_callerid: 15551230001\n"
            f"agi_calleridname: Alice\nagi_arg_1: {account}\nagi_arg_2: {number}\n\n"
        )
        await self.dialogue(channel, port, block.encode(), source)
        return channel.variables

    async def dialogue(self, channel: Channel, port: int, block: bytes, source: str = "127.0.0.1") -> None:
        """Open a FastAGI dialogue with these octets and obey its commands until the other side closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        try:
            writer.write(block)
            while line := await reader.readline():
                writer.write(self.obeyed(channel, line.decode()) + b"\n")
        except ConnectionError:
            return
        finally:
            writer.close()

    def shout(self, octets: bytes) -> None:
        """Say these octets, whatever they are, on every link."""
        for link in self._links:
            link.write(octets)

    def obeyed(self, channel: Channel, line: str) -> bytes:
        """Run a command of a dialogue; return its answer."""
        words = [word.replace('\\"', '"').replace("\\\\", "\\") for word in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]
        if line.startswith("SET VARIABLE"):
            channel.variables[line.split(" ")[2]] = words[0]
            return b"200 result=1"
        if line.startswith("SET AUTOHANGUP"):
            self.arm(channel, float(line.split(" ")[2]))
            return b"200 result=0"
        state = "Up" if channel.answered_at else "Ring"
        text = re.sub(r"\$\{(\w+)\}", lambda found: channel.variables.get(found[1], ""), words[0])
        return f"200 result=1 ({text.replace('${CHANNEL(state)}', state)})".encode()


def _id(action: dict[str, str]) -> dict[str, str]:
    return {"ActionID": action["ActionID"]}


def _say(writer: asyncio.StreamWriter, fields: dict[str, str]) -> None:
    writer.write("".join(f"{key}: {value}\r\n" for key, value in fields.items()).encode() + b"\r\n")
