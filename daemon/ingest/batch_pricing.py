"""Rows of usage become prices: as one call each by the plan, in arrays wherever a row's price hangs on nothing else.

Rows that share what they say beside their number are priced together. An account with prices or a class of its own,
a table with tiers, and calls to the tenant's own numbers are asked row by row in the order of the file. Volumes begin
at 0 with the file: bundles and what the ledger has counted take no part. A row that cannot be understood is invalid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from daemon.ingest.batch_cells import UNITS_MAX, Cells, Octets, durations_of, instants_of
from daemon.ingest.batch_csv import Chunk
from daemon.ingest.batch_rules import AccountRule, BatchRules, currencies_of
from daemon.kernel.e164 import line_position
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO, NANO_MAX, divide
from daemon.rating.batch import (
    BLOCKED,
    INVALID,
    NO_TABLE,
    NUMBER_WIDTH,
    RATED,
    SECONDS_MAX,
    UNRATED,
    BatchPricer,
    Calls,
    line_positions,
)
from daemon.rating.bundle import period_number
from daemon.rating.charge import charge
from daemon.rating.exchange import Exchange
from daemon.rating.rate_table import HORIZON_SECONDS, RateTable, Usage
from daemon.rating.rate_type import BARE, BUILT_IN, RateType
from daemon.rating.table_arrays import MALFORMED, Array
from daemon.rating.tariff import NO_RATES, Gap, Tariff

REASONS: Final = {UNRATED: "destination_unrated", BLOCKED: "destination_blocked", INVALID: "destination_malformed"}
WORD_LENGTH_MAX: Final = 64  # octets of a rate type, an override value or an account; none is nearly as long
KINDS_KEPT_MAX: Final = 256  # rate types whose meaning is kept; a plan knows a dozen
_NANOSECONDS: Final = 1_000_000_000
_NOTHING: Final = 0  # the place of the empty name
_WORDS: Final = ("rate_type", "override", "account")

Words = tuple[bytes, bytes, bytes]  # rate type, override value, account of a row
VolumeKey = tuple[str, str, int]  # account, table, period


class PricedRows(NamedTuple):
    """A price for each row, or why it has none.

    ``numbers`` are digits, the first ``lengths`` of them the prefix; ``destinations`` and ``currencies`` are places
    among ``names``, 0 for the empty one; ``rates`` and ``charges`` are nano-units; ``reasons`` are those of invalid
    rows that have another fault than their number.
    """

    statuses: Array
    numbers: Octets
    lengths: Array
    destinations: Array
    currencies: Array
    billed: Array
    rates: Array
    charges: Array
    reasons: dict[int, str]
    names: Sequence[str]

    def reason(self, row: int) -> str:
        """Return why a row has no price, empty where it has one."""
        return self.reasons.get(row) or REASONS.get(int(self.statuses[row]), "")

    def prefixes(self) -> list[bytes]:
        """Return the prefix of each row, empty where none is known."""
        cells = np.where(np.arange(NUMBER_WIDTH) < self.lengths[:, None], self.numbers, 0)
        texts: list[bytes] = np.ascontiguousarray(cells, np.uint8).view(f"S{NUMBER_WIDTH}").ravel().tolist()
        return texts


@dataclass
class _Group:
    """Rows that are priced alike: by the same tables and rate type, in the same currency."""

    usage: Usage
    singly: bool  # each by itself, in the order of the file
    exchange: Exchange | None = None
    rows: list[Array] = field(default_factory=list)


class _Parsed(NamedTuple):
    """``codes`` are places among ``words``: what each row says beside its number."""

    calls: Calls
    numbers: Octets
    codes: Array
    words: Sequence[Words]

    def said(self, row: int) -> Words:
        return self.words[int(self.codes[row])]


class FilePricer:
    """Prices the chunks of one file in their order; ``volumes`` are the units that tiers were chosen by so far."""

    def __init__(self, rules: BatchRules, volumes: "dict[VolumeKey, int] | None" = None) -> None:
        """Take the plan, the accounts that rows may name, and where an earlier run of the same file had come."""
        self.volumes: dict[VolumeKey, int] = {} if volumes is None else volumes
        plan, self._accounts, own = rules
        self._plan = plan
        self._own_numbers = own if plan.on_net else frozenset()
        self._own_positions = np.array(sorted(map(line_position, self._own_numbers)), np.int64)
        self._pricer = BatchPricer(plan)
        self._currencies = currencies_of(plan)
        self._names: list[str] = [""]
        self._places: dict[str, int] = {"": _NOTHING}
        self._of_table: dict[int, tuple[RateTable, Array]] = {}
        self._kinds: dict[str, list[RateType]] = {}

    def priced(self, chunk: Chunk) -> PricedRows:
        """Return the prices of a chunk."""
        reasons = dict(chunk.faults)
        parsed = self._parsed(chunk, reasons)
        rows = _unpriced(parsed.numbers, reasons, self._names)
        good = parsed.calls.positions != MALFORMED
        rows.statuses[~good] = INVALID
        good[list(reasons)] = False
        singly: list[int] = []
        for group in self._groups(parsed, np.flatnonzero(good), reasons):
            singly += self._price_group(group, parsed, rows)
        for row in sorted(singly):
            self._price_row(row, parsed, rows)
        rows.statuses[list(reasons)] = INVALID
        return rows

    def _parsed(self, chunk: Chunk, reasons: dict[int, str]) -> _Parsed:
        cells = chunk.cells
        starts, start_faults = instants_of(cells["start"])
        seconds, fractions, duration_faults = durations_of(cells["duration_seconds"])
        for name, faults in (("start", start_faults), ("duration_seconds", duration_faults)):
            for row, fault in faults.items():
                reasons.setdefault(row, f"{name}: {fault}")
        numbers = cells["to"].matrix(NUMBER_WIDTH)
        positions = line_positions(numbers.view(f"S{NUMBER_WIDTH}").ravel())
        plus = numbers[:, 0] == ord("+")
        if plus.any():
            numbers[plus, :-1] = numbers[plus, 1:]
            numbers[plus, -1] = 0
        codes, words = _words(cells, chunk.rows, reasons)
        return _Parsed(Calls(positions, starts, seconds, fractions), numbers, codes, words)

    def _groups(self, parsed: _Parsed, good: Array, reasons: dict[int, str]) -> list[_Group]:
        """Return the rows that may be priced, by what they say beside their number; note what nobody knows."""
        groups: dict[object, _Group] = {}
        for code, rows in _by_code(parsed.codes[good], good):
            rate_type, override, account = (word.decode() for word in parsed.words[code])
            fault = self._fault_of(rate_type, account)
            if fault:
                reasons.update(dict.fromkeys(rows.tolist(), fault))
                continue
            usage = Usage(override, rate_type)
            tables = self._plan.taking_part(usage.override_value)
            singly = self._needs_row(account) or any(table.heads.ladders for table, _ in tables)
            exchange = self._exchange_of(account)
            key = (rate_type, singly, tuple(map(id, tables)), exchange)
            groups.setdefault(key, _Group(usage, singly, exchange)).rows.append(rows)
        return list(groups.values())

    def _fault_of(self, rate_type: str, account: str) -> str:
        """Return why usage of a kind cannot be priced, empty where it can."""
        if not self._kinds_of(rate_type):
            return f"rate_type: {rate_type!r} is declared by no table of the plan"
        if account and account not in self._accounts:
            return f"account: there is no account {account!r}"
        return ""

    def _kinds_of(self, rate_type: str) -> list[RateType]:
        found = self._kinds.get(rate_type)
        if found is None:
            tables = (*self._plan.on_net, *(marked.table for marked in self._plan.marked_tables))
            declared = (table.policy.rate_type(rate_type) for table in tables)
            found = list({kind for kind in (BUILT_IN.get(rate_type), *declared) if kind is not None})
            if len(self._kinds) >= KINDS_KEPT_MAX:
                self._kinds.clear()
            self._kinds[rate_type] = found
        return found

    def _exchange_of(self, account: str) -> Exchange | None:
        """Return the rates into an account's currency, None where the whole plan is priced in it."""
        exchange = self._accounts[account].exchange if account else None
        return None if exchange is None or self._currencies == {exchange.target} else exchange

    def _needs_row(self, account: str) -> bool:
        return bool(account) and self._accounts[account].rates is not None

    def _price_group(self, group: _Group, parsed: _Parsed, rows: PricedRows) -> list[int]:
        """Price a group's rows in arrays; return those that are to be priced one by one."""
        places = np.concatenate(group.rows)
        calls = parsed.calls
        if group.usage.rate_type in BARE:
            empty = calls.positions[places] == 0
            rows.statuses[places[empty]] = INVALID
            places = places[~empty]
        is_call = any(kind.is_calls for kind in self._kinds_of(group.usage.rate_type))
        limit = SECONDS_MAX if is_call else UNITS_MAX
        seconds, fractions = calls.seconds[places], calls.fractions[places]
        long = (seconds > limit) | ((seconds == limit) & (fractions > 0))
        fault = f"duration_seconds: is above the limit of {limit}"
        rows.reasons.update(dict.fromkeys(places[long].tolist(), fault))
        places, seconds = places[~long], seconds[~long]
        if group.singly:
            return list(places.tolist())
        arrays = (seconds < SECONDS_MAX) & ~np.isin(calls.positions[places], self._own_positions)
        return [*places[~arrays].tolist(), *self._price_arrays(group, places[arrays], calls, rows)]

    def _price_arrays(self, group: _Group, places: Array, calls: Calls, rows: PricedRows) -> list[int]:
        prices, exchange = self._pricer.price(group.usage, calls.taken(places), group.exchange), group.exchange
        rows.statuses[places] = prices.statuses
        rows.rates[places], rows.billed[places], rows.charges[places] = prices.rates, prices.billed, prices.charges
        rows.lengths[places] = np.maximum(prices.lengths, 0)
        for place, table in enumerate(self._pricer.tables(group.usage)):
            mine = np.flatnonzero((prices.tables == place) & (prices.heads != NO_RATES))
            rows.destinations[places[mine]] = self._destinations(table.table)[prices.heads[mine]]
            currency = table.table.policy.currency if exchange is None else exchange.target
            rows.currencies[places[mine]] = self._place(currency)
        # Gaps, whose destination only a look-up tells, and charges that no 64 bits hold, are told by themselves.
        told = ((prices.tables != NO_TABLE) & (prices.heads == NO_RATES)) | (prices.statuses == INVALID)
        return list(places[told].tolist())

    def _price_row(self, row: int, parsed: _Parsed, rows: PricedRows) -> None:
        calls = parsed.calls
        start, seconds = int(calls.starts[row]), int(calls.seconds[row])
        rate_type, override, account = (word.decode() for word in parsed.said(row))
        rule = self._accounts[account] if account else AccountRule()
        number = _digits(parsed.numbers[row])
        meters = self._meters(account, start, rule)
        usage = Usage(
            override, rate_type, number in self._own_numbers,
            volumes={key[1]: self.volumes.get(key, 0) for key in meters},
            horizon_seconds=max(seconds + 1, HORIZON_SECONDS),
        )  # fmt: skip
        found = self._plan.find(number, start, usage, rule.rates)
        rows.statuses[row] = UNRATED
        if found is None:
            return
        rows.lengths[row] = len(found.prefix)
        rows.destinations[row] = self._place(found.destination)
        if isinstance(found, Gap):
            return
        sold = (found,) if rule.exchange is None else rule.exchange.sold(found, start, start)
        if not sold and not found.blocked:
            return
        found = (*sold, found)[0]
        rows.currencies[row] = self._place(found.charged_in)
        exact = seconds * _NANOSECONDS + int(calls.fractions[row])
        self._take_price(row, found, divide(exact, _NANOSECONDS, found.duration_rounding), rows, meters)

    def _take_price(
        self, row: int, tariff: Tariff, seconds: int, rows: PricedRows, meters: Sequence[VolumeKey]
    ) -> None:
        """Price a row by its tariff; ``meters`` are those that its units may count for."""
        if tariff.blocked:
            rows.statuses[row] = BLOCKED
            return
        amount, billed = charge(tariff, seconds)
        if max(amount, billed) > NANO_MAX:
            rows.reasons[row] = f"duration_seconds: the charge is above the limit of {NANO_MAX // NANO} units"
            return
        rows.statuses[row] = RATED
        rows.rates[row], rows.billed[row], rows.charges[row] = tariff.rate, billed, amount
        for key in meters:
            if key[1] == tariff.meter:
                self.volumes[key] = self.volumes.get(key, 0) + billed

    def _meters(self, account: str, start: Instant, rule: AccountRule) -> list[VolumeKey]:
        """Return what counts a row's units, of each table with tiers."""
        return [(account, table, period_number(start, period, rule.zone)) for table, period in self._plan.tiered]

    def _place(self, name: str) -> int:
        place = self._places.setdefault(name, len(self._names))
        if place == len(self._names):
            self._names.append(name)
        return place

    def _destinations(self, table: RateTable) -> Array:
        """Return for each row of a table the place of its destination's name."""
        found = self._of_table.get(id(table))
        if found is None:
            known = np.array([self._place(name) for name in table.heads.all_destinations], np.int64)
            found = table, known[np.frombuffer(table.heads.destination_places, np.int32)]
            self._of_table[id(table)] = found
        return found[1]


