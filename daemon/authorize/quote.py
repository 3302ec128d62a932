"""What is known of a call before any standing is read: who pays, at which prices, over which carriers.

A quote is a value of the configuration alone; ``decide`` holds it against the standings of one transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ParamSpec

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountTerms, Carrier
from daemon.authorize.decision import Denied, Level, Route, Rule
from daemon.kernel.quickly_made import quickly_made
from daemon.ledger.account import Standing
from daemon.rating.tariff import Tariff

P = ParamSpec("P")
NO_VOLUMES: Mapping[str, int] = MappingProxyType({})
Standings = Callable[[int], Standing]
Pricing = Callable[[AccountTerms, Mapping[str, int]], tuple[Tariff, ...]]  # by the volumes of a period
Trace = list[Rule]  # in the order in which they took part; None where nobody asked for an explanation


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a grant may be on this road, in seconds; ``slice_seconds`` is None where nothing can be renewed."""

    ring_seconds: int = 120
    max_grant_seconds: int = 7_200
    slice_seconds: int | None = None
    block_seconds_min: int = 10


@quickly_made
@dataclass(frozen=True, slots=True)
class Quote:
    """A call that may go ahead as far as the configuration can tell; ``pricing`` prices it again by volumes."""

    attempt: CallAttempt
    called: str
    chain: tuple[AccountTerms, ...]
    levels: tuple[Level, ...]
    routes: tuple[Route, ...]
    carriers: tuple[Carrier, ...]
    routed: bool
    upstream: Denied | None = None
    pricing: Pricing | None = None

    @property
    def meters(self) -> tuple[tuple[int, str], ...]:
        """The account and the name of all meters that the decision needs."""
        found: tuple[tuple[int, str], ...] = ()
        for level in self.levels:
            if level.bundles or level.tiered:
                found += level.meters
        return found

    @property
    def accounts(self) -> tuple[int, ...]:
        """The numbers of all accounts and carriers whose standing the decision needs."""
        return (*[level.account for level in self.levels], *[route.account for route in self.routes])


def refused(notes: Trace | None, rule: str, denied: Denied) -> Denied:
    if notes is not None:
        notes.append(Rule(rule, False, f"{denied.denial.value}: {denied.reason}"))
    return denied


def told(notes: Trace | None, says: Callable[P, Rule], *values: P.args, **named: P.kwargs) -> None:
    """Note a rule in the words of ``authorize.words``, which are made only where somebody asked."""
    if notes is not None:
        notes.append(says(*values, **named))
