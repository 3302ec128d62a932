"""``tollway try``: a demonstration without a switch, against the running daemon, on the accounts of the sample.

Callers over RADIUS and HTTP are refused, granted, charged, and cut when the money ends. Each figure is read from a
reply or from the ledger; at the end the costs are held against the ledger's difference. Durations are those that passed
on the clock (``--fast`` makes them short); only a wait longer than its bound is left to the gateway's own record.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click

from daemon.app_commands import EntryKind, NasSpec, Opened, clock
from daemon.charging.configuration import AccountSpec, Configuration
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused, Unavailable
from daemon.cli.output import print_json, print_table, printable
from daemon.cli.radius import reached, source_address
from daemon.cli.roads import HttpRoad, RadiusRoad
from daemon.kernel.instant import format_rfc3339
from daemon.kernel.money import format_nano, parse_nano
from daemon.settings import Settings

LONDON, PARIS, PREMIUM = "442071231234", "33142685300", "19005551234"
CALLING = "15551230100"
TALK_SECONDS, TALK_SECONDS_FAST = 10, 1  # how long a caller with money talks
CUT_WAIT_SECONDS, CUT_WAIT_SECONDS_FAST = 60, 10  # how long we wait for a caller's money to end, at most
NEARLY_EMPTY = parse_nano("0.0010")  # what the caller whose money is to end needs at least
FOLLOW_SECONDS_MAX = 5.0  # seconds until the running daemon has followed the store
CALLERS = ("alice", "bob", "carol", "dave")
RESELLERS_CUSTOMER = "erin"
ACCESS_ACCEPT = 2
TOKEN_NAME = "try"  # noqa: S105 - the id of a token, not its text


@dataclass
class Played:
    """One call of the demonstration, as the replies and the ledger told it; money in nano-units."""

    caller: str
    road: str
    called: str
    result: str = ""  # refused, charged, cut
    reason: str = ""
    quota_seconds: int = 0
    duration_seconds: str = "0"
    charge: int = 0
    currency: str = ""
    settled_by: str = ""
    call_id: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)

    def value(self) -> dict[str, Any]:
        """Return the call for ``--json``."""
        return {
            "caller": self.caller, "road": self.road, "to": self.called, "call_id": self.call_id, "result": self.result,
            "reason": self.reason, "quota_seconds": self.quota_seconds, "duration_seconds": self.duration_seconds,
            "charge": format_nano(self.charge), "currency": self.currency, "settled_by": self.settled_by,
            "messages": self.messages,
        }  # fmt: skip


@dataclass
class Stage:
    """What all calls share: the store, the clock's patience, and whether somebody watches."""

    settings: Settings
    store: Opened
    configuration: Configuration
    nas: NasSpec
    fast: bool
    watched: bool
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    played: list[Played] = field(default_factory=list)
    topups: list[dict[str, str]] = field(default_factory=list)

    def begin(self, caller: str, road: str, called: str, story: str) -> Played:
        """Open the next call and say what it shows."""
        call = Played(caller, road, called, call_id=f"try-{self.run}-{len(self.played) + 1}")
        self.played.append(call)
        self.say(f"\n{len(self.played)}. {story}")
        return call

    def say(self, text: str) -> None:
        """Tell whoever watches."""
        if self.watched:
            click.echo(text)

    def hears(self, call: Played, direction: str, message: str) -> None:
        """Keep a message, and show it as it comes."""
        call.messages.append({"direction": "sent" if direction == ">" else "received", "message": printable(message)})
        self.say(f"   {'->' if direction == '>' else '<-'} {printable(message)}")

    def account(self, name: str) -> AccountSpec:
        """Return an account of the sample by its id."""
        return next(spec for spec in self.configuration.accounts if spec.id == name)

    @property
    def talk_seconds(self) -> int:
        """How long a caller with money talks."""
        return TALK_SECONDS_FAST if self.fast else TALK_SECONDS


