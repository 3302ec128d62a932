"""What an operator states of warnings before a call ends, as the core knows it: when, and who hears them."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Hears(Enum):
    """Who hears a warning."""

    CALLER = "caller"
    CALLEE = "callee"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class WarningTerms:
    """``low_seconds`` before the money ends, or when less than ``low_nano`` of it is left; ``cutoff_seconds`` before
    the call is ended, whatever ends it. 0: no such warning; ``low_nano`` is nano-units of the account's currency.
    """

    low_seconds: int = 0
    low_nano: int = 0
    cutoff_seconds: int = 0
    hears: Hears = Hears.CALLER

    @property
    def is_any(self) -> bool:
        """Tell whether there is anything to warn of."""
        return bool(self.low_seconds or self.low_nano or self.cutoff_seconds)


NO_WARNING = WarningTerms()


class Warnings(NamedTuple):
    """When a call is to be warned, in seconds from its answer, at least 1; 0 for never."""

    low: int = 0
    cutoff: int = 0


NEVER_WARNED = Warnings()
