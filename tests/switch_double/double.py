"""A switch that speaks the event socket: real headers, its own clock, real scheduling, calls that a test plays.

Timers are FreeSWITCH's: ``sched_hangup`` adds a task, its time is a whole second, and the tasks are looked at each half
second. What a call's cut is measured by is this clock alone. Imports nothing of what it tests.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.switch_double.templates import (
    A_LEG,
    B_LEG,
    Headers,
    as_json,
    as_plain,
    channel_row,
    events,
    replies,
    separated,
)
from tests.virtual_time import wall_us

SECOND = 1_000_000


@dataclass
class Task:
    """A scheduled hang-up."""

    id: int
    runtime: int
    channel: str
    cause: str


@dataclass
class Plan:
    """What a test wants to happen. Milliseconds and seconds; ``talk`` None: until somebody ends it."""

    account: str
    number: str
    ring: float = 0.05
    answer_at_ms: int | None = None
    talk: float | None = None
    parks: bool = True
    context: str = "public"
    caller: str = "15551230001"
    variables: dict[str, str] = field(default_factory=dict)
    busy: int = 0  # of the routes that it dials, so many are busy, one after the other
    dials: str | None = None  # what the dialplan dials; None: the routes that it was told


@dataclass
class Call:
    """One played call and what came of it; instants in microseconds of the double's clock, 0 for never."""

    plan: Plan
    a: str
    b: str
    variables: dict[str, str]
    destination: str
    created: int
    profile: int
    parked: bool = False
    transferred: list[str] = field(default_factory=list)
    b_variables: dict[str, str] = field(default_factory=dict)
    b_created: int = 0
    b_gone: int = 0
    b_answered: int = 0
    answered: int = 0
    hung_up: int = 0
    cause: str = ""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def talked_us(self) -> int:
        """From the answer of the called side to the hang-up."""
        return self.hung_up - self.b_answered


@dataclass(eq=False)
class _Client:
    writer: asyncio.StreamWriter
    plain: bool = False
    names: frozenset[str] = frozenset()
    every: bool = False
    trusted: bool = False


