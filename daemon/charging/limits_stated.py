"""What an operator states of packages of channels and of fraud: as it is stated, and as decisions see it.

A rule without an account is of every customer of its tenant, each counted by itself; an account that a tenant below has
with this one is no such customer, because a rule that fits one subscriber would suspend all of them at once.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from daemon.authorize.catalog import ChannelPackage
from daemon.authorize.fraud_rule import FraudAct, FraudDirection, FraudKind, FraudRule
from daemon.kernel.instant import NEVER, Instant
from daemon.ledger.window import WINDOWS_MAX

RUN_ON: Final = "slice"  # what a suspension makes of calls that run: they end where what was granted ends,
CUT: Final = "cut"  # or at once
Place = tuple[str, str]  # tenant, id
Prefixes = Callable[[str, Iterable[str], Iterable[str]], frozenset[str]]  # of a tenant, prefixes and groups


@dataclass(frozen=True, slots=True)
class ChannelPackageSpec:
    """``[[channel_package]]`` of an account of the same tenant: what it adds to the limits of these names.

    ``monthly_price`` is kept and shown; ``ends`` may be None.
    """

    tenant: str
    id: str
    account: str
    channels_total: int = 0
    channels_in: int = 0
    channels_out: int = 0
    begins: Instant = 0
    ends: Instant | None = None
    monthly_price: int = 0


@dataclass(frozen=True, slots=True)
class FraudRuleSpec:
    """``[[fraud_rule]]`` of an account, or where ``account`` is empty of each of its tenant's customers.

    ``spend`` is in nano-units of each account's currency; ``group`` is a destination group, beside ``prefixes``.
    """

    tenant: str
    id: str
    kind: FraudKind
    act: FraudAct
    account: str = ""
    calls: int | None = None
    minutes: int = 60
    seconds: int = 0
    spend: int | None = None
    prefixes: tuple[str, ...] = ()
    group: str = ""
    running_calls: str = RUN_ON
    direction: FraudDirection = FraudDirection.OUTBOUND


class LimitsStated:
    """Packages and fraud rules by the account that they are of."""

    def __init__(
        self, packages: Iterable[ChannelPackageSpec], rules: Iterable[FraudRuleSpec], trunks: Collection[Place],
        prefixes: Prefixes,
    ) -> None:  # fmt: skip
        """Take what is stated; ``trunks`` are the accounts that tenants have with their parents."""
        self._trunks = trunks
        self._packages: dict[Place, tuple[ChannelPackage, ...]] = {}
        for spec in packages:
            place = (spec.tenant, spec.account)
            self._packages[place] = (*self._packages.get(place, ()), _package(spec))
        self._rules: dict[Place, tuple[FraudRule, ...]] = {}
        for rule in rules:
            place = (rule.tenant, rule.account)
            made = _rule(rule, prefixes(rule.tenant, rule.prefixes, (rule.group,) if rule.group else ()))
            self._rules[place] = (*self._rules.get(place, ()), made)

    def packages(self, tenant: str, account: str) -> tuple[ChannelPackage, ...]:
        """Return the packages of an account, whether they are in force or not."""
        return self._packages.get((tenant, account), ())

    def rules(self, tenant: str, account: str) -> tuple[FraudRule, ...]:
        """Return the rules that watch an account: its own, then its tenant's."""
        own = self._rules.get((tenant, account), ())
        return own if (tenant, account) in self._trunks else (*own, *self._rules.get((tenant, ""), ()))


def _package(spec: ChannelPackageSpec) -> ChannelPackage:
    ends = NEVER if spec.ends is None else spec.ends
    return ChannelPackage(spec.begins, ends, spec.channels_total, spec.channels_in, spec.channels_out)


def _rule(spec: FraudRuleSpec, prefixes: frozenset[str]) -> FraudRule:
    return FraudRule(
        spec.id, spec.kind, spec.act, spec.minutes, spec.calls, spec.spend, spec.seconds, prefixes,
        spec.running_calls == CUT, spec.direction,
    )  # fmt: skip


def crowded(places: Iterable[Place], trunks: Collection[Place]) -> list[Place]:
    """Return the accounts that more rules watch than an account has windows for, of the places that rules name.

    A place whose account is empty is that of all customers of its tenant, whose rules count at each account too, but at
    none of ``trunks``, the accounts that tenants have with their parents.
    """
    counts = Counter(places)
    return [
        (tenant, account)
        for (tenant, account), own in sorted(counts.items())
        if own + (counts[tenant, ""] if account and (tenant, account) not in trunks else 0) > WINDOWS_MAX
    ]