def _unpriced(numbers: Octets, reasons: dict[int, str], names: Sequence[str]) -> PricedRows:
    count = len(numbers)
    lengths, destinations, currencies, billed, rates, charges = (np.zeros(count, np.int64) for _ in range(6))
    statuses = np.full(count, UNRATED, np.int64)
    return PricedRows(statuses, numbers, lengths, destinations, currencies, billed, rates, charges, reasons, names)


def _words(cells: Mapping[str, Cells], count: int, reasons: dict[int, str]) -> tuple[Array, list[Words]]:
    """Return what rows say beside their number, each once, and which says what; note what is too long for a word."""
    if not any(name in cells for name in _WORDS):
        return np.zeros(count, np.int64), [(b"", b"", b"")]
    columns = [cells[name].texts() if name in cells else [b""] * count for name in _WORDS]
    for name in _WORDS:
        too_long = np.flatnonzero(cells[name].lengths > WORD_LENGTH_MAX).tolist() if name in cells else ()
        for row in too_long:
            reasons.setdefault(row, f"{name}: the cell has more than {WORD_LENGTH_MAX} octets")
    known: dict[Words, int] = {}
    codes = np.fromiter((known.setdefault(said, len(known)) for said in zip(*columns, strict=True)), np.int64, count)
    return codes, list(known)


def _by_code(codes: Array, rows: Array) -> Iterator[tuple[int, Array]]:
    """Yield each code and its rows, in their order."""
    if not len(codes):
        return
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    for part in np.split(order, edges):
        yield int(codes[part[0]]), rows[part]


def _digits(octets: Octets) -> str:
    return octets.tobytes().rstrip(b"\0").removeprefix(b"+").decode()
