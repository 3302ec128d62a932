"""What an operator states of a fraud rule, as the core knows it; what it counts is a window of the account's standing.

``short_calls`` counts answered calls shorter than some seconds; ``group_rate`` counts calls to a group of numbers, and
what they cost. A limit of None is none. Others make the calls that come in: a rule counts outbound calls, unless it
says otherwise.
"""

from dataclasses import dataclass
from enum import Enum

from daemon.kernel.ids import Direction


class FraudKind(Enum):
    """What a rule counts."""

    SHORT_CALLS = "short_calls"
    GROUP_RATE = "group_rate"


class FraudAct(Enum):
    """What a rule does when more is counted than it allows."""

    WARN = "warn"
    THROTTLE = "throttle"
    SUSPEND = "suspend"


class FraudDirection(Enum):
    """Which calls a rule counts and refuses: those that the account makes, those that it is called by, or both."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    ANY = "any"

    def takes(self, direction: Direction) -> bool:
        """Tell whether calls of a direction are among them."""
        return self is FraudDirection.ANY or self.value == direction.value


@dataclass(frozen=True, slots=True)
class FraudRule:
    """``calls`` within ``minutes``, or ``spend`` nano-units (more than 0), are allowed; short is less than ``seconds``.

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
    direction: FraudDirection = FraudDirection.OUTBOUND

    def watches(self, number: str, direction: Direction) -> bool:
        """Tell whether a call to a number counts from its question on."""
        if self.kind is not FraudKind.GROUP_RATE or not self.direction.takes(direction):
            return False
        return any(number[:length] in self.prefixes for length in range(len(number) + 1))

    def is_short(self, duration_us: int, direction: Direction) -> bool:
        """Tell whether an answered call of so many microseconds counts at its end."""
        if self.kind is not FraudKind.SHORT_CALLS or not self.direction.takes(direction):
            return False
        return duration_us < self.seconds * 1_000_000
