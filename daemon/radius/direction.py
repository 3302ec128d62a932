"""Which way a call goes, seen from the account that pays: what a client says, and what its switch vouches for. Pure.

A client's own word (``tollway_direction``) goes first; then what only one side can have sent (a digest is a caller's,
SIP-Callee-AVPs a called user's); then where the call came from, as ``inbound_from`` of its nas reads it; then the nas's
``direction``. The direction of a leg (h323-call-origin, Freeswitch-Direction) is the switch's own: whatever enters it
is an answering leg, whoever pays. So it tells which leg a record is of, and nothing here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from daemon.authorize.attempt import Credential
from daemon.charging.configuration import NasSpec
from daemon.kernel.ids import Direction
from daemon.radius.digest import Digest
from daemon.radius.fields import Fields
from daemon.radius.profile import Profile, is_address, seen_address, stated

SIP_CALLER_AVPS, SIP_CALLEE_AVPS = 30, 31  # Service-Type of a SIP proxy that asks about a caller, a called user
ORIGINS_KEPT_MAX = 256  # lists of ``inbound_from`` that are kept parted; one for each nas, and a few that were changed
_WORDS = {each.value: each for each in Direction}
_BY_SERVICE = {SIP_CALLER_AVPS: Direction.OUTBOUND, SIP_CALLEE_AVPS: Direction.INBOUND}


def direction(fields: Fields, nas: NasSpec, switch: Profile, credential: Credential | None) -> Direction:
    """Return which way the call of a request of either kind goes."""
    return (
        _WORDS.get(stated(fields, "tollway_direction").lower())
        or (Direction.OUTBOUND if isinstance(credential, Digest) else None)
        or (_BY_SERVICE.get(fields.number("Service-Type") or 0) if switch.sip_avps else None)
        or _by_origin(fields, _parted(nas.inbound_from), switch)
        or nas.direction
    )


def asks_both_sides(fields: Fields, nas: NasSpec, which: Direction) -> bool:
    """Tell whether the called DID's account is to pay too: by the nas, or by ``tollway_both_sides`` of the question."""
    told = stated(fields, "tollway_both_sides").lower() in ("true", "1")
    return which is Direction.OUTBOUND and (nas.both_sides or told)


@dataclass(frozen=True, slots=True)
class _Origins:
    words: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]


@lru_cache(maxsize=ORIGINS_KEPT_MAX)
def _parted(written: tuple[str, ...]) -> _Origins:
    networks = tuple(ip_network(one, strict=False) for one in written if is_network(one))
    return _Origins(frozenset(one.lower() for one in written if not is_network(one)), networks)


def is_network(written: str) -> bool:
    """Tell an address or a network from a word."""
    address, _, _length = written.partition("/")
    return is_address(address)


def _by_origin(fields: Fields, origins: _Origins, switch: Profile) -> Direction | None:
    """Return what the place that a call came from tells, None where the list asks for nothing that the switch told."""
    words = frozenset(_came_from(fields, switch)) if origins.words else frozenset()
    address = seen_address(fields, switch) if origins.networks else ""
    if not words and not address:
        return None
    within = bool(address) and any(ip_address(address) in network for network in origins.networks)
    return Direction.INBOUND if within or words & origins.words else Direction.OUTBOUND


def _came_from(fields: Fields, switch: Profile) -> Iterable[str]:
    """Yield the dialplan context of a call, and the type of the leg by which it came in; never of one that goes out."""
    told = [fields.text(*switch.context)]
    if fields.voip("h323-call-origin").lower() != "originate":
        told.append(fields.voip("h323-call-type"))
    return (word.lower() for word in told if word)
