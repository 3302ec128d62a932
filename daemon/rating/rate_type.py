"""What a rate counts: calls by the second, messages, or any unit; a rate is the price of ``per`` units of it.

A deck's words for its rate types, granular as each supplier writes them, are mapped to grouped ones per table
(Inbound Toll-free Canada and USA to Inbound Toll-free). A rate type that nobody declared is an error, never a guess.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from daemon.rating.tariff import SECONDS

PER_MAX: Final = 1_000_000_000_000  # units that one rate prices; a terabyte by the byte


class RateType(NamedTuple):
    """``rate`` is for ``per`` units; a rate type of calls counts seconds."""

    id: str
    unit: str = SECONDS
    per: int = 60

    @property
    def is_calls(self) -> bool:
        """Tell whether it prices calls by time."""
        return self.unit == SECONDS


CALLS: Final = RateType("")  # an empty cell: a call, by the minute
BUILT_IN: Final[Mapping[str, RateType]] = {
    "": CALLS,
    "per_minute": RateType("per_minute"),
    "per_message": RateType("per_message", "message", 1),
    "per_unit": RateType("per_unit", "unit", 1),
}
BARE: Final = frozenset(("", "per_minute"))  # what a call states that was not classified: every row by time fits it
