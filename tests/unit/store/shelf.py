"""A deck's versions kept in lists, as the store keeps them in tables: rows are only added, ends are only set."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, SECOND, Instant, format_rfc3339
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.rate_type import RateType
from daemon.rating.tariff import Tariff
from daemon.rating.time_band import TimeBand, parse_intervals
from daemon.store.deck_import import DeckChange, DeckPlan, planned
from daemon.store.deck_rollback import DatedRow, rolled_back
from daemon.store.deck_versions import StoredRow
from tests.decks import read_deck

NOW: Instant = 1_790_000_000 * SECOND  # a Monday, 13:33:20 UTC: within the band peak
KEY = Key("main", "retail")
PEAK = TimeBand("peak", parse_intervals("mon-fri 08:00-20:00"))
WEEKEND = TimeBand("weekend", parse_intervals("sat-sun 00:00-24:00"))
DAYTIME = TimeBand("daytime", parse_intervals("mon-fri 09:00-17:00"))
POLICY = Policy(
    "retail", 1, "USD", bands=(PEAK, WEEKEND, DAYTIME), tiers="graduated",
    rate_types={"kwh": RateType("kwh", "kWh", 1)},
)  # fmt: skip
NIGHT: Instant = NOW + DAY // 2  # 01:33:20 of the next day: within no band


def at(offset: int) -> str:
    return format_rfc3339(NOW + offset)


def deck(text: str) -> list[RateRow]:
    """Return the rows of a deck whose lines may be indented and whose later cells may be left out."""
    lines = [line.strip() for line in text.strip().splitlines()]
    width = lines[0].count(",")
    rows, errors = read_deck("\n".join(line + "," * (width - line.count(",")) for line in lines), "deck.csv")
    assert not errors, errors
    return rows


@dataclass
class Shelf:
    """The rows of one table, with the version that added each, and the ends, with the version that set each."""

    rows: list[tuple[int, int, RateRow]] = field(default_factory=list)
    ends: list[tuple[int, int, Instant]] = field(default_factory=list)
    version: int = 0
    policy: Policy = POLICY

    def stored(self) -> list[StoredRow]:
        """Return the rows but the withdrawn, as the store reads them."""
        found = (StoredRow(number, self._ended(number, row, self.version)) for number, _, row in self.rows)
        there = (stored for stored in found if stored.row.terms.effective_to > stored.row.terms.effective_from)
        return sorted(there, key=lambda stored: (stored.row.prefix, stored.number))

    def _ended(self, number: int, row: RateRow, version: int) -> RateRow:
        ends = [at for ended, by, at in self.ends if ended == number and by <= version]
        return row._replace(terms=row.terms._replace(effective_to=min([*ends, row.terms.effective_to])))

    def plan(
        self, rows: Sequence[RateRow], mode: str, now: Instant = NOW, dated: Instant | None = None,
        backdate: bool = False,
    ) -> DeckPlan:  # fmt: skip
        """Return what an import would do."""
        change = DeckChange(mode, dated, "clerk", "deck.csv", backdate)
        return planned(KEY, self.stored(), rows, change, now, is_first=self.version == 0, policy=self.policy)

    def take(self, text: str, mode: str, now: Instant = NOW, dated: Instant | None = None) -> DeckPlan:
        """Import a deck."""
        plan = self.plan(deck(text), mode, now, dated)
        self.write(plan)
        return plan

    def rollback(self, to: int, now: Instant) -> DeckPlan:
        """Go back to a version."""
        dated = [
            DatedRow(
                StoredRow(number, self._ended(number, row, self.version)),
                self._ended(number, row, to).terms.effective_to if by <= to else None,
            )
            for number, by, row in sorted(self.rows, key=lambda found: (found[2].prefix, found[0]))
        ]
        plan = rolled_back(KEY, dated, now, self.policy)
        self.write(plan)
        return plan

    def write(self, plan: DeckPlan) -> None:
        """Make a version of a plan that changes something."""
        if plan.is_change:
            self.version += 1
            first = len(self.rows) + 1
            self.rows += [(first + place, self.version, row) for place, row in enumerate(plan.fresh)]
            self.ends += [(ending.number, self.version, ending.at) for ending in plan.endings]

    def as_of(self, version: int) -> "Shelf":
        """Return the table as it was when a version was the newest."""
        return Shelf(
            [row for row in self.rows if row[1] <= version], [end for end in self.ends if end[1] <= version], version,
            self.policy,
        )  # fmt: skip

    def table(self) -> RateTable:
        """Return the table that a daemon makes of what is there."""
        table, errors = RateTable.of_ordered(self.policy, [row for _, row in self.stored()])
        assert table is not None, errors
        return table

    def price(self, number: str, when: Instant) -> "Tariff | None":
        """Return the tariff in force, whatever deck version it is of."""
        found = self.table().match(number, when)
        return None if found is None else replace(found, deck_version=0)

    def cents(self, number: str, when: Instant) -> int | None:
        """Return the rate in force in cents."""
        found = self.price(number, when)
        return None if found is None else found.rate // 10_000_000
