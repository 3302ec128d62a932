"""``tollway call``: live calls, why one is granted or refused, and the end of one; all from the store.

An ended call is renewed no more, and whoever has its switch ends it there within a second: over the event socket by a
kill, over HTTP by its next update. A road without a way back lets it run to the end of what it was granted.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from daemon.app_commands import Call, CallAttempt, Opened, Told, charged_so_far, clock, route_of
from daemon.app_prices import Tariff
from daemon.authorize.attempt import Identity, PlainPassword
from daemon.authorize.decision import Decision, Denied
from daemon.authorize.explanation import Outcome
from daemon.cli.call_table import CallTable
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused
from daemon.cli.output import dated, print_json, print_pairs, print_table, printable
from daemon.cli.parameters import ID, KEY, REASON
from daemon.cli.recovery import recovery
from daemon.kernel.ids import Direction, split_key
from daemon.kernel.instant import decimal_seconds, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.rating.bundle import bundle_of

NOTHING = format_nano(0)
INTERVAL_SECONDS = 2  # between two looks of --watch, unless stated
MARKS = {
    Outcome.PASSED: "pass", Outcome.LEFT_OUT: "out ", Outcome.REFUSED: "FAIL", Outcome.NOT_APPLICABLE: "-   ",
    Outcome.NOT_ASKED: "    ",
}  # fmt: skip


@click.group()
def call() -> None:
    """Look at live calls, explain decisions, end a call, report what a start found open."""


call.add_command(recovery)


def call_value(found: Call) -> dict[str, Any]:
    """Return a call as ``call list --json`` promises it, as its payer sees it."""
    level, begun, ended = found.levels[0], found.answered_at, found.ended_at
    used_us = max(0, (ended if ended is not None else clock()) - begun) if begun is not None else 0
    charged = charged_so_far(found, 0, used_us) if found.posted or found.is_open else 0
    return {
        "call_id": found.call_id, "account": level.key.id, "tenant": level.key.tenant,
        "direction": found.direction.value, "from": found.calling, "to": found.called, "state": found.state.value,
        "started_at": format_rfc3339(found.requested_at),
        "answered_at": format_rfc3339(begun) if begun is not None else None,
        "reserved": format_nano(level.reserved), "charged": format_nano(charged), "currency": level.currency,
        "quota_seconds": found.granted_seconds, "switch": found.switch, "source": found.source,
        "grant_id": found.grant_id, "cut": found.cut,
    }  # fmt: skip


@call.command("list")
@click.option("--account", "account_id", type=KEY, help="Only the calls that an account pays: ID or TENANT/ID.")
@click.option("--watch", is_flag=True, help="Show them again and again, until q or Ctrl-C ends it.")
@click.option(
    "--interval", type=click.IntRange(1, 3_600), help="With --watch: seconds between two looks. Default: 2.",
)  # fmt: skip
@as_json
@chosen
def list_calls(selected: Chosen, account_id: str | None, watch: bool, interval: int | None, as_json: bool) -> None:
    """List the live calls, oldest first.

    With --watch on a terminal a table that is brought up to date, as long as the terminal is high; elsewhere one table
    after the other, and with --json one list a line. Where the store or the daemon is away it says so, and goes on.
    """
    if interval is not None and not watch:
        raise click.UsageError("--interval belongs to --watch")
    if watch:
        CallTable(selected, account_id, interval or INTERVAL_SECONDS, call_value).run(as_json=as_json)
        return

    async def read(store: Opened) -> Sequence[Call]:
        payer = await store.known_account(account_id)
        return [found for found in await store.open_calls() if payer in (None, found.payer)]

    values = [call_value(found) for found in selected.perform(read)]
    if as_json:
        print_json(values)
        return
    columns = ("call_id", "tenant", "account", "from", "to", "state", "answered_at", "reserved", "charged")
    rows = [[_blank(value[name]) for name in columns] + [value["quota_seconds"], value["switch"]] for value in values]
    print_table((*columns, "seconds", "switch"), rows, numbers=("reserved", "charged", "seconds"))


def _blank(value: object) -> object:
    return "" if value is None else value


@call.command()
@click.argument("call_id", metavar="CALL_ID")
@as_json
@chosen
def show(selected: Chosen, call_id: str, as_json: bool) -> None:
    """Show every part of a call, live, over or archived, by its call id or grant id."""

    async def read(store: Opened) -> list[dict[str, Any]]:
        here = [("", found) for found in await store.find_calls(call_id)]
        known = {found.grant_id for _month, found in here}
        # Looked at second: what leaves the store in between is seen in both, and shown once.
        left = [each for each in await store.find_archived_calls(call_id) if each[1].grant_id not in known]
        return [
            {
                **whole_value(found), "archive": month,
                "changes": [dated(change) for change in await store.call_changes(found)],
            }
            for month, found in (*left, *here)
        ]  # fmt: skip

    values = selected.perform(read)
    if not values:
        raise Refused(f"there is no call {printable(call_id)}")
    if as_json:
        print_json(values)
        return
    for value in values:
        levels, changes = value.pop("levels"), value.pop("changes")
        print_pairs((name, _blank(part)) for name, part in value.items())
        for level in levels:
            by = f", {level['conversion']}" if level["conversion"] else ""
            debt = f", {level['uncollected']} of it uncollected" if level["uncollected"] != NOTHING else ""
            paid = f"{level['charged']} {level['currency']}{debt}, held {level['reserved']}{by}"
            click.echo(f"  paid by {level['tenant']}/{level['account']}: {paid}")
            for line in particulars(level):
                click.echo(f"    {printable(line)}")
        for change in changes:
            click.echo(f"  {change['at']} {change['act']} by {change['who']}: {printable(change['reason'])}")


def particulars(level: dict[str, Any]) -> Iterator[str]:
    """Yield what a level was priced by and what paid for it."""
    if level["price"]:
        yield f"{level['price']}, prefix {level['prefix'] or 'none'} ({level['destination'] or 'no destination'})"
    if (level["surcharge"], level["surcharge_rate"]) != (NOTHING, NOTHING):
        currency = level["currency"]
        yield f"over its channels: {level['surcharge']} {currency} a call and {level['surcharge_rate']} a minute beside"
    for used in level["units"]:
        yield f"{used['units']} units of bundle {used['bundle']}"
    for bucket in level["buckets"]:
        yield f"{bucket['amount']} of bucket {bucket['id']}"


def whole_value(found: Call) -> dict[str, Any]:
    """Return a call as ``call show --json`` promises it; ``dialled`` is empty where ``to`` is what was dialled."""
    return {
        **call_value(found), "dialled": found.dialled, "attempt": found.attempt, "part": found.part,
        "authorised": found.authorised,
        "ended_at": format_rfc3339(found.ended_at) if found.ended_at is not None else None,
        "duration_seconds": decimal_seconds(found.duration_us), "overrun_seconds": decimal_seconds(found.overrun_us),
        "settled_by": found.settled_by.value, "carrier": found.carrier.carrier.id if found.carrier else "",
        "levels": [_level(found, place) for place in range(len(found.levels))],
    }  # fmt: skip


def _level(found: Call, place: int) -> dict[str, Any]:
    level = found.levels[place]
    posted = found.posted[place] if found.posted else None
    charged = posted.charge if posted is not None else 0
    tariff = level.tariffs[0] if level.tariffs else None
    return {
        "tenant": level.key.tenant, "account": level.key.id, "currency": level.currency,
        "prefix": _prefix(found, place), "reserved": format_nano(level.reserved), "charged": format_nano(charged),
        "uncollected": format_nano(posted.uncollected if posted is not None else 0),
        "conversion": _conversion(found, place), "destination": tariff.destination if tariff is not None else "",
        "price": _price(tariff) if tariff is not None else "",
        "surcharge": format_nano(tariff.surcharge if tariff is not None else 0),
        "surcharge_rate": format_nano(tariff.surcharge_rate if tariff is not None else 0),
        "units": [{"bundle": bundle_of(each.meter), "units": each.units} for each in posted.units] if posted else [],
        "buckets": [{"id": each.id, "amount": format_nano(each.amount)} for each in posted.buckets] if posted else [],
    }  # fmt: skip


def _price(tariff: Tariff) -> str:
    """Return the first rate of a tariff, as a person compares it with the deck."""
    return f"{format_nano(tariff.rate)} {tariff.currency} for {tariff.per} {tariff.unit}"


def _conversion(found: Call, place: int) -> str:
    """Return the rate at which a level is charged for prices in another currency, empty where they are in its own."""
    tariffs = found.levels[place].tariffs
    return str(tariffs[0].conversion) if tariffs and tariffs[0].conversion is not None else ""


def _prefix(found: Call, place: int) -> str:
    tariffs = found.levels[place].tariffs
    return tariffs[0].prefix if tariffs else ""


@call.command()
@click.argument("call_id", metavar="CALL_ID")
@REASON
@as_json
@chosen
def end(selected: Chosen, call_id: str, reason: str, as_json: bool) -> None:
    """End the live calls of a call id (or of one grant id)."""

    async def work(store: Opened) -> list[Call]:
        alive = [found for found in await store.find_calls(call_id) if found.is_open]
        for found in alive:
            await store.end_call(found, reason or "call end")
        return alive

    cut = selected.perform(work)
    if not cut:
        raise Refused(f"there is no live call {printable(call_id)}")
    if as_json:
        print_json({"call_id": call_id, "cut": [found.grant_id for found in cut]})
        return
    for found in cut:
        click.echo(f"{printable(found.call_id)} ({found.payer}, {found.source} {found.switch}): {_follows(found)}")


def _follows(found: Call) -> str:
    if found.emergency:
        return "an emergency call: it is never cut"
    if found.source == "radius":
        return f"nothing more is granted; its switch ends it after {found.granted_seconds} s from answer"
    told = found.source in ("esl", "asterisk")
    return "its switch is told to end it" if told else "its next update says that it is over"


@call.command()
@click.option("--account", "account_id", type=KEY, help="The account, ID or TENANT/ID, as a switch may name it.")
@click.option("--sip-user", help="A SIP user, believed unless --password is stated.")
@click.option("--password", help="What the SIP user's packet would prove.")
@click.option("--pin", help="A calling-card PIN; needs --via.")
@click.option("--ip", help="The address that the call comes from.")
@click.option("--caller", help="A caller number that --via vouches for.")
@click.option("--via", type=ID, help="The nas, switch or token that vouches for --caller or --pin.")
@click.option("--tenant", type=ID, help="The tenant of the switch that asks. Default: the owner.")
@click.option("--as", "viewer", type=ID, help="Show what this tenant may see, as HTTP shows it. Default: everything.")
@click.option("--from", "calling", default="", help="The calling number.")
@click.option("--to", "called", required=True, help="The called number.")
@click.option(
    "--direction", type=click.Choice([direction.value for direction in Direction]), default="outbound",
    show_default=True, help="Seen from the account that pays.",
)  # fmt: skip
@click.option("--override", default="", help="The usage record's override value, such as VOICE.")
@click.option("--renewable", is_flag=True, help="Ask as a road whose limit can be moved while the call runs.")
@click.option("--unrouted", is_flag=True, help="Ask as a switch that chooses the carriers by itself.")
@as_json
@chosen
def explain(
    selected: Chosen, account_id: str | None, sip_user: str | None, password: str | None, pin: str | None,
    ip: str | None, caller: str | None, via: str | None, tenant: str | None, viewer: str | None, calling: str,
    called: str, direction: str, override: str, renewable: bool, unrouted: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ask whether a call may proceed, without effect, and print every rule in its order, and the decision.

    State who calls by one or more of --account, --sip-user, --pin, --ip, --caller; an inbound call may be found by its
    called number alone. The status is 0 whether the decision is granted or denied.
    """
    identity = Identity(
        account=account_id or "", pin=pin or "", sip_user=sip_user or "",
        credential=PlainPassword(password) if password is not None else None, trusted=password is None, ip=ip or "",
        caller=caller or "", via=via or "", did=called if direction == Direction.INBOUND.value else "",
    )  # fmt: skip
    _refuse_incomplete(identity)

    async def work(store: Opened) -> tuple[Decision, tuple[Told, ...]]:
        asker = tenant if tenant is not None else (await store.configuration()).owner
        attempt = CallAttempt(
            id_domain="explain", call_id="explain", tenant=asker, source="explain", switch=via or "",
            identity=identity, called=called, calling=calling, direction=Direction(direction), override=override,
            renewable=renewable, routed=not unrouted and await store.has_carriers(),
        )  # fmt: skip
        return await store.explain(attempt, viewer)

    decision, rules = selected.perform(work)
    value = explained_value(decision, rules, viewer)
    if as_json:
        print_json(value)
        return
    for rule in rules:
        level = f" ({rule.level})" if rule.level is not None else ""
        click.echo(f"{MARKS[rule.outcome]}  {rule.rule}{level}: {rule.question} {printable(rule.detail)}")
    _print_decision(value)


