"""Rows become offers: what one prefix asks at one time, every contradiction found and named with its line.

Rows of one prefix, band and ``effective_from`` are one version of a rate, its steps and tiers together. The latest
valid version applies whole; each band's version is chosen by itself; when one ends, an earlier one still open applies
again (SPEC section 2, Match). So the versions of a prefix are cut into windows of time that do not overlap, and an
offer is what is in force in one of them: one version, or a set of them by band.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from daemon.kernel.instant import Instant
from daemon.rating.deck import DeckError, Findings, RateRow, Terms

VERSIONS_MAX: Final = 4_000  # rows of one prefix; ours: two decades of weekly prices by four bands
NO_VERSION: Final = -1


class Version(NamedTuple):
    """The rows of one version by tier, each tier's by step; the first is what the answer meets."""

    band: str
    begins: Instant
    ends: Instant
    rows: tuple[RateRow, ...]

    @property
    def is_one_row(self) -> bool:
        """Tell whether it has neither steps nor tiers."""
        return len(self.rows) == 1


class Offer(NamedTuple):
    """What a prefix asks from ``begins`` until before ``ends``: at most one version for each band."""

    prefix: str
    begins: Instant
    ends: Instant
    versions: tuple[Version, ...]


def offers_of(
    prefix: str, rows: Sequence[RateRow], overlapping: frozenset[tuple[str, str]], table: str, findings: Findings
) -> Iterator[Offer]:
    """Yield the offers of the rows of one prefix, the latest first, after every contradiction has been noted."""
    if len(rows) > VERSIONS_MAX:
        findings.add(_error(rows[-1], table, f"{_named(prefix)} has more than {VERSIONS_MAX} rows; take out old ones"))
        return
    count = findings.count
    versions = _versions(prefix, rows, table, findings)
    if len({version.band for version in versions}) > 1:
        _note_overlaps(prefix, versions, overlapping, table, findings)
    if findings.count == count:
        yield from _windows(prefix, versions)


def _named(prefix: str) -> str:
    return f"the prefix {prefix}" if prefix else "a rate type without a prefix"


def _error(row: RateRow, table: str, reason: str) -> DeckError:
    return DeckError(row.source or table, row.line, "", reason)


def _versions(prefix: str, rows: Iterable[RateRow], table: str, findings: Findings) -> list[Version]:
    found: dict[tuple[str, Instant], list[RateRow]] = {}
    for row in rows:
        found.setdefault((row.terms.time_band, row.terms.effective_from), []).append(row)
    versions = []
    for (band, begins), members in found.items():
        members.sort(key=lambda row: (row.terms.tier_from, row.terms.step_from_second, row.line))
        fault = _version_fault(prefix, members)
        if fault is not None:
            findings.add(_error(*fault[:1], table, fault[1]))
        versions.append(Version(band, begins, members[0].terms.effective_to, tuple(members)))
    return versions


def _version_fault(prefix: str, members: Sequence[RateRow]) -> tuple[RateRow, str] | None:
    """Return the first row that contradicts its version, and how."""
    first = members[0]
    seen: dict[tuple[int, int], RateRow] = {}
    for row in members:
        place = (row.terms.tier_from, row.terms.step_from_second)
        here = f"{_named(prefix)} has one effective_from in line {first.line} and here"
        if row.terms.effective_to != first.terms.effective_to:
            return row, f"{here}, with different effective_to; give the rows of one version one end"
        if place in seen:
            where = f"{_named(prefix)} has one effective_from in line {seen[place].line} and here"
            return row, f"{where}: two rows for second {place[1]}{_tier(place[0])} of one version; keep one row"
        seen[place] = row
    return next(((row, _unfounded(prefix, row)) for row in members if (row.terms.tier_from, 0) not in seen), None) or (
        None if (0, 0) in seen else (first, f"{_named(prefix)} has no row for volume 0 of this version; add it")
    )


def _unfounded(prefix: str, row: RateRow) -> str:
    return f"{_named(prefix)} has no row for second 0{_tier(row.terms.tier_from)} of this version; add it"


def _tier(tier_from: int) -> str:
    return f" and volume {tier_from}" if tier_from else ""


def _note_overlaps(
    prefix: str, versions: Sequence[Version], overlapping: frozenset[tuple[str, str]], table: str, findings: Findings
) -> None:
    # Sorted by beginning, a version is compared only with those still open where it begins.
    still_open: list[Version] = []
    for version in sorted(versions, key=lambda version: version.begins):
        still_open = [earlier for earlier in still_open if earlier.ends > version.begins]
        for earlier in still_open:
            if (earlier.band, version.band) in overlapping:
                line = earlier.rows[0].line
                reason = (
                    f"{_named(prefix)} has the band {earlier.band} in line {line} and the band {version.band} here: "
                    "they overlap while both are valid; end one or change the bands"
                )
                findings.add(_error(version.rows[0], table, reason))
        still_open.append(version)


def _windows(prefix: str, versions: Sequence[Version]) -> Iterator[Offer]:
    """Yield what is in force between the instants at which something begins or ends, the latest first."""
    if len(versions) == 1:
        yield Offer(prefix, versions[0].begins, versions[0].ends, (versions[0],))
        return
    edges = sorted({edge for version in versions for edge in (version.begins, version.ends)})
    made: list[Offer] = []
    for begins, ends in pairwise(edges):
        valid = _in_force(versions, begins)
        if made and made[-1].ends == begins and made[-1].versions == valid:
            made[-1] = made[-1]._replace(ends=ends)
        elif valid:
            made.append(Offer(prefix, begins, ends, valid))
    yield from reversed(made)


def _in_force(versions: Iterable[Version], at: Instant) -> tuple[Version, ...]:
    """Return the latest version valid at an instant of each band, by band."""
    latest: dict[str, Version] = {}
    for version in versions:
        if version.begins <= at < version.ends:
            known = latest.get(version.band)
            if known is None or version.begins > known.begins:
                latest[version.band] = version
    return tuple(latest[band] for band in sorted(latest))


def is_plain(terms: Terms) -> bool:
    """Tell whether a row for calls is a rate alone: of no band, no rate type, no later step and no later tier."""
    return not (terms.time_band or terms.rate_type or terms.step_from_second or terms.tier_from)


def plain_windows(rows: Iterable[RateRow]) -> list[tuple[Instant, Instant]] | None:
    """Return when each of some plain rows applies, ordered by prefix and then latest first.

    None where one of them applies in two stretches, because a later one ends within it, or where two begin at once.
    """
    found = []
    prefix, later_begins, later_ends = "", 0, 0
    for row in rows:
        begins, ends = row.terms.effective_from, row.terms.effective_to
        if row.prefix == prefix and ends > later_begins:
            if later_ends < ends or begins == later_begins:
                return None
            found.append((begins, later_begins))
        else:
            found.append((begins, ends))
        prefix, later_begins, later_ends = row.prefix, begins, ends
    return found
