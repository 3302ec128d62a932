"""What one account alone is asked: prices of its own, and what its class of service allows and blocks, by prefix.

They compete with the rows of the plan as rows of their own length and win ties. An override changes the rate, all of
its steps and bands, and nothing else of the row that it beats; with no row to beat it is a row of its own, 1/1.
A blocked row blocks only where it is the longest: a longer override or allowed prefix lets the call through, and a
longer blocked prefix of the class stops it (SPEC section 2, Rate plan). A class that blocks every number lets through
only what it allows, however long the row of the plan is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from daemon.kernel.e164 import DIGITS_MAX
from daemon.rating.margin import costs_nothing
from daemon.rating.markup import with_rates
from daemon.rating.rate_table import Found, Policy, Usage
from daemon.rating.rate_type import BARE
from daemon.rating.tariff import SECONDS, Tariff

OVERRIDE: Final = "override"  # the table of a price that beats no row
CLASS: Final = "class_of_service"  # the table of a prefix that a class blocks and no row knows
EVERY: Final = ""  # the prefix of every number
_NOWHERE: Final = -1  # the length of a prefix that does not fit; that of "every number" is 0


@dataclass(frozen=True, slots=True)
class ClassOfService:
    """Prefixes; the empty one holds every number. Of two equally long ones the blocked one counts."""

    id: str
    allow: frozenset[str] = frozenset()
    block: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AccountRates:
    """``overrides``: nano-units for what a rate prices, by prefix; ``policy`` is that of a price that beats no row."""

    policy: Policy
    overrides: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    service: ClassOfService | None = None

    def settled(self, found: Found, number: str, usage: Usage) -> Found:
        """Return what the account is asked for a number, where its plan says ``found``."""
        row = len(found.prefix) if found is not None else _NOWHERE
        override = _longest(self.overrides, number) if _is_call(found, usage) else _NOWHERE
        if override >= max(row, 0):
            found, row = self._overridden(found, number[:override]), override
        return self._served(found, number, row)

    def _overridden(self, found: Found, prefix: str) -> Tariff:
        rate = self.overrides[prefix]
        if isinstance(found, Tariff):
            return with_rates(found, lambda _: rate).changed(prefix=prefix, blocked=False)
        policy = self.policy
        return Tariff(
            table=OVERRIDE, deck_version=0, prefix=prefix, destination="", currency=policy.currency, rate=rate,
            decimals=policy.decimals, rounding=policy.rounding, duration_rounding=policy.duration_rounding,
        )  # fmt: skip

    def _served(self, found: Found, number: str, row: int) -> Found:
        if self.service is None:
            return found
        blocked, allowed = _longest(self.service.block, number), _longest(self.service.allow, number)
        shut = EVERY in self.service.block and allowed == _NOWHERE
        if shut or blocked >= max(row, allowed, 0):
            return self._stopped(found, number[:blocked])
        if isinstance(found, Tariff) and found.blocked and allowed >= row and not costs_nothing(found):
            return found.changed(prefix=number[:allowed], blocked=False)
        return found

    def _stopped(self, found: Found, prefix: str) -> Tariff:
        if isinstance(found, Tariff):
            return found.changed(prefix=prefix, blocked=True)
        return Tariff(CLASS, 0, prefix, "", self.policy.currency, 0, blocked=True)


def _is_call(found: Found, usage: Usage) -> bool:
    """Tell whether usage is a call: the prices of an account are for a minute, and nothing else is counted by it."""
    return found.unit == SECONDS if isinstance(found, Tariff) else usage.rate_type in BARE


def _longest(prefixes: "Mapping[str, int] | frozenset[str]", number: str) -> int:
    """Return the length of the longest of some prefixes that begins a number, -1 where none does."""
    if not prefixes:
        return _NOWHERE
    lengths = range(min(len(number), DIGITS_MAX), -1, -1)
    return next((length for length in lengths if number[:length] in prefixes), _NOWHERE)
