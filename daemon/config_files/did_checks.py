"""DIDs that two accounts claim at one time: numbers and ranges, each from a date, compared by one sweep over them all.

Two accounts of one tenant are rivals, and two of different tenants where a peer carries the calls of both. Each claim
is reported once, at the one that stands later in the file.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from daemon.authorize.dids import place
from daemon.config_files.kinds import Site
from daemon.config_files.objects import Entry, Objects
from daemon.kernel.instant import NEVER


class _Claim(NamedTuple):
    """Places of the first and the last number, the instants, and where it stands in the file."""

    first: int
    last: int
    begins: int
    ends: int
    order: int
    account: Entry
    site: Site


def check_dids(objects: Objects, peers: set[str]) -> None:
    """Report each DID that another account has too. ``peers``: the tenants of nas and switches."""
    running: list[_Claim] = []
    told: set[int] = set()
    for claim in sorted(_claims(objects), key=lambda each: (each.first, each.order)):
        running = [each for each in running if each.last >= claim.first]
        for other in running:
            earlier, later = sorted((claim, other), key=lambda each: each.order)
            if later.order not in told and _clash(objects, earlier, later, peers):
                told.add(later.order)
        running.append(claim)


def _claims(objects: Objects) -> Iterator[_Claim]:
    order = 0
    for account in objects.of("account"):
        for number, identity in enumerate(account.get("identities") or ()):
            if identity.get("did") and account.tenant:
                order += 1
                yield _claim(account, account.site / "identities" / number / "did", identity, order)


def _claim(account: Entry, site: Site, identity: dict[str, Any], order: int) -> _Claim:
    first, _, last = identity["did"].partition("-")
    begins, ends = identity.get("from"), identity.get("until")
    return _Claim(
        place(first), place(last or first), begins or 0, NEVER if ends is None else ends, order, account, site
    )


def _clash(objects: Objects, earlier: _Claim, later: _Claim, peers: set[str]) -> bool:
    if earlier.begins >= later.ends or later.begins >= earlier.ends:
        return False
    rival = earlier.account
    if rival is later.account:
        later.site.report("stands in this account twice; keep one")
        return True
    if rival.key == later.account.key or not _rivals(objects, rival.tenant, later.account.tenant, peers):
        return False
    later.site.report(f"is that of {rival} in line {rival.line} too; a call could not tell who pays, keep one")
    return True


def _rivals(objects: Objects, one: str, other: str, peers: set[str]) -> bool:
    """Tell whether a peer may name accounts of both tenants; those of one tenant are rivals in any case."""
    return one == other or bool(peers.intersection(objects.ancestors(one)).intersection(objects.ancestors(other)))
