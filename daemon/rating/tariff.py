"""A tariff is the finished price of one number at one instant: a deck row in force and its table's policy.

It is frozen with the call when the call is granted and again at answer, so that the price of a call can be computed
from the call alone, whatever happens to the deck meanwhile (SPEC section 2).
Where a rate has steps, tiers or a split by time bands, ``alternatives`` hold them all by position from answer; the row
in force at answer is the first, and its connect fee, free and included seconds, minimum and first block are the call's.
A tariff that is charged in another currency than its table's carries the rate at which it is, an exact ratio.
"""

from dataclasses import dataclass, fields
from operator import attrgetter
from types import MemberDescriptorType
from typing import Final, NamedTuple

from daemon.kernel.money import Rounding
from daemon.rating.conversion import Conversion

SECONDS: Final = "second"  # the unit of calls
FOREVER: Final = 1 << 61  # units; beyond every position, and far enough from 2**63 that sums with it are exact
NO_RATES: Final = -1  # a span in which no rows are in force


class Step(NamedTuple):
    """From this second on, a block that begins is ``next_seconds`` long and has this rate."""

    from_second: int
    rate: int
    next_seconds: int


class Tier(NamedTuple):
    """From this unit of the call on, counted from where billing starts, these steps."""

    from_unit: int
    steps: tuple[Step, ...]


class Rates(NamedTuple):
    """The rows of one time band (empty: all other time), by tier and step."""

    band: str
    tiers: tuple[Tier, ...]


class Span(NamedTuple):
    """From this second on, the rates of this place among the alternatives, or NO_RATES."""

    from_second: int
    rates: int


class Charge(NamedTuple):
    """What a call costs, in nano-units, and the seconds of the blocks it pays for: one function returns both."""

    amount: int
    billed_seconds: int


class Plain:
    """What ``charge`` needs of tariffs of one rate that are rounded up in their own currency: one for all alike.

    ``block`` is the charge of a call without units that is longer than ``after`` seconds and ends by ``until``: of the
    first block. ``minute`` is that of 60 seconds, which orders carriers. ``lately`` are the seconds of a call without
    units that was charged last, and its charge: a decision asks for its whole length again and again, and so does the
    next one.
    """

    __slots__ = ("after", "block", "lately", "minute", "terms", "until")

    def __init__(self, after: int, until: int, block: Charge, minute: int, terms: "PlainTerms") -> None:
        """Take what was worked out."""
        self.after, self.until, self.block, self.minute, self.terms = after, until, block, minute, terms
        self.lately: tuple[int, Charge] = 0, Charge(0, 0)  # one value, so that another thread sees both or neither


class PlainTerms(NamedTuple):
    """Lengths as those of a tariff. ``fee`` and ``least`` are what is added and the least, counted as the exact price
    is, with what rounds it up; ``divisor`` of those make one ``step`` of nano-units.
    """

    free: int
    included: int
    first: int
    following: int
    rate: int
    fee: int
    least: int
    divisor: int
    step: int


class _WorkedOut:
    """Where ``charge`` notes what it works out of a tariff once: no field, so neither compared, copied nor stored."""

    __slots__ = ("plain",)
    plain: "Plain | None"


@dataclass(frozen=True, slots=True)
class Tariff(_WorkedOut):
    """Amounts in nano-units, lengths in whole units (seconds of a call) from answer; ``rate`` is for ``per`` units.

    ``alternatives`` and ``spans`` are empty where one rate and one increment hold to the end of the call. A tariff
    that depends on a period's volume names the meter that counts it, and ``volume`` is what it was chosen by. All
    prices are in ``currency``; the charge, with its ``decimals``, is in ``charged_in``, and so are ``surcharge``, for a
    call that costs money, and ``surcharge_rate``, for ``per`` units: what one over a channel limit pays beside.
    """

    table: str
    deck_version: int
    prefix: str
    destination: str
    currency: str
    rate: int
    connect_fee: int = 0
    first_seconds: int = 1
    next_seconds: int = 1
    free_seconds: int = 0
    included_seconds: int = 0
    minimum_charge: int = 0
    decimals: int = 4
    rounding: Rounding = Rounding.UP
    duration_rounding: Rounding = Rounding.UP
    blocked: bool = False
    rate_type: str = ""
    tax_code: str = ""
    ledger_code: str = ""
    unit: str = SECONDS
    per: int = 60
    band: str = ""
    tier: int = 0
    meter: str = ""
    volume: int = 0
    alternatives: tuple[Rates, ...] = ()
    spans: tuple[Span, ...] = ()
    conversion: Conversion | None = None
    surcharge: int = 0
    surcharge_rate: int = 0

    @property
    def charged_in(self) -> str:
        """The currency of the charge."""
        return self.currency if self.conversion is None else self.conversion.target

    def changed(self, **changes: object) -> "Tariff":
        """Return the tariff with other values: ``dataclasses.replace`` in a fifth of its time, for every call."""
        made = object.__new__(Tariff)
        for place, value in zip(_PLACES, _values(self), strict=True):
            place.__set__(made, value)
        for name, value in changes.items():
            _PLACE_OF[name].__set__(made, value)
        return made


_NAMES = tuple(each.name for each in fields(Tariff))
_PLACE_OF: dict[str, MemberDescriptorType] = {name: Tariff.__dict__[name] for name in _NAMES}  # the slots
_PLACES = tuple(_PLACE_OF.values())
_values = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True)
class Gap:
    """A number whose longest prefix has rows, but none for this time: it is unrated, whatever a shorter one says."""

    table: str
    prefix: str
    destination: str
