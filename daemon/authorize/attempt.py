"""A call as a switch asks about it: where from, where to, and what the switch vouches for about who pays.

A road fills only the fields that its switch itself asserts: never a display name, never a header a caller wrote.
A credential is an object that can check a stored secret, so that no decision ever sees how it was carried.
"""

from dataclasses import dataclass
from typing import Protocol

from daemon.kernel.dialling import Dialling
from daemon.kernel.ids import Direction


class Credential(Protocol):
    """What a packet carries to prove a SIP user: PAP, CHAP or Digest."""

    def proves(self, password: str, ha1: str) -> bool:
        """Tell whether it was made with this password (or, where empty, this HA1)."""


@dataclass(frozen=True, slots=True)
class PlainPassword:
    """A password in clear, as PAP and HTTP carry it."""

    text: str

    def proves(self, password: str, ha1: str) -> bool:
        """Compare in a time that does not tell how much was right; an HA1 cannot be compared without its realm."""
        return bool(password) and _same(self.text, password)


def _same(left: str, right: str) -> bool:
    mine, theirs = left.encode(), right.encode()
    difference = len(mine) ^ len(theirs)
    for one, other in zip(mine, theirs.ljust(len(mine), b"\0"), strict=False):
        difference |= one ^ other
    return difference == 0


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields that may say who pays; SPEC section 1 gives their order. Empty: not stated.

    ``via`` is the id of the nas, switch, token or network that vouches for a caller number or a PIN.
    ``trusted`` says that the peer may name a SIP user without a credential.
    """

    account: str = ""
    account_tenant: str = ""
    pin: str = ""
    sip_user: str = ""
    credential: Credential | None = None
    trusted: bool = False
    ip: str = ""
    caller: str = ""
    via: str = ""
    did: str = ""


@dataclass(frozen=True, slots=True)
class CallAttempt:
    """One question. ``tenant`` is that of the peer, which may name only it and its descendants.

    ``renewable``: the limit inside the switch can be moved while the call runs. ``reports_answer``: the road tells when
    a call is answered. ``hears_answer``: what is answered to that can still shorten the limit. ``routed``: the daemon
    chooses the carriers (rules of carriers and margin apply). ``called`` is as received; ``dialling`` says how the peer
    writes numbers, by which the caller and the DID of its identity are written already. ``both_sides``: where the
    number is a DID of the payer's tenant, its account pays inbound for the same call. ``callers_id``: the caller
    chooses the call id, so that under one id a call to another number is another call.
    """

    id_domain: str
    call_id: str
    tenant: str
    source: str
    switch: str
    identity: Identity
    called: str
    calling: str = ""
    direction: Direction = Direction.OUTBOUND
    override: str = ""
    renewable: bool = False
    reports_answer: bool = True
    hears_answer: bool = False
    routed: bool = True
    aliases: tuple[str, ...] = ()
    leg: str = ""
    dialling: Dialling | None = None
    both_sides: bool = False
    callers_id: bool = False
