"""Stored and stated rows as versions of rates, and how one version moved against another. Pure.

A rate is what one prefix asks within one time band (what is no call has a rate for each rate type); a version of it is
all its rows of one ``effective_from``, its steps and tiers together. Versions are compared whole: a rate is dearer only
if no step or tier of it became cheaper.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from daemon.kernel.instant import Instant
from daemon.kernel.money import format_nano
from daemon.rating.deck import RateRow, Terms
from daemon.rating.rate_table import Policy, kind_of

NEW, INCREASED, DECREASED, CHANGED, CLOSED = "new", "increased", "decreased", "changed", "closed"
_AMOUNTS = ("connect_fee", "minimum_charge")  # of Terms, in nano-units
_FROM, _AFTER_TO = Terms._fields.index("effective_from"), Terms._fields.index("effective_to") + 1


class StoredRow(NamedTuple):
    """A row with its number in the store; its ``effective_to`` is the end that counts, whoever set it."""

    number: int
    row: RateRow


class RateKey(NamedTuple):
    """What has versions of its own below one prefix: ``kind`` is empty for calls, else the rate type."""

    kind: str
    band: str


class Prices(NamedTuple):
    """What a prefix asked and will ask, nano-units of a rate's unit; None: nothing.

    ``what`` names what else changed where the rate did not, as columns of a deck with the values before and after.
    """

    before: int | None
    after: int | None
    what: str = ""


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


def prefix_count(rows: Iterable[RateRow], policy: Policy) -> int:
    """Return how many prefixes a deck states a price of; what is no call counts for itself."""
    return len({(row.prefix, key_of(row, policy).kind) for row in rows if not row.closes})


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


def prices_of(before: Version | None, after: Version | None) -> "Prices":
    """Return the two rates at the first place where they differ, of what only differs elsewhere at the first place."""
    if before is None or after is None:
        return Prices(before and before.rows[0].rate, after and after.rows[0].rate)
    beside = list(_rates_beside(before, after))
    moved = next((pair for pair in beside if pair[0] != pair[1]), None)
    return Prices(*moved) if moved is not None else Prices(*beside[0], _what_else(before, after))


def _what_else(before: Version, after: Version) -> str:
    """Return what differs between two versions that ask the same rates."""
    if len(before.rows) != len(after.rows):
        return "steps or tiers"
    found = (_columns(old, new) for old, new in zip(before.rows, after.rows, strict=True))
    return next((told for told in found if told), "")


def _columns(old: RateRow, new: RateRow) -> str:
    told = [f"destination {old.destination or 'none'} -> {new.destination or 'none'}"] * (
        old.destination != new.destination
    )
    for name in Terms._fields[:_FROM] + Terms._fields[_AFTER_TO:]:
        was, will = getattr(old.terms, name), getattr(new.terms, name)
        if was != will:
            told.append(f"{name} {_cell(name, was)} -> {_cell(name, will)}")
    return ", ".join(told)


def _cell(name: str, value: object) -> str:
    """Return a value as a deck writes it."""
    if isinstance(value, int) and name in _AMOUNTS:
        return format_nano(value)
    return str(value) or "none"


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