@click.command("try")
@click.option("--fast", is_flag=True, help="Shorter calls and shorter waits; the daemon's clock is the same.")
@as_json
@chosen
def try_calls(selected: Chosen, fast: bool, as_json: bool) -> None:
    """Play callers against the running daemon, without a switch, and show what a switch would see and what it cost.

    Needs the sample (`tollway apply conf/sample/scenario.toml`) and a running daemon; without one the status is 69.
    """
    settings = selected.settings()
    if not (settings.radius_auth and settings.radius_acct and settings.http):
        raise Unavailable("the demonstration needs the listeners radius_auth, radius_acct and http: one is off")

    async def work(store: Opened) -> dict[str, Any]:
        await _ready(settings)
        stage = await _staged(settings, store, fast=fast, watched=not as_json)
        return await _played(stage)

    outcome = selected.perform(work)
    if as_json:
        print_json(outcome)
    else:
        _print_outcome(outcome)
    if outcome["total_charged"] != outcome["ledger_difference"]:
        raise Refused(
            f"the calls cost {outcome['total_charged']}, the ledger took {outcome['ledger_difference']}:"
            " did somebody else call on the sample's accounts meanwhile?"
        )
    unexpected = [call for call in outcome["calls"] if not call["expected"]]
    if unexpected:
        raise Refused(*(f"{call['caller']} was not to be {call['result']} ({call['reason']})" for call in unexpected))


async def _ready(settings: Settings) -> None:
    """Make sure that a daemon answers and can write. Raises Unavailable."""
    status, body = await HttpRoad(settings.http, "", lambda *_: None).request("GET", "/readyz")
    if status != 200:
        raise Unavailable(f"the daemon is not ready: {body.decode('utf-8', 'replace')}")


async def _staged(settings: Settings, store: Opened, *, fast: bool, watched: bool) -> Stage:
    configuration = await store.configuration()
    owners = await store.account_specs(configuration.owner, *CALLERS)
    found = [await store.account_specs(tenant.id, RESELLERS_CUSTOMER) for tenant in configuration.tenants]
    below = [spec for specs in found for spec in specs]
    configuration = replace(configuration, accounts=(*owners, *below))
    if len(owners) < len(CALLERS) or not below:
        raise Refused("the store does not hold the sample: tollway apply conf/sample/scenario.toml")
    nas = await store.nas("", source_address(reached(settings.radius_auth)[0]))
    if nas is None:
        raise Refused(f"the store has no nas for {settings.radius_auth.host}: the sample has one")
    return Stage(settings, store, configuration, nas, fast, watched)


async def _played(stage: Stage) -> dict[str, Any]:
    """Play every call and return what ``--json`` prints."""
    stage.say(f"Run {stage.run}. Every message shown went over a socket; every cost is the ledger's.")
    before = await _balances(stage)
    owner = stage.configuration.owner
    token_id, token = await stage.store.create_token(owner, "switch", TOKEN_NAME, "tollway try", replace_earlier=True)
    try:
        await _followed(stage, token)
        await _wrong_password(stage)
        await _suspended(stage)
        await _blocked(stage, token)
        await _over_radius(stage)
        await _over_http(stage, token)
        await _money_ends(stage)
    finally:
        await stage.store.revoke_token(f"{owner}/{token_id}", "tollway try")
    after = await _balances(stage)
    added = sum(parse_nano(topup["amount"]) for topup in stage.topups)
    return _outcome(stage, before + added - after)


EXPECTED = ("refused", "refused", "refused", "charged", "charged", "cut")


def _outcome(stage: Stage, difference: int) -> dict[str, Any]:
    calls = [
        {**call.value(), "expected": call.result == expected}
        for call, expected in zip(stage.played, EXPECTED, strict=True)
    ]
    return {
        "run": stage.run, "calls": calls, "topups": stage.topups,
        "total_charged": format_nano(sum(call.charge for call in stage.played)),
        "ledger_difference": format_nano(difference),
        "currency": next((call.currency for call in stage.played if call.currency), ""),
    }  # fmt: skip


async def _balances(stage: Stage) -> int:
    """Return what the callers' accounts have together, debts taken off, in nano-units."""
    total = 0
    for name in (*CALLERS, RESELLERS_CUSTOMER):
        spec = stage.account(name)
        view = await stage.store.account(f"{spec.tenant}/{spec.id}")
        assert view is not None, name
        total += view.standing.balance - view.standing.uncollected
    return total


async def _followed(stage: Stage, token: str) -> None:
    """Wait until the daemon knows the token: it follows the store that we wrote to. Raises Unavailable."""
    road = HttpRoad(stage.settings.http, token, lambda *_: None)
    deadline = time.monotonic() + FOLLOW_SECONDS_MAX
    while (await road.request("GET", "/v1/calls"))[0] != 200:
        if time.monotonic() > deadline:
            raise Unavailable("the daemon that answers does not follow this store: does it run with another one?")
        await asyncio.sleep(0.05)


