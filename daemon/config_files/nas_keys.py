"""The keys of ``[[nas]]`` that say which way its calls go, and what of them its profile can tell.

A list that the profile's switch never tells anything for would be obeyed by silence: it is a fault of the file.
"""

from typing import Any, Final

from daemon.config_files.kinds import FLAG, NETWORK, NON_EMPTY, ConfigKey, Many, Scalar, Site, choice
from daemon.kernel.ids import Direction

# What the profiles tell of where a call came from: held to the profiles' own table by a test.
TELLING_NOTHING: Final = frozenset({"kamailio", "opensips"})
SEEING_ADDRESSES: Final = frozenset({"cisco", "freeswitch", "sippy"})
ORIGINS_MAX: Final = 256  # entries of one list; each request of the client is held against them


def _origin(value: object) -> str:
    """Return a network, or a word such as a dialplan context; what looks like a network has to be one."""
    written = str(NON_EMPTY.parse(value))
    return str(NETWORK.parse(written)) if is_network(written) else written


def is_network(written: str) -> bool:
    """Tell what is meant as an address or a network from a word."""
    return "/" in written or ":" in written or written.replace(".", "").isdigit()


ORIGIN: Final = Scalar("word or network", _origin)
NAS_DIRECTIONS: Final = (
    ConfigKey(
        "direction", choice(Direction), Direction.OUTBOUND, "of its calls of which neither it nor `inbound_from` tells"
    ),
    ConfigKey(
        "inbound_from",
        Many(ORIGIN),
        (),
        "where inbound calls come from: telephony or voip (h323-call-type), dialplan contexts, networks of carriers",
        "nothing tells it",
    ),
    ConfigKey("both_sides", FLAG, False, "its outbound questions ask for the account of the called DID too"),
)


def check_directions(site: Site, found: dict[str, Any]) -> None:
    """Report a list that the profile's switch tells nothing for."""
    origins, profile = found.get("inbound_from") or (), found.get("profile")
    if len(origins) > ORIGINS_MAX:
        (site / "inbound_from").report(f"has {len(origins)} entries; {ORIGINS_MAX} at most, write larger networks")
    elif origins and profile in TELLING_NOTHING:
        (site / "inbound_from").report(
            f"is never told by profile {profile}; state direction, or let the proxy send tollway_direction as a SIP-AVP"
        )
    elif any(is_network(one) for one in origins) and profile not in SEEING_ADDRESSES:
        seeing = ", ".join(sorted(SEEING_ADDRESSES))
        (site / "inbound_from").report(
            f"has a network, and profile {profile} tells no address of a call; {seeing} do; write words or direction"
        )
