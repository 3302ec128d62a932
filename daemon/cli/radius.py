"""``tollway radius``: ask the daemon as a switch would, and see how a packet is understood.

A secret is taken from the store where the server is on this machine, else from an option or the environment.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import click

from daemon.app_commands import LocalPacketError, NasSpec, NoReply, Reply, parse_pairs, radius_decode, radius_send
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused, Unavailable
from daemon.cli.output import print_json, print_pairs, printable
from daemon.cli.parameters import PLACE
from daemon.settings import Listener

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
_CODES = {"auth": 1, "acct": 4, "status": 12}
ACCESS_REJECT, ACCESS_CHALLENGE = 3, 11
_NAMES = {
    1: "Access-Request", 2: "Access-Accept", 3: "Access-Reject", 4: "Accounting-Request", 5: "Accounting-Response",
    11: "Access-Challenge", 12: "Status-Server", 40: "Disconnect-Request", 41: "Disconnect-ACK", 42: "Disconnect-NAK",
    43: "CoA-Request", 44: "CoA-ACK", 45: "CoA-NAK",
}  # fmt: skip


@click.group()
def radius() -> None:
    """Send and decode RADIUS packets."""


def code_name(code: object) -> str:
    """Return a packet code's name in its RFC."""
    return _NAMES.get(code, f"code {code}") if isinstance(code, int) else "no packet"


@radius.command()
@click.argument("kind", metavar="auth|acct|status", type=click.Choice(list(_CODES)))
@click.argument("pairs", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--server", type=PLACE, help="HOST:PORT. Default: this daemon's listener for that kind.")
@click.option("--secret", envvar="TOLLWAY_RADIUS_SECRET", show_envvar=True, help="Default: that of --nas in the store.")
@click.option("--nas", default="", help="The nas to speak as. Default: the one that the store has for loopback.")
@click.option("--profile", help="The dictionary of names. Default: that of the nas, else generic.")
@click.option("--timeout", type=click.FloatRange(0.05, 60), default=3.0, show_default=True, help="Seconds, each try.")
@click.option("--retries", type=click.IntRange(0, 20), default=3, show_default=True, help="Sendings after the first.")
@as_json
@chosen
def send(
    selected: Chosen, kind: str, pairs: tuple[str, ...], server: tuple[str, int] | None, secret: str | None, nas: str,
    profile: str | None, timeout: float, retries: int, as_json: bool,
) -> None:  # fmt: skip
    """Send one request and print its reply. Without NAME=VALUE pairs they are read from standard input, a line each.

    status asks whether the server lives (RFC 5997). A reject ends with status 1, no reply with 69.
    """
    place = server if server is not None else _listener(selected, kind)
    attributes = _attributes(kind, pairs)
    if secret is None and not nas and server is not None and server[0] not in LOOPBACK:
        raise click.UsageError(f"state --secret or --nas: {server[0]} may not be this machine")
    known = _known_nas(selected, nas, place[0]) if secret is None else None
    key, names = (known.secret, known.profile) if known is not None else (secret or "", "generic")
    try:
        reply = asyncio.run(
            radius_send(place, key, _CODES[kind], attributes, timeout, retries, profile=profile or names)
        )
    except (LocalPacketError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    except (NoReply, OSError) as error:
        raise Unavailable(f"{place[0]}:{place[1]}: {error}") from error
    _print_reply(reply, json=as_json)
    if reply.code in (ACCESS_REJECT, ACCESS_CHALLENGE):
        raise Refused(f"{code_name(reply.code)}: {' '.join(map(printable, reply.values('Reply-Message')))}")


def _attributes(kind: str, pairs: Sequence[str]) -> list[tuple[str, str]]:
    lines: Sequence[str] = pairs
    if not pairs and kind != "status":
        lines = sys.stdin.read().splitlines()
    try:
        return parse_pairs(lines)
    except LocalPacketError as error:
        raise click.UsageError(str(error)) from error


def _listener(selected: Chosen, kind: str) -> tuple[str, int]:
    settings = selected.settings()
    listener = settings.radius_acct if kind == "acct" else settings.radius_auth
    if not listener:
        raise Unavailable(f"the listener for {kind} is off: state --server HOST:PORT")
    return reached(listener)


def reached(listener: Listener) -> tuple[str, int]:
    """Return where this machine reaches a listener: one on every address answers on loopback too."""
    return _EVERYWHERE.get(listener.host, listener.host), listener.port


def source_address(host: str) -> str:
    """Return the address that packets to one of this machine's own addresses come from."""
    return "127.0.0.1" if host == "localhost" else host


def _known_nas(selected: Chosen, name: str, host: str) -> NasSpec:
    found = selected.perform(lambda store: store.nas(name, source_address(host)))
    if found is None:
        raise Refused(f"the store has no nas {name or 'for ' + host}: state --secret")
    return found


def _print_reply(reply: Reply, *, json: bool) -> None:
    if json:
        print_json(
            {
                "code": reply.code, "name": code_name(reply.code), "id": reply.packet.identifier,
                "attributes": reply.attributes,
            }
        )  # fmt: skip
        return
    click.echo(f"{code_name(reply.code)}, id {reply.packet.identifier}")
    for name, value in reply.attributes:
        click.echo(f"  {name} = {printable(value)}")


@radius.command()
@click.argument("packet", metavar="HEX")
@click.option("--profile", default="generic", show_default=True, help="The dictionary of names.")
@click.option("--secret", help="Reveals passwords and judges signatures.")
@click.option("--request-authenticator", default="", metavar="HEX", help="Of the request that a reply answers.")
@as_json
def decode(packet: str, profile: str, secret: str | None, request_authenticator: str, as_json: bool) -> None:
    """Show how a packet in hexadecimal is understood; "-" reads it from standard input.

    A packet that is not well formed ends with status 1 and the reason.
    """
    text = sys.stdin.read() if packet == "-" else packet
    try:
        found: dict[str, Any] = radius_decode(text, profile, secret, request_authenticator)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json(found)
    elif found["well_formed"]:
        _print_packet(found)
    if not found["well_formed"]:
        raise Refused(f"not well formed: {found['error']}")


def _print_packet(found: dict[str, Any]) -> None:
    head = ("id", "length", "authenticator")
    judged = [(name, found[name]) for name in found if name.endswith("_valid")]
    print_pairs(
        [("code", f"{found['code']} {code_name(found['code'])}"), *((name, found[name]) for name in head), *judged]
    )
    for name, value in found["attributes"]:
        click.echo(f"  {name} = {printable(value)}")
