"""The peers: a login on each switch, and whether the secrets and addresses of RADIUS clients can be relied on.

No secret is told, nor a part or the length of one. A kind of switch that is not in ``SWITCHES`` is named as not looked
at, so that none is silently left out.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any, Final

from daemon.asterisk import link as manager
from daemon.authorize.catalog import Status
from daemon.charging.configuration import AsteriskSpec, Configuration, FreeswitchSpec, NasSpec
from daemon.doctor.finding import Finding, ill, skipped, some, well
from daemon.doctor.patience import TooSlow, bounded
from daemon.esl.link import Fault, Link, LinkLost, SwitchClock
from daemon.kernel.instant import Instant

ACTIVE: Final = Status.ACTIVE  # a closed peer is none
WELL_KNOWN: Final = frozenset({"testing123", "cluecon", "secret", "cisco", "radius", "password", "tollway"})
SECRET_OCTETS_MIN: Final = 16  # RFC 2865 section 3 asks for no less
AT_ONCE_MAX: Final = 32  # switches that are asked together
_FAULTS: Final[Mapping[Fault, str]] = {
    Fault.UNREACHABLE: "unreachable", Fault.PASSWORD: "password", Fault.ACL: "acl", Fault.OTHER: "strange",
}  # fmt: skip


async def _unnamed(where: str, host: str, port: int) -> Finding | None:
    """Return what is wrong with a host's name, None where it has an address."""
    try:
        await bounded(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    except OSError as error:
        return ill("switches", "unknown_host", f"{where}: {error.strerror or error}")
    except TooSlow as error:
        return ill("switches", "unknown_host", f"{where}: the name server gives {error}")
    return None


async def freeswitch(spec: FreeswitchSpec, now: Callable[[], Instant]) -> Finding:
    """Log in on an event socket, and leave."""
    where = f"{spec.tenant}/{spec.id} at {spec.host}:{spec.port}"
    unnamed = await _unnamed(where, spec.host, spec.port)
    if unnamed is not None:
        return unnamed
    try:
        link = await Link.connect(spec, lambda _event: None, now, SwitchClock())
    except LinkLost as error:
        return ill("switches", _FAULTS[error.fault], f"{where}: {error}")
    reading = asyncio.create_task(link.run())
    try:
        await link.prove(spec.password)
    except LinkLost as error:
        return ill("switches", _FAULTS[error.fault], f"{where}: {error}")
    finally:
        link.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return well("switches", f"{where} lets us in")


async def asterisk(spec: AsteriskSpec, now: Callable[[], Instant]) -> Finding:
    """Log in on a manager, and leave."""
    where = f"{spec.tenant}/{spec.id} at {spec.host}:{spec.port}"
    if not spec.secret:
        return skipped("switches", f"{where}: without a secret it only asks over FastAGI")
    unnamed = await _unnamed(where, spec.host, spec.port)
    if unnamed is not None:
        return unnamed
    try:
        link = await manager.Link.connect(spec, lambda _e, _at: None, lambda _odd: None, now, manager.SwitchClock())
    except manager.LinkLost as error:
        return ill("switches", "unreachable", f"{where}: {error}")
    reading = asyncio.create_task(link.run())
    try:
        await link.login(spec.username, spec.secret)
    except manager.LoginRefused as error:
        return ill("switches", "password", f"{where}: {error}")
    except manager.LinkLost as error:
        return ill("switches", "strange", f"{where}: {error}")
    finally:
        link.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return well("switches", f"{where} lets us in")


SWITCHES: Final[Mapping[str, Callable[[Any, Callable[[], Instant]], Awaitable[Finding]]]] = {
    "freeswitch": freeswitch, "asterisk": asterisk,
}  # fmt: skip
_KINDS: Final = ("freeswitch", "asterisk")  # kinds of switch that a configuration has


async def switches(configuration: Configuration, now: Callable[[], Instant]) -> list[Finding]:
    """Return how each switch stands."""
    room = asyncio.Semaphore(AT_ONCE_MAX)

    async def looked(kind: str, spec: Any) -> Finding:
        async with room:
            if kind not in SWITCHES:
                return skipped("switches", f"{spec.tenant}/{spec.id}: this release has no probe of [[{kind}]]")
            return await SWITCHES[kind](spec, now)

    found = [(kind, spec) for kind in _KINDS for spec in getattr(configuration, kind) if spec.status is ACTIVE]
    if not found:
        return [skipped("switches", "there is none")]
    return list(await asyncio.gather(*(looked(kind, spec) for kind, spec in found)))


# -- RADIUS clients


def clients(peers: Sequence[NasSpec]) -> Iterator[Finding]:
    """Yield what is wrong with the RADIUS clients, and of each probe without a fault that it is well."""
    peers = [peer for peer in peers if peer.status is ACTIVE]
    if not peers:
        for name in ("nas.secrets", "nas.signatures", "nas.networks"):
            yield skipped(name, "there is no RADIUS client")
        return
    for name, look in (("nas.secrets", _secrets), ("nas.signatures", _signatures), ("nas.networks", _overlaps)):
        faults = list(look(peers))
        yield from faults
        if not faults:
            yield well(name, f"looked at {len(peers)}: nothing is wrong")


def is_loopback(address: str) -> bool:
    """Tell whether a client's address or network is of this machine alone."""
    try:
        return bool(ip_network(address, strict=False).is_loopback)
    except ValueError:
        return False


def _named(peer: NasSpec) -> str:
    return f"{peer.tenant}/{peer.id}"


def _secrets(peers: Sequence[NasSpec]) -> Iterator[Finding]:
    away = [peer for peer in peers if not is_loopback(peer.address)]
    known = [_named(peer) for peer in away if peer.secret.casefold() in WELL_KNOWN]
    if known:
        yield ill("nas.secrets", "well_known", f"the secret of {some(known)} is one that everybody knows")
    short = [_named(peer) for peer in away if len(peer.secret.encode()) < SECRET_OCTETS_MIN]
    if short:
        yield ill("nas.secrets", "short", f"the secret of {some(short)} has less than {SECRET_OCTETS_MIN} characters")
    by_secret: dict[str, list[str]] = {}
    for peer in away:
        by_secret.setdefault(peer.secret, []).append(_named(peer))
    for names in by_secret.values():
        if len(names) > 1:
            yield ill("nas.secrets", "shared", f"{some(names)} have one secret")


def _signatures(peers: Sequence[NasSpec]) -> Iterator[Finding]:
    bare = [_named(peer) for peer in peers if not peer.require_message_authenticator and not is_loopback(peer.address)]
    if bare:
        yield ill(
            "nas.signatures", "unsigned", f"{some(bare)} may send an Access-Request without Message-Authenticator"
        )


def _overlaps(peers: Sequence[NasSpec]) -> Iterator[Finding]:
    """Networks nest or lie apart: sorted, one is compared with those still open around it."""
    placed = [(ip_network(peer.address, strict=False), peer) for peer in peers if _is_network(peer.address)]
    placed.sort(key=lambda pair: (pair[0].version, int(pair[0].network_address), pair[0].prefixlen))
    around: list[tuple[Any, NasSpec]] = []
    for network, peer in placed:
        around = [each for each in around if each[0].version == network.version and network.subnet_of(each[0])]
        if around:
            outer, first = around[-1]
            yield ill("nas.networks", "overlap", f"{_named(peer)} ({network}) lies in {_named(first)} ({outer})")
        around.append((network, peer))


def _is_network(address: str) -> bool:
    try:
        ip_address(address.partition("/")[0])
    except ValueError:
        return False
    return True
