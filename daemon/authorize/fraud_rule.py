"""What an operator states of a fraud rule, as the core knows it; what it counts is a window of the account's standing.

``short_calls`` counts answered calls shorter than some seconds; ``group_rate`` counts calls to a group of numbers, and
what they cost. A limit of None is none.
"""

from dataclasses import dataclass
from enum import Enum


class FraudKind(Enum):
    """What a rule counts."""

    SHORT_CALLS = "short_calls"
    GROUP_RATE = "group_rate"


class FraudAct(Enum):
    """What a rule does when more is counted than it allows."""

    WARN = "warn"
    THROTTLE = "throttle"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True)
class FraudRule:
    """``calls`` within ``minutes``, or ``spend`` nano-units, are allowed; short is less than ``seconds``.

    ``prefixes``: of the numbers of its group. ``cuts``: calls that run are ended when the account is suspended.
    """

    id: str
    kind: FraudKind
    act: FraudAct
    minutes: int
    calls: int | None = None
    spend: int | None = None
    seconds: int = 0
    prefixes: frozenset[str] = frozenset()
    cuts: bool = False

    def watches(self, number: str) -> bool:
        """Tell whether a call to a number counts from its question on."""
        if self.kind is not FraudKind.GROUP_RATE:
            return False
        return any(number[:length] in self.prefixes for length in range(len(number) + 1))

    def is_short(self, duration_us: int) -> bool:
        """Tell whether an answered call of so many microseconds counts at its end."""
        return self.kind is FraudKind.SHORT_CALLS and duration_us < self.seconds * 1_000_000
