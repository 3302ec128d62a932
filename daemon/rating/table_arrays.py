"""A rate table as arrays: the same segments, windows, bands and rows that one call is looked up in, for many at once.

Views lie on the table's own arrays; only what a mark-up changes is copied. An array of the answers has one place for
each call. A column that holds one value for every row is that int, which numpy spreads for nothing.
A pick is the row of an offer, or below 0 the place of its choice by band: -1 the first, NO_PICK none.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from daemon.kernel.instant import SECOND
from daemon.rating.formula import InForce, Ints
from daemon.rating.offers import Offers
from daemon.rating.prefix_index import NO_OFFER
from daemon.rating.rate_plan import MarkedTable
from daemon.rating.rate_table import RateTable
from daemon.rating.rate_type import BARE, RateType
from daemon.rating.tariff import FOREVER, NO_RATES
from daemon.rating.time_band import NO_BAND, PAGE, Calendar

Array: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Fits: TypeAlias = Callable[[Array, Array], Mask]

MALFORMED: Final = -1  # the place on the number line of what is no number
NO_PICK: Final = -(1 << 40)


def places_of(mask: Mask) -> "slice | Array | None":
    """Return where a mask holds: a slice where it does throughout, so that nothing is copied, None where nowhere."""
    found = np.flatnonzero(mask)
    return None if len(found) == 0 else slice(None) if len(found) == len(mask) else found


def _column(values: Sequence[int]) -> "Array | int":
    return values[0] if len(set(values)) == 1 else np.array(values, np.int64)


def value_of(column: "Array | int", places: Array) -> Ints:
    return column if isinstance(column, int) else column[places]


class TableArrays:
    """One table as a plan sells it."""

    def __init__(self, marked: MarkedTable) -> None:
        """Take the arrays; a table of a million rows is taken in some 50 milliseconds."""
        table = marked.table
        self.table = table
        self.rows = _Rows(marked)
        self._choices = _Choices(table)
        self._offers: dict[str, _OfferArrays] = {}
        offset = 0
        for kind, offers in table.kinds.items():
            self._offers[kind] = _OfferArrays(offers, offset)
            offset += len(offers.choices)

    def picks(self, positions: Array, starts: Array, word: str) -> tuple[Array, Array]:
        """Return the pick of the longest prefix in force of each number, and the prefix's length, -1 for none."""
        kind = self.table.policy.rate_type(word)
        picks, lengths = np.full(len(positions), NO_PICK, np.int64), np.full(len(positions), -1, np.int64)
        if kind is not None and kind.is_calls:
            fits = None if kind.id in BARE else partial(self._fits, self.rows.is_of(kind))
            picks, lengths = self._offers[""].picks(np.where(positions > 0, positions, MALFORMED), starts, fits)
        others = self._offers.get(kind.id) if kind is not None and kind.id else None
        if others is not None:
            more, more_lengths = others.picks(positions, starts, None)
            lengths = np.where(picks == NO_PICK, more_lengths, lengths)
            picks = np.where(picks == NO_PICK, more, picks)
        return picks, lengths

    def _fits(self, is_of: Mask, picks: Array, starts: Array) -> Mask:
        """Tell whether the row in force at each start is of the rate type of which ``is_of`` tells for all terms."""
        heads = self.heads(picks, starts)
        fits: Mask = (heads != NO_RATES) & is_of[self.rows.terms(np.maximum(heads, 0))]
        return fits

    def heads(self, picks: Array, starts: Array) -> Array:
        """Return the row in force at answer of each pick, NO_RATES where its prefix has none for that time."""
        banded = places_of((picks < 0) & (picks != NO_PICK))
        heads = np.where(picks == NO_PICK, NO_RATES, picks)
        if banded is not None:
            heads[banded] = self._choices.heads(picks[banded], starts[banded])
        return heads

    def has_tiers(self, picks: Array, heads: Array) -> Mask:
        """Tell which prices depend on a period's volume: the row in force, or one that the call may come into."""
        if not len(self.rows.by_volume):
            return np.zeros(len(picks), np.bool_)
        banded = self._choices.has_tiers[np.where((picks < 0) & (picks != NO_PICK), -1 - picks, -1)]
        tiered: Mask = np.isin(heads, self.rows.by_volume) | banded
        return tiered

    def splits(self, word: str) -> bool:
        """Tell whether usage of a rate type is split by bands."""
        return self.table.policy.split_bands and self.table.counts_seconds(word)

    def changing(self, picks: Array, heads: Array, *, split: bool) -> Mask:
        """Tell whose rate may change in a call: by step, or by band where calls are split."""
        changing: Mask = self.rows.has_steps[np.maximum(heads, 0)] & (heads != NO_RATES)
        if split:
            changing |= (picks < 0) & (picks != NO_PICK) & (heads != NO_RATES)
        return changing

    def schedule(self, picks: Array, heads: Array, starts: Array, *, split: bool) -> "Changing":
        """Return what is in force where in calls that ``changing`` told of."""
        return Changing(self.rows, self._choices, picks if split else heads, heads, starts)


