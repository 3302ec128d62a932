"""One deck version, indexed: the longest prefix valid at an instant, then its band, never the cheapest.

The longest prefix decides even where none of its bands holds the time: such a time is unrated, and no shorter prefix is
asked (SPEC section 2, Time bands). Offers and rows lie in flat arrays, some 50 bytes each; a Tariff is built when asked
for, and kept where it depends on nothing but its row. Usage of another rate type than calls has offers of its own.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby, islice
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from daemon.kernel.e164 import DIGITS_MAX
from daemon.kernel.instant import SECOND, Instant, wall_clock
from daemon.kernel.money import DECIMALS_MAX, NANO, UNITS_MAX, Rounding
from daemon.rating.bundle import PERIODS
from daemon.rating.deck import SECONDS_MAX, UNITS_IN_ROW_MAX, DeckError, Findings, RateRow, Terms
from daemon.rating.offers import Choice, Heads, Offers, Plain, distinct_terms
from daemon.rating.prefix_index import NO_OFFER
from daemon.rating.rate_type import BARE, BUILT_IN, RateType
from daemon.rating.tariff import NO_RATES, Gap, Rates, Span, Tariff, Tier
from daemon.rating.time_band import NO_BAND, Calendar, TimeBand, contradictions
from daemon.rating.versions import VERSIONS_MAX, Offer, is_plain, offers_of, plain_windows

HORIZON_SECONDS: Final = 2 * 86_400  # seconds of a call that a split tariff lays out; a live call has at most half
KEPT_TARIFFS_MAX: Final = 8_192  # tariffs kept by one table; a switch's traffic goes to fewer prefixes in a minute
VOICE: Final = "VOICE"
WHOLE, GRADUATED = "whole", "graduated"
TIER_RULES: Final = ("", GRADUATED, WHOLE)
RATE_MAX: Final = UNITS_MAX * NANO  # nano-units for what the rate type counts
PORTION: Final = 256  # rows looked at together: most of what is done to them is done by loops within the interpreter
_prefix = attrgetter("prefix")  # the order of prefixes as texts is their order on the number line

Found = Tariff | Gap | None


class Changing(Enum):
    """What is said of a number whose rate may change between two instants: ask at each of them."""

    CHANGING = "changing"


CHANGING: Final = Changing.CHANGING


@dataclass(frozen=True, slots=True)
class Policy:
    """What a table says of all its rows; ``override`` is a pattern on a usage record's override value, empty: any.

    ``rate_types`` are the declared ones by the deck's word for each, beside those built in. ``tiers`` is how a
    period's volume chooses among tiers; without it a deck with tiers is refused. ``tier_period`` is that of the volume.
    """

    table: str
    version: int
    currency: str
    decimals: int = 4
    rounding: Rounding = Rounding.UP
    duration_rounding: Rounding = Rounding.UP
    name: str = ""
    override: str = ""
    zone: str = "UTC"
    split_bands: bool = False
    bands: tuple[TimeBand, ...] = ()
    rate_types: Mapping[str, RateType] = field(default_factory=lambda: MappingProxyType({}))
    tiers: str = ""
    tier_period: str = "month"

    def __post_init__(self) -> None:
        """Refuse what no settings file can state."""
        assert 0 <= self.decimals <= DECIMALS_MAX, self.decimals
        assert self.tiers in TIER_RULES, self.tiers
        assert self.tier_period in PERIODS, self.tier_period

    def named(self, table: str) -> "Policy":
        """Return the same policy of a table of another id."""
        return replace(self, table=table)

    def rate_type(self, word: str) -> RateType | None:
        """Return the rate type of a deck's or a record's word, None where nobody declared it."""
        return self.rate_types.get(word) or BUILT_IN.get(word)


class Usage(NamedTuple):
    """What a usage record says beside its number: how it was classified, and what its payer has used before.

    ``volumes`` are units of the period by meter; ``on_net``: the called number is one of the tenant's own. A tariff
    that is split by bands is laid out for ``horizon_seconds`` from answer; its last band stays in force after them.
    """

    override: str = ""
    rate_type: str = ""
    on_net: bool = False
    volumes: Mapping[str, int] = MappingProxyType({})
    horizon_seconds: int = HORIZON_SECONDS

    @property
    def override_value(self) -> str:
        """What override patterns are held against: a call that states nothing is VOICE."""
        return VOICE if not self.override and self.rate_type in BARE else self.override


A_CALL: Final = Usage()


class RateTable:
    """The rows of one version of one deck. Build it by ``from_rows``; it never changes afterwards."""

    __slots__ = ("_bare", "_calendars", "_kept", "_like", "_other", "heads", "offers", "policy")

    def __init__(self, policy: Policy, heads: Heads, offers: Offers, other: Mapping[str, Offers]) -> None:
        """Take what ``from_rows`` made."""
        self.policy = policy
        self.heads = heads
        self.offers = offers  # of calls that have a prefix
        self._other = other  # of each other rate type
        kinds = {word: policy.rate_type(word) for word in BARE}
        self._bare = frozenset(word for word, kind in kinds.items() if kind is not None and kind.id in BARE)
        self._calendars: dict[tuple[str, ...], Calendar] = {}
        self._kept: dict[int, Tariff] = {}  # by row
        self._like: dict[int, Tariff] = {}  # by the place of its terms: one to make others of

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[RateRow],
        *,
        table: str,
        version: int,
        currency: str,
        decimals: int = 4,
        rounding: Rounding = Rounding.UP,
        duration_rounding: Rounding = Rounding.UP,
        name: str = "",
        override: str = "",
    ) -> "tuple[RateTable | None, list[DeckError]]":
        """Return the table of a plain policy, or None and why not."""
        policy = Policy(table, version, currency, decimals, rounding, duration_rounding, name, override)
        return cls.of(policy, rows)

    @classmethod
    def of(cls, policy: Policy, rows: Iterable[RateRow]) -> "tuple[RateTable | None, list[DeckError]]":
        """Return the table, or None and why not: bad values, or rows that contradict each other."""
        findings = Findings(policy.table)
        given = list(rows)
        _Gate(policy, findings).note_faults(given)
        if findings.count:
            return None, findings.report()
        given.sort(key=_prefix)
        return cls._made(policy, given, findings)

    @classmethod
    def of_ordered(cls, policy: Policy, rows: Iterable[RateRow]) -> "tuple[RateTable | None, list[DeckError]]":
        """Return as ``of`` the table of rows that come ordered by prefix; each is looked at once, and none is kept."""
        findings = Findings(policy.table)
        return cls._made(policy, rows, findings)

    @classmethod
    def _made(
        cls, policy: Policy, rows: Iterable[RateRow], findings: Findings
    ) -> "tuple[RateTable | None, list[DeckError]]":
        heads, gate = Heads(), _Gate(policy, findings)
        made = {"": Offers(heads)}
        for rows_together in _portions(rows):
            plain = gate.plain(rows_together)
            if plain is not None:
                made[""].add_plain(plain)
                continue
            for kind, of_prefix in gate.offers(rows_together):
                if kind not in made:
                    made[kind] = Offers(heads)
                made[kind].add(of_prefix)
        if findings.count:
            return None, findings.report()
        heads.close()
        for offers in made.values():
            offers.close()
        return cls(policy, heads, made.pop(""), made), []

    @property
    def id(self) -> str:
        """Return the table's id."""
        return self.policy.table

    @property
    def kinds(self) -> Mapping[str, Offers]:
        """The offers of each kind of usage: those of calls that have a prefix under the empty name."""
        return {"": self.offers, **self._other}

    def __len__(self) -> int:
        """Return the number of rates: versions and their tiers, whatever their steps."""
        return len(self.heads.rates)

    def match(self, number: str, at: Instant, usage: Usage = A_CALL) -> Tariff | None:
        """Return the tariff in force at an instant for the digits of a number (``kernel.e164.digits``), or None."""
        found = self.find(number, at, usage)
        return found if isinstance(found, Tariff) else None

    def find(self, number: str, at: Instant, usage: Usage = A_CALL) -> Found:
        """Return the tariff in force at an instant, a Gap where the longest prefix has none then, None for no rate."""
        kind = self.policy.rate_type(usage.rate_type)
        if kind is None:
            return None
        if kind.is_calls and number:
            for offer in self.offers.find(number, at):
                if kind.id in BARE or self._is_of(offer, at, kind):
                    return self._found(self.offers, offer, number, at, usage)
        others = self._other.get(kind.id)
        offer = next(others.find(number, at), NO_OFFER) if others is not None else NO_OFFER
        return self._found(others, offer, number, at, usage) if others is not None and offer != NO_OFFER else None

    def lasting(self, number: str, start: Instant, end: Instant, usage: Usage) -> Found | Changing:
        """Return what ``find`` says of a call at every instant from ``start`` to ``end``; CHANGING where it may differ.

        It is one look at the index instead of two, for nearly every call. Usage of other kinds is always CHANGING.
        """
        if usage.rate_type not in self._bare or not number:
            return CHANGING
        offers = self.offers
        offer = offers.lasting(number, start, end)
        if offer is None or offer == NO_OFFER:
            return CHANGING if offer is None or self._other else None
        pick = offers.picks[offer]
        if pick < 0:
            return CHANGING
        return self._kept.get(pick) or self._tariff(pick, number[: offers.lengths[offer]], usage)

    def _is_of(self, offer: int, at: Instant, kind: RateType) -> bool:
        """Tell whether the row of an offer that is in force at an instant is of a rate type."""
        pick = self.offers.picks[offer]
        head = pick if pick >= 0 else self._in_force(self.offers.choices[-1 - pick], at)
        return head != NO_RATES and self.policy.rate_type(self.heads.terms(head).rate_type) == kind

    def _in_force(self, choice: Choice, at: Instant) -> int:
        """Return the row of a choice at an instant, NO_RATES where it has none."""
        band = self.calendar(choice.bands).active(at)
        return choice.heads[band] if band != NO_BAND else choice.other

    def _found(self, offers: Offers, offer: int, number: str, at: Instant, usage: Usage) -> Tariff | Gap:
        pick, prefix = offers.picks[offer], number[: offers.lengths[offer]]
        if pick >= 0:
            return self._tariff(pick, prefix, usage)
        choice = offers.choices[-1 - pick]
        head = self._in_force(choice, at)
        if head == NO_RATES:
            return Gap(self.policy.table, prefix, self.heads.destination(choice.heads[0]))
        tariff = self._tariff(head, prefix, usage)
        if not self.policy.split_bands or not self.counts_seconds(usage.rate_type):
            return tariff
        return self._split(tariff, choice, at, usage)

    def counts_seconds(self, word: str) -> bool:
        """Tell whether usage of a rate type is calls: only they last, so that bands can split them."""
        kind = self.policy.rate_type(word)
        return kind is not None and kind.is_calls

    def calendar(self, bands: tuple[str, ...]) -> Calendar:
        """Return the calendar of some of the policy's bands, on the wall clock of its zone."""
        found = self._calendars.get(bands)
        if found is None:
            known = {band.id: band for band in self.policy.bands}
            found = Calendar(wall_clock(self.policy.zone), [known[name] for name in bands])
            self._calendars[bands] = found
        return found

    def _tariff(self, head: int, prefix: str, usage: Usage) -> Tariff:
        kept = self._kept.get(head)
        if kept is None and head in self.heads.ladders:
            volume = usage.volumes.get(self.policy.table, 0)
            return self._built(self._tier(head, volume), prefix, self._tiers(head, volume), volume)
        if kept is None:
            kept = self._plain(head, prefix)
            _keep(self._kept, head, kept)
        return kept

    def _plain(self, head: int, prefix: str) -> Tariff:
        """Return the tariff of a row without tiers; one without steps differs from others of its terms in little."""
        if head in self.heads.steps_of:
            return self._built(head, prefix, (Tier(0, self.heads.steps(head)),), None)
        place = self.heads.terms_places[head]
        like = self._like.get(place)
        if like is None:
            like = self._built(head, prefix, (Tier(0, self.heads.steps(head)),), None)
            _keep(self._like, place, like)
        return like.changed(prefix=prefix, destination=self.heads.destination(head), rate=self.heads.rates[head])

    def _tier(self, head: int, volume: int) -> int:
        """Return the head of the tier that a volume has reached."""
        return max((entry for entry in self.heads.ladders[head] if entry[0] <= volume), default=(0, head))[1]

    def _tiers(self, head: int, volume: int) -> tuple[Tier, ...]:
        """Return the tiers that a call meets, counted from where its billing starts."""
        ladder = self.heads.ladders.get(head, ((0, head),))
        now = Tier(0, self.heads.steps(self._tier(head, volume) if head in self.heads.ladders else head))
        if self.policy.tiers != GRADUATED:
            return (now,)
        later = ((tier_from - volume, tier) for tier_from, tier in ladder if tier_from > volume)
        return (now, *(Tier(units, self.heads.steps(tier)) for units, tier in later))

    def _built(self, head: int, prefix: str, tiers: tuple[Tier, ...], volume: int | None) -> Tariff:
        policy, terms = self.policy, self.heads.terms(head)
        kind = policy.rate_type(terms.rate_type)
        assert kind is not None, terms
        changes = len(tiers) > 1 or len(tiers[0].steps) > 1
        return Tariff(
            table=policy.table, deck_version=policy.version, prefix=prefix, destination=self.heads.destination(head),
            currency=policy.currency, rate=self.heads.rates[head], connect_fee=terms.connect_fee,
            first_seconds=terms.first_seconds, next_seconds=terms.next_seconds, free_seconds=terms.free_seconds,
            included_seconds=terms.included_seconds, minimum_charge=terms.minimum_charge, decimals=policy.decimals,
            rounding=policy.rounding, duration_rounding=policy.duration_rounding, blocked=terms.blocked,
            rate_type=kind.id, tax_code=terms.tax_code, ledger_code=terms.ledger_code, unit=kind.unit, per=kind.per,
            band=terms.time_band, tier=terms.tier_from, meter="" if volume is None else policy.table,
            volume=volume or 0, alternatives=(Rates(terms.time_band, tiers),) if changes else (),
        )  # fmt: skip

    def _split(self, tariff: Tariff, choice: Choice, at: Instant, usage: Usage) -> Tariff:
        """Return a tariff with the bands that a call meets: a block has the price of the instant at which it begins."""
        edges = self.calendar(choice.bands).changes(at, at + usage.horizon_seconds * SECOND)
        if len(edges.instants) == 1:
            return tariff
        heads = [choice.heads[band] if band != NO_BAND else choice.other for band in edges.active]
        places = {head: place for place, head in enumerate(dict.fromkeys(head for head in heads if head != NO_RATES))}
        spans = tuple(
            Span(-((at - instant) // SECOND), places.get(head, NO_RATES))
            for instant, head in zip(edges.instants[1:], heads[1:], strict=True)
        )
        volume = usage.volumes.get(self.policy.table, 0)
        alternatives = tuple(self._alternative(head, volume) for head in places)
        if any(head in self.heads.ladders for head in places):
            tariff = tariff.changed(meter=self.policy.table, volume=volume)
        return tariff.changed(alternatives=alternatives, spans=spans)

    def _alternative(self, head: int, volume: int) -> Rates:
        return Rates(self.heads.terms(head).time_band, self._tiers(head, volume))

    def tariffs(self, number: str, start: Instant, end: Instant, usage: Usage = A_CALL) -> tuple[Tariff, ...]:
        """Return the tariff in force at ``start``, then each different one that comes into force until ``end``.

        ``end`` is included; empty where none is in force at ``start``, whatever comes later.
        """
        lasts = self.lasting(number, start, end, usage)
        if lasts is not CHANGING:
            return (lasts,) if isinstance(lasts, Tariff) else ()
        return successive(lambda at: self.match(number, at, usage), start, self.changes(number, start, end))

    def changes(self, number: str, start: Instant, end: Instant) -> set[Instant]:
        """Return the instants in ``(start, end]`` at which what the number is asked may change.

        Where calls are split, the price changes with the instant at which one begins: ``end`` is one of them.
        """
        offers = self.offers
        found: set[Instant] = set()
        for offer in offers.index.candidates(number) if number else ():
            found.update(offers.windows[offers.window_of[offer]])
            pick = offers.picks[offer]
            if pick < 0:
                edges = self.calendar(offers.choices[-1 - pick].bands).changes(start, end + 1)
                found.update(edges.instants)
                if self.policy.split_bands:
                    found.add(end)
        return {at for at in found if start < at <= end}


def _keep(kept: dict[int, Tariff], place: int, tariff: Tariff) -> None:
    if len(kept) >= KEPT_TARIFFS_MAX:
        kept.clear()
    kept[place] = tariff


def successive(
    match: Callable[[Instant], Tariff | None], start: Instant, changes: Iterable[Instant]
) -> tuple[Tariff, ...]:
    """Return what ``match`` finds at ``start``, then at each change what it had not found before; empty if nothing."""
    first = match(start)
    if first is None:
        return ()
    # A gap between two versions brings no tariff into force: a running call goes on at the one it had.
    later = (tariff for at in sorted(changes) if (tariff := match(at)) is not None)
    return tuple(dict.fromkeys((first, *later)))


def faults_of(policy: Policy, rows: Iterable[RateRow]) -> list[DeckError]:
    """Return why no table can be made of rows that come ordered by prefix, none of them kept; empty: it can be made."""
    findings = Findings(policy.table)
    gate = _Gate(policy, findings)
    for rows_together in _portions(rows):
        if gate.plain(rows_together) is None:
            for _, offers in gate.offers(rows_together):
                deque(offers, maxlen=0)
    return findings.report()


def kind_of(row: RateRow, policy: Policy) -> str:
    """Return what tells the rates of one prefix apart: nothing for calls, else the rate type (undeclared: its word)."""
    kind = policy.rate_type(row.terms.rate_type)
    if kind is None:
        return row.terms.rate_type
    return "" if kind.is_calls and row.prefix else kind.id


def _portions(rows: Iterable[RateRow]) -> Iterator[list[RateRow]]:
    """Yield ordered rows some at a time, those of one prefix together."""
    coming = iter(rows)
    held: list[RateRow] = []
    while more := list(islice(coming, PORTION)):
        held += more
        last = held[-1].prefix
        if held[0].prefix == last:
            continue  # so that a long row of equals is not looked through again and again
        cut = len(held) - 1
        while held[cut - 1].prefix == last:
            cut -= 1
        yield held[:cut]
        held = held[cut:]
    if held:
        yield held


class _Gate:
    """What rows must be before they make a table; what was found of terms is kept, since few serve a whole deck."""

    def __init__(self, policy: Policy, findings: Findings) -> None:
        self._policy = policy
        self._findings = findings
        self._overlapping = contradictions(policy.bands)
        self._known: dict[Terms, str] = {}

    def note_faults(self, rows: Iterable[RateRow]) -> None:
        """Note every row that has a fault in itself."""
        deque(self._sound(rows), maxlen=0)

    def plain(self, rows: list[RateRow]) -> Plain | None:
        """Return ordered rows that are sound rates for calls at all times of day, each in force for one stretch.

        None where they are not so plain, or too many.
        """
        prefixes = [row.prefix for row in rows]
        digits = "".join(prefixes)
        rates = [row.rate for row in rows]
        is_sound = (
            digits.isdigit() and digits.isascii() and all(prefixes) and max(map(len, prefixes)) <= DIGITS_MAX
            and min(rates) >= 0 and max(rates) <= RATE_MAX and len(rows) <= VERSIONS_MAX
            and all(is_plain(terms) and not self._terms_fault(terms) for terms in distinct_terms(rows))
        )  # fmt: skip
        if not is_sound:
            return None
        if len(set(prefixes)) == len(prefixes):
            return Plain(rows, prefixes, ())
        latest_first = sorted(rows, key=lambda row: (row.prefix, -row.terms.effective_from))
        windows = plain_windows(latest_first)
        return None if windows is None else Plain(latest_first, prefixes, windows)

    def offers(self, rows: Iterable[RateRow]) -> Iterator[tuple[str, Iterator[Offer]]]:
        """Yield the offers of ordered rows, those of one prefix and kind together, and note what contradicts."""
        for prefix, members in groupby(self._sound(rows), _prefix):
            kinds: dict[str, list[RateRow]] = {}
            for row in members:
                kinds.setdefault(kind_of(row, self._policy), []).append(row)
            for kind, alike in kinds.items():
                yield kind, offers_of(prefix, alike, self._overlapping, self._policy.table, self._findings)

    def _sound(self, rows: Iterable[RateRow]) -> Iterator[RateRow]:
        """Yield the rows that have no fault in themselves, and note the others."""
        for row in rows:
            fault = _row_fault(row) or self._terms_fault(row.terms)
            if fault:
                self._findings.add(DeckError(row.source or self._policy.table, row.line, "", fault))
            else:
                yield row

    def _terms_fault(self, terms: Terms) -> str:
        found = self._known.get(terms)
        if found is None:
            found = self._known[terms] = _terms_fault(terms, self._policy)
        return found


def _row_fault(row: RateRow) -> str:
    prefix = row.prefix
    if prefix and not (prefix.isdigit() and prefix.isascii() and len(prefix) <= DIGITS_MAX):
        return f"the prefix {prefix!r} is not 1 to {DIGITS_MAX} digits"
    if not prefix and not row.terms.rate_type:
        return "a row without a prefix needs a rate type, or a destination that the table's code list has"
    return "" if 0 <= row.rate <= RATE_MAX else "the rate is negative or too large"


def _terms_fault(terms: Terms, policy: Policy) -> str:
    return _amounts_fault(terms) or _words_fault(terms, policy) or _lengths_fault(terms, policy)


def _amounts_fault(terms: Terms) -> str:
    if not all(0 <= amount <= UNITS_MAX * NANO for amount in (terms.connect_fee, terms.minimum_charge)):
        return "the connect fee or the minimum charge is negative or too large"
    return "" if terms.effective_from < terms.effective_to else "effective_to is not after effective_from"


def _words_fault(terms: Terms, policy: Policy) -> str:
    if terms.time_band and all(band.id != terms.time_band for band in policy.bands):
        known = ", ".join(band.id for band in policy.bands) or "none"
        return f"the time band {terms.time_band!r} is not declared; declared are {known}: add a [[time_band]]"
    if policy.rate_type(terms.rate_type) is None:
        known = ", ".join(word for word in (*BUILT_IN, *policy.rate_types) if word)
        return f"the rate type {terms.rate_type!r} is not declared; known are {known}: add a [[rate_type]] or map it"
    if terms.currency not in ("", policy.currency):
        return f"the row is in {terms.currency}, the table in {policy.currency}; a table has one currency"
    if terms.tier_from and not policy.tiers:
        return 'the table has no rule for tiers; state tiers = "graduated" or "whole" for it'
    return ""


def _lengths_fault(terms: Terms, policy: Policy) -> str:
    kind = policy.rate_type(terms.rate_type)
    most = SECONDS_MAX if kind is not None and kind.is_calls else UNITS_IN_ROW_MAX
    if not all(1 <= length <= most for length in (terms.first_seconds, terms.next_seconds)):
        return f"first_seconds and next_seconds are 1 to {most}"
    if not all(0 <= length <= most for length in (terms.free_seconds, terms.included_seconds, terms.step_from_second)):
        return f"free_seconds, included_seconds and step_from_seconds are 0 to {most}"
    return ""