class SwitchDouble:
    """``async with SwitchDouble() as switch``; then ``switch.port``, ``switch.play(Plan(...))``."""

    def __init__(self, password: str = "ClueCon", ahead_us: int = 0) -> None:
        self.password = password
        self.ahead_us = ahead_us
        self.port = 0
        self.calls: dict[str, Call] = {}
        self.tasks: dict[int, Task] = {}
        self.commands: list[str] = []
        self.broadcasts: list[tuple[str, str, str, int]] = []  # channel, what is played, to whom, and when
        self.logins = 0
        self.connections = 0
        self.deaf = False
        # What is said once in place of the request for a password (connect), or of the answer to a word of a command.
        self.instead: dict[str, bytes] = {}
        self.spool: Path | None = None  # where mod_json_cdr would write
        self._replies = replies()
        self._templates = events()
        self._row = channel_row()
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._last_task = 0
        self._sequence = 0
        self.globals: dict[str, str] = {}
        self.apis: dict[str, Callable[[list[str], str], bytes]] = {
            "uptime": lambda _w, _t: _api(b"28\n"), "status": lambda _w, _t: _api(b"UP 0 years, 0 days\n"),
            "show": self._show, "uuid_exists": self._exists, "uuid_dump": self._dump, "uuid_getvar": self._getvar,
            "uuid_setvar": self._setvar, "uuid_setvar_multi": self._setvar_multi, "uuid_transfer": self._transfer,
            "uuid_broadcast": self._broadcast, "global_getvar": self._global_getvar,
            "global_setvar": self._global_setvar,
            "uuid_kill": self._kill, "sched_hangup": self._sched_hangup, "sched_del": self._sched_del,
        }  # fmt: skip

    async def __aenter__(self) -> "SwitchDouble":
        await self.listen()
        self._loops.append(asyncio.create_task(self._schedule()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for call in list(self.calls.values()):
            self.hang_up(call, "SYSTEM_SHUTDOWN")
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.close_links()

    def now(self) -> int:
        """Microseconds by the double's own clock."""
        return wall_us() + self.ahead_us

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    def say(self, octets: bytes, *, ends: bool = False) -> None:
        """Send octets on every link, and close it behind them where it ``ends``."""
        for client in self._clients:
            client.writer.write(octets)
            if ends:
                client.writer.close()

    async def close_links(self) -> None:
        """Close every link and take no new one."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for client in list(self._clients):
            client.writer.transport.abort()
        await asyncio.sleep(0)

    # The socket

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        self._clients.add(client)
        self.connections += 1
        writer.write(self.instead.pop("connect", self._replies["auth"]))
        try:
            while True:
                command = (await reader.readuntil(b"\n\n")).decode().rstrip("\n")
                if self.deaf:
                    continue
                self.commands.append(command)
                replaced = next((word for word in command.split(" ")[:2] if word in self.instead), None)
                answer = self._command(client, command) if replaced is None else self.instead.pop(replaced)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._clients.discard(client)
            writer.close()

    def _command(self, client: _Client, command: str) -> bytes | None:
        verb, _, rest = command.partition(" ")
        if verb == "auth":
            client.trusted = rest == self.password
            self.logins += client.trusted
            return self._replies["accepted"] if client.trusted else _reply("-ERR invalid")
        if verb == "exit":
            return None
        if client.trusted and verb == "event":
            return self._subscribe(client, rest.split())
        if client.trusted and verb in ("api", "bgapi"):
            return self._api(rest) if verb == "api" else self._bgapi(rest)
        known = client.trusted and verb in ("filter", "noevents", "nixevent")
        return _reply("+OK" if known else "-ERR command not found")

    def _subscribe(self, client: _Client, words: list[str]) -> bytes:
        client.plain = words[0] == "plain"
        client.every = "all" in words or "ALL" in words
        client.names = client.names | frozenset(words[1:])
        return self._replies["plain" if client.plain else "json"]

    def _api(self, rest: str) -> bytes:
        name, _, text = rest.partition(" ")
        api = self.apis.get(name)
        return api(text.split(), text) if api is not None else _api(b"-ERR %s Command not found!\n" % name.encode())

    def _global_getvar(self, words: list[str], _text: str) -> bytes:
        return _api(self.globals.get(words[0], "").encode() or b"-ERR no reply\n")

    def _global_setvar(self, _words: list[str], text: str) -> bytes:
        name, _, value = text.partition("=")
        self.globals[name] = value
        return _api(b"+OK")

    def _bgapi(self, rest: str) -> bytes:
        job = str(uuid.uuid4())
        answer = self._api(rest).partition(b"\n\n")[2].decode()
        done: Headers = {"Event-Name": "BACKGROUND_JOB", "Job-UUID": job, "Job-Command": rest, "_body": answer}
        asyncio.get_running_loop().call_soon(self._emit, done)
        return _reply(f"+OK Job-UUID: {job}", f"Job-UUID: {job}")

    def _emit(self, event: Headers) -> None:
        self._sequence += 1
        event.setdefault("Event-Date-Timestamp", str(self.now()))
        event["Event-Sequence"] = str(self._sequence)
        for client in self._clients:
            if client.trusted and (client.every or event["Event-Name"] in client.names):
                with contextlib.suppress(OSError):
                    client.writer.write(as_plain(event) if client.plain else as_json(event))

    # Calls

    def play(self, plan: Plan) -> Call:
        """Start a call; wait for ``call.over``."""
        now = self.now()
        variables = {"tollway_account": plan.account} | plan.variables
        if plan.parks:
            variables = {"tollway_request": "true", "tollway_next": "AUTH XML public"} | variables
        call = Call(plan, str(uuid.uuid4()), str(uuid.uuid4()), variables, plan.number, now, now)
        self.calls[call.a] = call
        task = asyncio.create_task(self._played(call))
        self._loops.append(task)
        return call

    async def _played(self, call: Call) -> None:
        self.tell(call, "a", "CHANNEL_CREATE")
        if call.plan.parks:
            call.parked = True
            self.tell(call, "a", "CHANNEL_PARK")
            await _first(call.moved, call.over)
        if call.over.is_set():
            return
        await self._bridge(call)

    async def _bridge(self, call: Call) -> None:
        """Try the routes one after the other, as ``bridge`` does with ``|`` between them."""
        call.parked = False
        routes = _leg_variables(
            call.variables.get("tollway_routes", "") if call.plan.dials is None else call.plan.dials
        )
        for variables in routes[: call.plan.busy]:
            self._leg_called(call, variables)
            await asyncio.sleep(call.plan.ring)
            if call.over.is_set():
                return
            self._leg_gone(call, "USER_BUSY")
        if call.plan.busy and call.plan.busy >= len(routes):
            self.hang_up(call, "USER_BUSY")
            return
        self._leg_called(call, routes[call.plan.busy] if routes else {})
        await asyncio.sleep(call.plan.ring)
        answered = self.now()
        if call.plan.answer_at_ms is not None:  # a switch takes note of it then, however late this process gets to it
            answered += (call.plan.answer_at_ms * 1000 - answered) % SECOND
            await asyncio.sleep((answered - self.now()) / SECOND)
        if call.over.is_set():
            return
        call.b_answered = answered
        self.tell(call, "b", "CHANNEL_ANSWER")
        await asyncio.sleep(0.02)
        if call.over.is_set():
            return
        call.answered = self.now()
        self.tell(call, "a", "CHANNEL_ANSWER")
        self.tell(call, "a", "CHANNEL_BRIDGE")
        if call.plan.talk is not None:
            await asyncio.sleep(call.plan.talk)
            self.hang_up(call, "NORMAL_CLEARING")

    def _leg_called(self, call: Call, variables: dict[str, str]) -> None:
        if call.b_gone:
            call.b, call.b_gone = str(uuid.uuid4()), 0
        call.b_created, call.b_variables = self.now(), variables
        self.tell(call, "b", "CHANNEL_CREATE")
        self.tell(call, "b", "CHANNEL_ORIGINATE")

    def _leg_gone(self, call: Call, cause: str) -> None:
        call.b_gone, call.cause = self.now(), cause
        for name in ("CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"):
            self.tell(call, "b", name)
        call.b_created, call.cause = 0, ""

    def hang_up(self, call: Call, cause: str) -> None:
        """End both legs."""
        if call.over.is_set():
            return
        call.hung_up, call.cause = self.now(), cause
        call.over.set()
        self.tell(call, "a", "CHANNEL_HANGUP")
        if call.b_created:
            self.tell(call, "b", "CHANNEL_HANGUP")
            self.tell(call, "b", "CHANNEL_HANGUP_COMPLETE")
            self.tell(call, "b", "CHANNEL_DESTROY")
        self.tell(call, "a", "CHANNEL_HANGUP_COMPLETE")
        self.tell(call, "a", "CHANNEL_DESTROY")
        for task in [task for task in self.tasks.values() if task.channel == call.a]:
            del self.tasks[task.id]
        if self.spool is not None:
            self._record(call, self.spool)
        del self.calls[call.a]

    def _record(self, call: Call, spool: Path) -> None:
        """Write the caller's leg as mod_json_cdr does: the variables of its last event, each URL-encoded by itself."""
        event = self._event(call, "a", "CHANNEL_HANGUP_COMPLETE")
        head = "variable_"
        told = {name[len(head) :]: str(value) for name, value in event.items() if name.startswith(head)}
        told |= {
            "uuid": call.a, "direction": "inbound", "start_uepoch": str(call.created), "hangup_cause": call.cause,
            "answer_uepoch": str(call.answered), "bridge_uepoch": str(call.answered), "end_uepoch": str(call.hung_up),
            "originate_disposition": "SUCCESS" if call.b_answered else call.cause,
        }  # fmt: skip
        profile = {
            "destination_number": call.destination, "caller_id_number": call.plan.caller,
            "context": call.plan.context, "chan_name": "sofia/test/caller",
        }  # fmt: skip
        value = {"variables": {name: quote(text) for name, text in told.items()},
                 "callflow": [{"caller_profile": profile}]}  # fmt: skip
        (spool / f"a_{call.a}.cdr.json").write_text(json.dumps(value))

    def tell(self, call: Call, role: str, name: str) -> None:
        """Send one event of a leg."""
        self._emit(self._event(call, role, name))

    def _event(self, call: Call, role: str, name: str) -> Headers:
        text = self._templates[role, name].replace(A_LEG, call.a).replace(B_LEG, call.b)
        event: Headers = json.loads(text)
        mine = "Caller" if role == "a" else "Other-Leg"
        theirs = "Other-Leg" if role == "a" else "Caller"
        event["Event-Date-Timestamp"] = str(self.now())
        event["Caller-Context"] = call.plan.context
        event[f"{mine}-Destination-Number"] = call.destination
        event["Caller-Caller-ID-Number"] = call.plan.caller
        self._times(event, mine, call.created, call.answered, call.hung_up, call.profile)
        if role == "b" or f"{theirs}-Unique-ID" in event:
            event[f"{theirs}-Destination-Number"] = call.plan.number
            self._times(event, theirs, call.b_created, call.b_answered, call.b_gone or call.hung_up, call.b_created)
        if role == "b":
            event.update({f"variable_{name}": value for name, value in call.b_variables.items()})
        if role == "a":
            event.update({f"variable_{name}": value for name, value in call.variables.items()})
        answered = call.answered if role == "a" else call.b_answered
        if name in ("CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"):
            event["Hangup-Cause"] = call.cause
        if "variable_billsec" in event:
            event["variable_billsec"] = str(call.hung_up // SECOND - answered // SECOND if answered else 0)
        return event

    @staticmethod
    def _times(event: Headers, prefix: str, created: int, answered: int, hung_up: int, profile: int) -> None:
        if f"{prefix}-Channel-Created-Time" not in event:
            return
        event[f"{prefix}-Channel-Created-Time"] = str(created)
        event[f"{prefix}-Channel-Answered-Time"] = str(answered)
        event[f"{prefix}-Channel-Hangup-Time"] = str(hung_up)
        event[f"{prefix}-Profile-Created-Time"] = str(profile)

    # The scheduler

    async def _schedule(self) -> None:
        while True:
            now = self.now() // SECOND
            for task in [task for task in self.tasks.values() if now >= task.runtime]:
                self.tasks.pop(task.id, None)
                call = self.calls.get(task.channel)
                if call is not None:
                    self.hang_up(call, task.cause)
                self._emit(_task_event("DEL_SCHEDULE", task))
            await asyncio.sleep(0.5)

    def _sched_hangup(self, words: list[str], _text: str) -> bytes:
        call = self.calls.get(words[1])
        if call is None:
            return self._replies["gone"]
        cause = words[2] if len(words) > 2 else "ALLOTTED_TIMEOUT"
        if int(words[0][1:]) == 0:
            self.hang_up(call, cause)
            return self._replies["ok"]
        runtime = self.now() // SECOND + int(words[0][1:]) if words[0][0] == "+" else int(words[0])
        self._last_task += 1
        task = self.tasks[self._last_task] = Task(self._last_task, runtime, call.a, cause)
        asyncio.get_running_loop().call_soon(self._emit, _task_event("ADD_SCHEDULE", task))
        return self._replies["ok"]

    def _sched_del(self, words: list[str], _text: str) -> bytes:
        if words[0].isdigit():
            found = [self.tasks[int(words[0])]] if int(words[0]) in self.tasks else []
        else:
            found = [task for task in self.tasks.values() if task.channel == words[0]]
        for task in found:
            del self.tasks[task.id]
            asyncio.get_running_loop().call_soon(self._emit, _task_event("DEL_SCHEDULE", task))
        return _api(b"+OK Deleted: %d\n" % len(found))

    # The other commands

    def _show(self, words: list[str], _text: str) -> bytes:
        rows = [self._row | {"uuid": call.a} for call in self.calls.values()]
        rows += [self._row | {"uuid": call.b} for call in self.calls.values() if call.b_created]
        table: dict[str, object] = {"row_count": len(rows)} | ({"rows": rows} if rows else {})
        return _api(json.dumps(table, separators=(",", ":")).encode() + (b"" if rows else b"\n"))

    def _leg(self, channel: str) -> tuple[Call, str] | None:
        for call in self.calls.values():
            if channel == call.a or (channel == call.b and call.b_created):
                return call, "a" if channel == call.a else "b"
        return None

    def _exists(self, words: list[str], _text: str) -> bytes:
        return _api(b"true" if self._leg(words[0]) else b"false")

    def _dump(self, words: list[str], _text: str) -> bytes:
        leg = self._leg(words[0])
        if leg is None:
            return self._replies["gone"]
        call, role = leg
        name = "CHANNEL_CREATE" if role == "b" else "CHANNEL_PARK" if not call.answered else "CHANNEL_BRIDGE"
        event = self._event(call, role, name) | {"Event-Name": "CHANNEL_DATA"}
        if role == "a":
            event["variable_current_application"] = "park" if call.parked else "bridge"
        return _api(json.dumps(event).encode())

    def _getvar(self, words: list[str], _text: str) -> bytes:
        call = self.calls.get(words[0])
        return _api(call.variables.get(words[1], "_undef_").encode()) if call else self._replies["gone"]

    def _setvar(self, words: list[str], text: str) -> bytes:
        call = self.calls.get(words[0])
        if call is None:
            return self._replies["gone"]
        _set(call, words[1], text.split(" ", 2)[2] if len(words) > 2 else "")
        return self._replies["ok"]

    def _setvar_multi(self, words: list[str], text: str) -> bytes:
        call = self.calls.get(words[0])
        if call is None:
            return self._replies["gone"]
        for pair in separated(text.partition(" ")[2], ";"):
            name, _, value = pair.partition("=")
            _set(call, name, value)
        return self._replies["ok"]

    def _transfer(self, words: list[str], _text: str) -> bytes:
        call = self.calls.get(words[0])
        if call is None:
            return self._replies["gone"]
        call.transferred = words[1:]
        call.destination, call.profile = words[1], self.now()
        call.moved.set()
        return self._replies["ok"]

    def _broadcast(self, words: list[str], _text: str) -> bytes:
        leg = self._leg(words[0])
        if leg is None:
            return self._replies["gone"]
        self.broadcasts.append((words[0], words[1], words[2] if len(words) > 2 else "aleg", self.now()))
        return _api(b"+OK Message sent\n")

    def _kill(self, words: list[str], _text: str) -> bytes:
        leg = self._leg(words[0])
        if leg is None:
            return self._replies["gone"]
        self.hang_up(leg[0], words[1] if len(words) > 1 else "NORMAL_CLEARING")
        return self._replies["ok"]


def _leg_variables(routes: str) -> list[dict[str, str]]:
    """Return the variables that each dial string of a list sets on its leg: ``[name=value,name=value]target``."""
    found = []
    for dial in routes.split("|") if routes else ():
        marks = dial.partition("]")[0].removeprefix("[")
        found.append(dict(pair.split("=", 1) for pair in marks.split(",")))
    return found


def _set(call: Call, name: str, value: str) -> None:
    if value:
        call.variables[name] = value
    else:
        call.variables.pop(name, None)


def _api(body: bytes) -> bytes:
    return b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)


def _reply(text: str, *more: str) -> bytes:
    return "\n".join(("Content-Type: command/reply", f"Reply-Text: {text}", *more, "", "")).encode()


def _task_event(name: str, task: Task) -> Headers:
    return {
        "Event-Name": name, "Task-ID": str(task.id), "Task-Desc": "switch_ivr_schedule_hangup",
        "Task-Group": task.channel, "Task-Runtime": str(task.runtime),
    }  # fmt: skip


async def _first(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