class _OfferArrays:
    """The offers of one kind of usage."""

    def __init__(self, offers: Offers, offset: int) -> None:
        self._starts = np.frombuffer(offers.index.segment_starts, np.int64)
        self._offers = np.frombuffer(offers.index.segment_offers, np.int32)
        self._next = _small(offers.index.next_offers)
        self._window_of = _small(offers.window_of)
        self._begins = np.array([begins for begins, _ in offers.windows], np.int64)
        self._ends = np.array([ends for _, ends in offers.windows], np.int64)
        self._lengths = np.append(np.array(offers.lengths, np.int64), -1)  # the last is that of NO_OFFER
        picks = np.array(offers.picks, np.int64)
        self._picks = np.append(np.where(picks < 0, picks - offset, picks), NO_PICK)

    def picks(self, positions: Array, starts: Array, fits: "Fits | None") -> tuple[Array, Array]:
        """Return picks and lengths; ``fits`` says which picks are taken at all."""
        found = self._first(positions)
        left = np.flatnonzero(found != NO_OFFER)
        while len(left):
            valid = self._is_valid(found[left], starts[left])
            left = left[~(valid if fits is None else valid & fits(self._picks[found[left]], starts[left]))]
            found[left] = self._next[found[left]]
            left = left[found[left] != NO_OFFER]
        return self._picks[found], self._lengths[found]

    def _first(self, positions: Array) -> Array:
        # In the order of the line, neighbours find each other's segments in the cache.
        order = np.argsort(positions)
        ordered = positions[order]
        places = np.searchsorted(self._starts, ordered, side="right") - 1
        found = np.empty(len(positions), np.int64)
        found[order] = np.where(ordered == MALFORMED, NO_OFFER, self._offers[np.maximum(places, 0)])
        return found

    def _is_valid(self, offers: Array, starts: Array) -> Mask:
        if len(self._begins) == 1:
            valid: Mask = (self._begins[0] <= starts) & (starts < self._ends[0])
            return valid
        windows = self._window_of[offers]
        return (self._begins[windows] <= starts) & (starts < self._ends[windows])


def _small(values: Any) -> "npt.NDArray[np.int32]":
    return np.frombuffer(values, np.int32) if len(values) else np.zeros(0, np.int32)