# -- over RADIUS


def _radius(stage: Stage, call: Played) -> RadiusRoad:
    settings = stage.settings
    return RadiusRoad(
        settings.radius_auth, settings.radius_acct, stage.nas, lambda way, text: stage.hears(call, way, text)
    )


def _question(stage: Stage, call: Played, password: str | None = None) -> list[tuple[str, str]]:
    endpoint = next(known for known in stage.account(call.caller).identities if known.sip_user)
    return [
        ("User-Name", endpoint.sip_user), ("User-Password", endpoint.password if password is None else password),
        ("Called-Station-Id", call.called), ("Calling-Station-Id", CALLING), ("Acct-Session-Id", call.call_id),
    ]  # fmt: skip


async def _asked(stage: Stage, call: Played, password: str | None = None) -> str:
    """Ask for a call and return its Class, empty where it was refused; what the reply says goes into the call."""
    reply = await _radius(stage, call).ask(_question(stage, call, password))
    if reply.code != ACCESS_ACCEPT:
        call.result, call.reason = "refused", " ".join(map(str, reply.values("Reply-Message")))
        stage.say(f"   refused: {call.reason}")
        return ""
    call.quota_seconds = int(str(reply.values("Session-Timeout")[0]))
    stage.say(f"   granted: the gateway may let it talk for {call.quota_seconds} seconds, which are reserved")
    return str(reply.values("Class")[0])


async def _accounted(stage: Stage, call: Played, status: str, grant_class: str, seconds: int | None = None) -> None:
    user = next(known for known in stage.account(call.caller).identities if known.sip_user).sip_user
    pairs = [
        ("Acct-Status-Type", status), ("Acct-Session-Id", call.call_id), ("User-Name", user),
        ("Called-Station-Id", call.called), ("Calling-Station-Id", CALLING), ("Class", grant_class),
    ]  # fmt: skip
    if seconds is not None:
        pairs.append(("Acct-Session-Time", str(seconds)))
    await _radius(stage, call).account(pairs)


async def _wrong_password(stage: Stage) -> None:
    call = stage.begin("alice", "radius", LONDON, "Somebody says that he is alice, with a wrong password, over RADIUS.")
    await _asked(stage, call, "not-the-password")


async def _suspended(stage: Stage) -> None:
    call = stage.begin("dave", "radius", LONDON, "dave, who is suspended, calls London over RADIUS.")
    await _asked(stage, call)


async def _over_radius(stage: Stage) -> None:
    call = stage.begin("alice", "radius", LONDON, "alice, prepaid with money, calls London over RADIUS.")
    grant_class = await _asked(stage, call)
    if grant_class:
        await _accounted(stage, call, "Start", grant_class)
        seconds = await _passed(stage, min(stage.talk_seconds, call.quota_seconds))
        await _accounted(stage, call, "Stop", grant_class, seconds)
        await _read_charge(stage, call, "charged")


async def _money_ends(stage: Stage) -> None:
    story = "carol, prepaid and nearly empty, calls London over RADIUS, and talks until her money ends."
    call = stage.begin("carol", "radius", LONDON, story)
    await _enough_for_a_moment(stage)
    grant_class = await _asked(stage, call)
    if not grant_class:
        return
    await _accounted(stage, call, "Start", grant_class)
    bound = CUT_WAIT_SECONDS_FAST if stage.fast else CUT_WAIT_SECONDS
    if call.quota_seconds > bound:
        stage.say(f"   (we wait {bound} s; that the call was cut after {call.quota_seconds} s is the gateway's word)")
    await _passed(stage, min(call.quota_seconds, bound))
    stage.say(f"   Session-Timeout: after {call.quota_seconds} s the gateway ends the call by itself")
    await _accounted(stage, call, "Stop", grant_class, call.quota_seconds)
    await _read_charge(stage, call, "cut")


async def _enough_for_a_moment(stage: Stage) -> None:
    """Give carol the price of a few seconds where an earlier run left her less."""
    owner = stage.configuration.owner
    view = await stage.store.account(f"{owner}/carol")
    assert view is not None
    missing = NEARLY_EMPTY - (view.available if view.available is not None else NEARLY_EMPTY)
    if missing <= 0:
        return
    key = f"try-{stage.run}"
    await stage.store.credit(f"{owner}/carol", EntryKind.TOP_UP, missing, key=key, reason="tollway try")
    topup = {"account": f"{owner}/carol", "amount": format_nano(missing), "currency": view.spec.currency, "key": key}
    stage.topups.append(topup)
    stage.say(f"   (an earlier run left her less: topped up by {topup['amount']} {topup['currency']}, key {key})")


