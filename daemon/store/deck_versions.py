"""Stored and stated rows as versions of rates, and how one version moved against another. Pure.

A rate is what one prefix asks within one time band (what is no call has a rate for each rate type); a version of it is
all its rows of one ``effective_from``, its steps and tiers together. Versions are compared whole: a rate is dearer only
if no step or tier of it became cheaper.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from daemon.kernel.instant import Instant
from daemon.rating.deck import RateRow, Terms
from daemon.rating.rate_table import Policy, kind_of

NEW, INCREASED, DECREASED, CHANGED, CLOSED = "new", "increased", "decreased", "changed", "closed"
_FROM, _AFTER_TO = Terms._fields.index("effective_from"), Terms._fields.index("effective_to") + 1


class StoredRow(NamedTuple):
    """A row with its number in the store; its ``effective_to`` is the end that counts, whoever set it."""

    number: int
    row: RateRow


class RateKey(NamedTuple):
    """What has versions of its own below one prefix: ``kind`` is empty for calls, else the rate type."""

    kind: str
    band: str


class Version(NamedTuple):
    """All rows of one version, by tier and step; ``numbers`` are those in the store, none where it is only stated."""

    rows: tuple[RateRow, ...]
    begins: Instant
    ends: Instant
    numbers: tuple[int, ...] = ()
    is_dated: bool = True

    def holds(self, at: Instant) -> bool:
        """Tell whether it is valid at an instant."""
        return self.begins <= at < self.ends

    def says(self, other: "Version") -> bool:
        """Tell whether both ask the same, whatever their dates."""
        return len(self.rows) == len(other.rows) and all(map(same_but_dates, self.rows, other.rows))


def same_but_dates(one: RateRow, other: RateRow) -> bool:
    """Tell whether two rows ask the same."""
    return (
        one.rate == other.rate
        and one.destination == other.destination
        and (
            one.terms is other.terms
            or (one.terms[:_FROM] == other.terms[:_FROM] and one.terms[_AFTER_TO:] == other.terms[_AFTER_TO:])
        )
    )


def stored_versions(rows: Iterable[StoredRow], policy: Policy) -> dict[RateKey, list[Version]]:
    """Return the versions of each rate of one prefix, earliest first."""
    groups: dict[tuple[RateKey, Instant], list[StoredRow]] = {}
    for stored in rows:
        groups.setdefault((key_of(stored.row, policy), stored.row.terms.effective_from), []).append(stored)
    found: dict[RateKey, list[Version]] = {}
    for (key, begins), members in sorted(groups.items()):
        members.sort(key=lambda stored: _place(stored.row))
        version = Version(
            tuple(stored.row for stored in members), begins, min(stored.row.terms.effective_to for stored in members),
            tuple(stored.number for stored in members),
        )  # fmt: skip
        found.setdefault(key, []).append(version)
    return found


def stated_version(rows: Iterable[RateRow], begins: Instant, is_dated: bool) -> Version:
    """Return the rows of one version as a deck states them."""
    ordered = tuple(sorted(rows, key=_place))
    return Version(ordered, begins, ordered[0].terms.effective_to, (), is_dated)


def key_of(row: RateRow, policy: Policy) -> RateKey:
    """Return which rate of its prefix a row belongs to."""
    return RateKey(kind_of(row, policy) if row.terms.rate_type or not row.prefix else "", row.terms.time_band)


def _place(row: RateRow) -> tuple[int, int]:
    return (row.terms.tier_from, row.terms.step_from_second)


def in_force(versions: Iterable[Version], at: Instant) -> Version | None:
    """Return the version of one rate in force at an instant: the latest valid one."""
    return max((version for version in versions if version.holds(at)), key=lambda found: found.begins, default=None)


def move(before: Version | None, after: Version | None) -> str:
    """Return how a rate moved: dearer or cheaper where every step and tier moved that way or not at all."""
    if before is None or after is None:
        return CLOSED if after is None else NEW
    ways = {_sign(new - old) for old, new in _rates_beside(before, after)}
    if ways <= {0, 1} and 1 in ways:
        return INCREASED
    return DECREASED if ways <= {0, -1} and -1 in ways else CHANGED


def move_of_rate(before: int, after: int) -> str:
    """Return how a rate of one row moved."""
    if before == after:
        return CHANGED
    return INCREASED if after > before else DECREASED


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _rates_beside(before: Version, after: Version) -> Iterable[tuple[int, int]]:
    """Yield the two rates at every place where one of both changes."""
    tiers = sorted({row.terms.tier_from for version in (before, after) for row in version.rows})
    steps = sorted({row.terms.step_from_second for version in (before, after) for row in version.rows})
    return ((_rate_at(before, tier, step), _rate_at(after, tier, step)) for tier in tiers for step in steps)


def _rate_at(version: Version, tier: int, step: int) -> int:
    places = [_place(row) for row in version.rows]
    reached = places[max(bisect_right(places, (tier, step)) - 1, 0)][0]
    return version.rows[max(bisect_right(places, (reached, step)) - 1, 0)].rate