class _Rows:
    """The rows and their terms, marked up."""

    def __init__(self, marked: MarkedTable) -> None:
        heads, markups = marked.table.heads, marked.markups
        terms = heads.all_terms
        kinds = [marked.table.policy.rate_type(each.rate_type) for each in terms]
        self._kinds = kinds
        self.rates = _marked_up(np.array(heads.rates, np.int64), marked)
        self._terms_of = _small(heads.terms_places)
        fees, minimums = [each.connect_fee for each in terms], [each.minimum_charge for each in terms]
        for markup in markups:
            fees, minimums = [markup.amount(fee) for fee in fees], [markup.amount(least) for least in minimums]
        self.fee, self.minimum = _column(fees or [0]), _column(minimums or [0])
        self.first = _column([each.first_seconds for each in terms] or [1])
        self.following = _column([each.next_seconds for each in terms] or [1])
        self.free = _column([each.free_seconds for each in terms] or [0])
        self.included = _column([each.included_seconds for each in terms] or [0])
        self.blocked = _column([int(each.blocked) for each in terms] or [0])
        self.per = _column([kind.per if kind is not None else 60 for kind in kinds] or [60])
        self.block_max = max((max(each.first_seconds, each.next_seconds) for each in terms), default=1)
        self.fixed_max = max((max(fee, least) for fee, least in zip(fees, minimums, strict=True)), default=0)
        self.per_max = max((kind.per for kind in kinds if kind is not None), default=60)
        self._take_steps(marked)
        self.by_volume = np.array([head for ladder in heads.ladders.values() for _, head in ladder], np.int64)

    def _take_steps(self, marked: MarkedTable) -> None:
        heads = marked.table.heads
        count = max(len(heads.rates), 1)
        self.has_steps = np.zeros(count, np.bool_)
        self._first_step, self._end_step = np.zeros(count, np.int64), np.zeros(count, np.int64)
        for head, (first, end) in heads.steps_of.items():
            self.has_steps[head], self._first_step[head], self._end_step[head] = True, first, end
        self._step_from = np.append(np.array(heads.step_from, np.int64), FOREVER)
        self._step_next = np.array(heads.step_next, np.int64)
        self._step_rates = _marked_up(np.array(heads.step_rate, np.int64), marked)
        self._steps_max = max((end - first for first, end in heads.steps_of.values()), default=1)
        rates = [*(self.rates.max(initial=0),), self._step_rates.max(initial=0)]
        self.rate_max = max(map(int, rates))
        self.block_max = max(self.block_max, int(self._step_next.max(initial=1)))

    def terms(self, heads: Array) -> Array:
        """Return the place of the terms of each row."""
        found: Array = self._terms_of[heads]  # type: ignore[assignment]
        return found

    def is_of(self, kind: RateType) -> Mask:
        """Return for each of the terms whether it is of a rate type."""
        return np.array([each == kind for each in self._kinds], np.bool_)

    def in_force(self, heads: Array, positions: Array) -> tuple[Array, Array, Array]:
        """Return rate, length of a further block and the position until which they hold, by the steps of each row."""
        rates = self.rates[heads]
        following = value_of(self.following, self.terms(heads)) + 0 * rates
        limits = np.full(len(heads), FOREVER, np.int64)
        first, end = self._first_step[heads], self._end_step[heads]
        for number in range(self._steps_max if self.has_steps.any() else 0):
            step = first + number
            known = np.flatnonzero(step < end)
            here = known[self._step_from[step[known]] <= positions[known]]
            rates[here], following[here] = self._step_rates[step[here]], self._step_next[step[here]]
            later = step[here] + 1
            limits[here] = np.where(later < end[here], self._step_from[later], FOREVER)
        return rates, following, limits


def _marked_up(rates: Array, marked: MarkedTable) -> Array:
    """Return rates with the mark-ups, each distinct one computed once, in whole numbers of any size."""
    if not marked.markups:
        return rates
    distinct, places = np.unique(rates, return_inverse=True)
    made = []
    for rate in distinct.tolist():
        sold = rate
        for markup in marked.markups:
            sold = markup.rate(sold)
        made.append(sold)
    return np.array(made, np.int64)[places]