async def _passed(stage: Stage, seconds: int) -> int:
    """Let seconds pass, and return how many whole ones did."""
    began = time.monotonic()
    stage.say(f"   … {seconds} s …")
    await asyncio.sleep(seconds)
    return int(time.monotonic() - began)


async def _read_charge(stage: Stage, call: Played, result: str) -> None:
    """Read from the ledger what a call cost."""
    found = (await stage.store.find_calls(call.call_id))[-1]
    spec = stage.account(call.caller)
    entries = (await stage.store.history(f"{spec.tenant}/{spec.id}")).entries
    debits = [entry for entry in entries if entry["grant_id"] == found.grant_id and entry["kind"] == "debit"]
    call.charge = sum(int(str(entry["uncollected"])) - int(str(entry["amount"])) for entry in debits)
    call.result, call.currency, call.settled_by = result, spec.currency, found.settled_by.value
    call.duration_seconds = _seconds(found.duration_us)
    stage.say(
        f"   the ledger: {call.duration_seconds} s cost {format_nano(call.charge)} {call.currency}, settled by"
        f" {call.settled_by}"
    )


def _seconds(duration_us: int) -> str:
    whole, fraction = divmod(duration_us, 1_000_000)
    return f"{whole}.{fraction:06d}".rstrip("0").rstrip(".")


# -- over HTTP


def _http(stage: Stage, call: Played, token: str) -> HttpRoad:
    return HttpRoad(stage.settings.http, token, lambda way, text: stage.hears(call, way, text))


async def _authorised(stage: Stage, call: Played, road: HttpRoad, **more: object) -> dict[str, Any]:
    spec = stage.account(call.caller)
    body = {
        "call_id": call.call_id, "account": f"{spec.tenant}/{spec.id}", "from": CALLING, "to": call.called,
        "direction": "outbound", **more,
    }  # fmt: skip
    reply = await road.post("/v1/authorize", body)
    call.quota_seconds = int(reply["quota_seconds"])
    if reply["result"] != "granted":
        call.result, call.reason = "refused", str(reply["reason"])
        stage.say(f"   refused: {call.reason}")
    return reply


async def _blocked(stage: Stage, token: str) -> None:
    story = "erin, a customer of the reseller, calls a premium number over HTTP; her plan blocks it."
    call = stage.begin(RESELLERS_CUSTOMER, "http", PREMIUM, story)
    await _authorised(stage, call, _http(stage, call, token))


async def _over_http(stage: Stage, token: str) -> None:
    story = "bob, postpaid, calls Paris over HTTP; his switch asks for the quota again while the call runs."
    call = stage.begin("bob", "http", PARIS, story)
    road = _http(stage, call, token)
    grant = await _authorised(stage, call, road, updates=True)
    if call.result:
        return
    stage.say(f"   granted: {call.quota_seconds} seconds at first, {grant['reserved']} {grant['currency']} reserved")
    path = f"/v1/calls/{call.call_id}"
    await road.post(f"{path}/answer", {"at": _now()})
    await _passed(stage, stage.talk_seconds)
    await road.post(f"{path}/update", {"at": _now()})
    ended = await road.post(f"{path}/end", {"at": _now(), "cause": "16"})
    await _read_charge(stage, call, "charged")
    if parse_nano(ended["charge"]) != call.charge:
        raise Refused(f"the reply says {ended['charge']}, the ledger {format_nano(call.charge)}")


def _now() -> str:
    return format_rfc3339(clock())


def _print_outcome(outcome: dict[str, Any]) -> None:
    click.echo()
    columns = ("caller", "road", "to", "result", "reason", "quota_seconds", "duration_seconds", "charge", "settled_by")
    rows: Sequence[Sequence[object]] = [[call[name] for name in columns] for call in outcome["calls"]]
    shown = ("caller", "road", "to", "result", "reason", "granted s", "lasted s", "charge", "settled by")
    print_table(shown, rows, numbers=("granted s", "lasted s", "charge"))
    click.echo(f"the calls cost {outcome['total_charged']} {outcome['currency']} in all")
    click.echo(f"the ledger took {outcome['ledger_difference']} {outcome['currency']} for them: the two agree")
