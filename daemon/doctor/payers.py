"""Accounts that no call can be charged to: without a plan, without an endpoint, or with an endpoint of several.

All accounts are read as the daemon reads them, in its index; what was agreed is decoded once for all that share it.
A tenant's own account with its parent needs no endpoint: calls reach it through the tenant's customers.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations
from typing import Final

import msgspec

from daemon.authorize.catalog import Status
from daemon.authorize.dids import DidRange, place
from daemon.charging.account_views import key_of
from daemon.charging.accounts import AccountIndex, names_of, whole
from daemon.charging.configuration import AccountSpec, Configuration, PlanFrom
from daemon.doctor.finding import NAMED_MAX, Finding, ill, some, well
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant, format_rfc3339

_terms = msgspec.json.Decoder(AccountSpec)
_KINDS: Final[Mapping[str, str]] = {
    "sip_users": "SIP user", "pins": "PIN", "callers": "caller", "dids": "DID", "did_ranges": "DID range",
    "networks": "network",
}  # fmt: skip
PIECES_MAX: Final = 100_000  # overlapping pieces of DID ranges that are looked at


@dataclass
class Census:
    """What is wrong with accounts: their names by the fault. ``currencies``: plan, currency, and one account."""

    active: int = 0
    named: dict[str, list[str]] = field(default_factory=dict)
    currencies: dict[tuple[Key, str], Key] = field(default_factory=dict)
    plans_end: Instant = 0

    def note(self, fault: str, name: str) -> None:
        """Take down one account."""
        self.named.setdefault(fault, []).append(name)

    def told(self, fault: str) -> str:
        """Return the accounts of a fault."""
        return some(sorted(self.named[fault]))


def census(index: AccountIndex, configuration: Configuration, ending: Mapping[Key, Instant], now: Instant) -> Census:
    """Look at every account that is active. ``ending``: the plans whose rates all end soon."""
    found = Census()
    trunks = {f"{each.parent}/{each.account}" for each in configuration.tenants if each.parent}
    agreed: dict[bytes, AccountSpec] = {}
    for name, row in index.rows.items():
        spec = agreed.get(row.agreement)
        if spec is None:
            spec = agreed[row.agreement] = _terms.decode(whole(row.agreement))
        if spec.status is not Status.ACTIVE:
            continue
        found.active += 1
        if len(row.endpoints) <= len(b"[]") and name not in trunks:
            found.note("endpoints", name)
        _note_plans(found, name, spec, ending, now)
    return found


def _note_plans(found: Census, name: str, spec: AccountSpec, ending: Mapping[Key, Instant], now: Instant) -> None:
    key = key_of(name)
    plans = [
        Key(key.tenant, each.plan) for each in (_now(spec.rate_plan, now), _now(spec.inbound_rate_plan, now)) if each
    ]
    if not plans:
        found.note("plans", name)
        return
    for plan in plans:
        found.currencies.setdefault((plan, spec.currency), key)
    ends = [ending[plan] for plan in plans if plan in ending]
    later = max((each.begins for each in spec.rate_plan), default=0) > now
    if ends and not later:
        found.note("ending", name)
        found.plans_end = min(ends + [found.plans_end] * bool(found.plans_end))


def _now(plans: tuple[PlanFrom, ...], now: Instant) -> PlanFrom | None:
    """Return the plan in force: the one that began last."""
    return max((each for each in plans if each.begins <= now), key=lambda each: each.begins, default=None)


def accounts(found: Census) -> Iterator[Finding]:
    """Yield what is wrong with the plans and endpoints of accounts."""
    if "plans" in found.named:
        yield ill("accounts.plans", "none", f"without a rate plan now: {found.told('plans')}")
    if "ending" in found.named:
        until = format_rfc3339(found.plans_end) if found.plans_end else "now on"
        yield ill("accounts.plans", "ending", f"all rates of the plan end by {until}: {found.told('ending')}")
    if not found.named.keys() & {"plans", "ending"}:
        yield well("accounts.plans", f"{found.active:,} active accounts have a plan")
    if "endpoints" in found.named:
        yield ill("accounts.endpoints", "none", f"active, and without an endpoint: {found.told('endpoints')}")
    else:
        yield well("accounts.endpoints", f"{found.active:,} active accounts can be found")


def collisions(index: AccountIndex) -> Iterator[Finding]:
    """Yield the endpoints of several accounts, by their kind; a PIN is not told, only whose it is."""
    faults = 0
    for kind, claims in index.claims.items():
        # Nearly every claim is one account's, whose name is a text: the others are few.
        shared = sorted(text for text, claim in claims.items() if not isinstance(claim, str))
        if shared:
            faults += 1
            named = [_named(kind, text, names_of(claims[text])) for text in shared[:NAMED_MAX]]
            more = f" and {len(shared) - NAMED_MAX} more" if len(shared) > NAMED_MAX else ""
            yield ill("endpoints", "claimed_twice", f"{_KINDS[kind]}: {'; '.join(named)}{more}")
    overlaps = sorted(_overlaps(index))
    if overlaps:
        faults += 1
        yield ill("endpoints", "claimed_twice", f"DID range: {some(overlaps)}")
    if not faults:
        yield well("endpoints", f"{sum(map(len, index.claims.values())):,} endpoints, each of one account")


def _named(kind: str, text: str, names: tuple[str, ...]) -> str:
    what = f"one with {text.partition('/')[0]}" if kind == "pins" else _network(text) if kind == "networks" else text
    return f"{what} ({some(names)})"


def _network(text: str) -> str:
    """Return a network as it is written, of the text by which it is found."""
    version, host_bits, first, tech_prefix = text.split("/")
    made = IPv4Network if version == "4" else IPv6Network
    network = made((int(first, 16), (32 if version == "4" else 128) - int(host_bits)))
    return f"{network}{f' with tech prefix {tech_prefix}' if tech_prefix else ''}"


def _overlaps(index: AccountIndex) -> set[str]:
    """Return the pairs of DID ranges, and of a DID and a range, of two accounts that are in force together."""
    found: set[str] = set()
    for piece in index.did_ranges.pieces[:PIECES_MAX]:
        for one, other in combinations(piece, 2):
            if one.account != other.account and max(one.begins, other.begins) < min(one.ends, other.ends):
                found.add(f"{_range(one)} and {_range(other)}")
    for number, claim in index.claims["dids"].items() if index.did_ranges.pieces else ():
        for name in names_of(claim):
            for each in _holding(index, number):
                if each.account != key_of(name):
                    found.add(f"{number} ({name}) and {_range(each)}")
    return found


def _holding(index: AccountIndex, number: str) -> tuple[DidRange, ...]:
    ranges = index.did_ranges
    found = bisect_right(ranges.starts, place(number)) - 1
    return ranges.pieces[found] if found >= 0 else ()


def _range(each: DidRange) -> str:
    return f"{each.first}-{each.last} ({each.account})"