class _Choices:
    """The rows of each choice by band, beside the calendar that tells the band."""

    def __init__(self, table: RateTable) -> None:
        choices = [choice for offers in table.kinds.values() for choice in offers.choices]
        widest = max((len(choice.bands) for choice in choices), default=0)
        self._heads = np.full((len(choices) + 1, widest + 1), NO_RATES, np.int64)  # the last place: all other time
        groups = {bands: place for place, bands in enumerate(dict.fromkeys(choice.bands for choice in choices))}
        self._calendars = [_Line(table.calendar(bands)) for bands in groups]
        self._calendar_of = np.array([groups[choice.bands] for choice in choices] or [0], np.int64)
        for place, choice in enumerate(choices):
            self._heads[place, : len(choice.heads)] = choice.heads
            self._heads[place, NO_BAND] = choice.other
        tiered = {head for ladder in table.heads.ladders.values() for _, head in ladder}
        some = [not tiered.isdisjoint((*choice.heads, choice.other)) for choice in choices]
        self.has_tiers = np.array([*some, False], np.bool_)  # the last: of what is no choice

    def heads(self, picks: Array, instants: Array) -> Array:
        """Return the row of each choice at an instant, NO_RATES where it has none."""
        return self.heads_until(picks, instants)[0]

    def heads_until(self, picks: Array, instants: Array) -> tuple[Array, Array]:
        """Return the row of each choice at an instant, and the instant until which that is surely so."""
        choices = -1 - picks
        bands, until = np.empty(len(picks), np.int64), np.empty(len(picks), np.int64)
        calendars = self._calendar_of[choices]
        for place, line in enumerate(self._calendars):
            mine = places_of(calendars == place)
            if mine is not None:
                bands[mine], until[mine] = line.bands_until(instants[mine])
        return self._heads[choices, bands], until


class _Line:
    """The edges of one calendar, those pages alone that instants lie in."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._pages: tuple[int, ...] = ()
        self._instants = self._active = np.zeros(0, np.int64)

    def bands_until(self, instants: Array) -> tuple[Array, Array]:
        """Return the band that holds each instant, and the next edge behind it."""
        self._lay_out(tuple(np.unique(instants // PAGE).tolist()))
        places = np.searchsorted(self._instants, instants, side="right")
        return self._active[places - 1], self._instants[places]

    def _lay_out(self, pages: tuple[int, ...]) -> None:
        if pages == self._pages:
            return
        self._pages = pages
        instants: list[int] = []
        active: list[int] = []
        for page in pages:
            edges = self._calendar.page(page)
            instants += [
                *edges.instants,
                (page + 1) * PAGE,
            ]  # where the next page is not laid out, it is looked up then
            active += [*edges.active, NO_BAND]
        self._instants, self._active = np.array(instants, np.int64), np.array(active, np.int64)


class Changing:
    """What is in force where in calls whose rate changes; ``rates`` of the formula are rows here."""

    def __init__(self, rows: _Rows, choices: _Choices, picks: Array, heads: Array, starts: Array) -> None:
        """Take the picks, which say where bands split, the rows at answer, and the answers in microseconds."""
        self._rows = rows
        self._choices = choices
        self._picks = picks
        self._heads = heads
        self._starts = starts
        self._split = places_of(picks < 0)

    def at(self, positions: Array, rates: "Array | int") -> InForce:
        """Return what is in force at a position; in a gap the rows that priced the last block."""
        heads = (self._heads if isinstance(rates, int) else rates).copy()
        span_ends = np.full(len(heads), FOREVER, np.int64)
        if self._split is not None:
            instants = self._starts[self._split] + positions[self._split] * SECOND
            found, until = self._choices.heads_until(self._picks[self._split], instants)
            heads[self._split] = np.where(found == NO_RATES, heads[self._split], found)
            span_ends[self._split] = -((self._starts[self._split] - until) // SECOND)
        rate, following, step_ends = self._rows.in_force(heads, positions)
        return InForce(rate, following, np.minimum(span_ends, step_ends), heads)