def _refuse_incomplete(identity: Identity) -> None:
    if not (identity.account or identity.sip_user or identity.pin or identity.ip or identity.caller or identity.did):
        raise click.UsageError("say who calls: --account, --sip-user, --pin, --ip or --caller")
    if (identity.pin or identity.caller) and not identity.via:
        raise click.UsageError("a PIN or a caller number counts only with --via, the peer that vouches for it")
    if identity.account:
        split_key(identity.account, "owner")


def explained_value(decision: Decision, rules: Sequence[Told], viewer: str | None) -> dict[str, Any]:
    """Return a decision and its rules for ``--json``, as a tenant may see them; None: as the operator may."""
    told = [
        {
            "rule": rule.rule, "passed": rule.outcome is Outcome.PASSED, "outcome": rule.outcome.value,
            "question": rule.question, "detail": rule.detail, "level": str(rule.level) if rule.level else "",
        }
        for rule in rules
    ]  # fmt: skip
    if isinstance(decision, Denied):
        account = str(decision.account) if decision.account is not None and viewer is None else ""
        return {
            "result": "denied", "reason": decision.denial.value, "detail": decision.reason if viewer is None else "",
            "account": account, "quota_seconds": 0, "reserved": format_nano(0), "currency": "", "routes": [],
            "rules": told,
        }  # fmt: skip
    level = next((level for level in decision.levels if viewer in (None, level.key.tenant)), None)
    routes = [route_of(route, viewer) for route in decision.routes]
    return {
        "result": "granted", "reason": "", "detail": "an emergency number" if decision.emergency else "",
        "account": str(level.key) if level else "", "quota_seconds": decision.seconds,
        "reserved": format_nano(level.reserved if level else 0), "currency": level.currency if level else "",
        "routes": [{"carrier": r.carrier, "dial": r.dial, "route": r.route} for r in routes], "rules": told,
    }  # fmt: skip


def _print_decision(value: dict[str, Any]) -> None:
    if value["result"] == "denied":
        click.echo(f"denied: {value['reason']}" + (f" ({printable(value['detail'])})" if value["detail"] else ""))
        return
    paid = f", {value['reserved']} {value['currency']} would be reserved" if value["currency"] else ""
    click.echo(f"granted: {value['quota_seconds']} seconds{paid or ', ' + value['detail']}")
    for route in value["routes"]:
        click.echo(f"  {route['route']}. {route['carrier']}: {printable(route['dial'])}")
