"""What the operator configured, as one immutable value: tenants, accounts, plans, carriers, endpoints.

The catalog is loaded from the store and replaced whole when the store's configuration changes.
Balances and channels in use are not here: they are standings, which only a transaction sees. A mapping of accounts or
endpoints may make its values when they are asked for: of a million accounts few call at a time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final
from zoneinfo import ZoneInfo

from daemon.authorize.dids import NO_RANGES, DidRanges
from daemon.authorize.fraud_rule import FraudRule
from daemon.authorize.networks import Networks
from daemon.authorize.quality import Qualities
from daemon.authorize.warning_terms import NO_WARNING, WarningTerms
from daemon.kernel.dialling import Dialling
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import Instant
from daemon.kernel.quickly_made import quickly_made
from daemon.rating.account_rates import AccountRates
from daemon.rating.bundle import Bundle
from daemon.rating.conversion import NO_CONVERSIONS, Conversions
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import RateTable

_OUTBOUND: Final = Direction.OUTBOUND  # every decision asks some ten times, and a member of a class costs a search
MAX_CALL_SECONDS = 14_400  # seconds; the longest call unless the account says otherwise (SPEC section 2, Quota)


class OverChannels(Enum):
    """What happens to a call over a channel limit of its account."""

    REFUSE = "refuse"
    SURCHARGE = "surcharge"


class AccountKind(Enum):
    """Pays before or after."""

    PREPAID = "prepaid"
    POSTPAID = "postpaid"


class Status(Enum):
    """Of an account or a carrier."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class WhenEmpty(Enum):
    """Which calls are refused as suspended once a prepaid account's money has come to its end."""

    OUTBOUND = "outbound"
    ALL = "all"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Tenant:
    """``account`` is the tenant's own account with its parent; the owner has neither."""

    id: str
    currency: str
    zone: ZoneInfo
    parent: str = ""
    account: Key | None = None


@dataclass(frozen=True, slots=True)
class DatedPlan:
    """A rate plan from an instant on; the latest one begun is in force."""

    begins: Instant
    plan: Key


@dataclass(frozen=True, slots=True)
class ChannelPackage:
    """Channels that an account has beside its limits, from an instant until before another."""

    begins: Instant
    ends: Instant
    channels_total: int = 0
    channels_in: int = 0
    channels_out: int = 0


@quickly_made
@dataclass(frozen=True, slots=True)
class AccountTerms:
    """What was agreed with a customer. Money in nano-units, percents in nano-percent; None: no limit.

    ``bundles`` stand in the order in which their units are used. ``dialling``: how those of its endpoints write numbers
    that state it, by kind and text. ``inbound_kind`` with its limit: where calls in are paid otherwise than calls out.
    """

    number: int
    key: Key
    kind: AccountKind
    currency: str
    zone: ZoneInfo
    credit_limit: int | None = 0
    status: Status = Status.ACTIVE
    plans: tuple[DatedPlan, ...] = ()
    inbound_plans: tuple[DatedPlan, ...] = ()
    country: str = ""
    channels_total: int | None = None
    channels_in: int | None = None
    channels_out: int | None = None
    calls_per_second: int | None = None
    daily_spend: int | None = None
    monthly_spend: int | None = None
    max_call_seconds: int = MAX_CALL_SECONDS
    max_call_charge: int | None = None
    margin_floor_percent: int | None = None
    margin_floor_per_minute: int | None = None
    rates: AccountRates | None = None
    bundles: tuple[Bundle, ...] = ()
    dialling: tuple[tuple[str, str, Dialling], ...] = ()
    inbound_kind: AccountKind | None = None
    inbound_credit_limit: int | None = 0
    when_empty: WhenEmpty = WhenEmpty.OUTBOUND
    over_channels: OverChannels = OverChannels.REFUSE
    channel_surcharge: int = 0
    channel_surcharge_per_minute: int = 0
    packages: tuple[ChannelPackage, ...] = ()
    fraud_rules: tuple[FraudRule, ...] = ()
    warnings: WarningTerms = NO_WARNING

    @property
    def empty_limit(self) -> int | None:
        """The credit limit at which the account is suspended by itself, None where it never is."""
        return empty_limit(self.kind, self.credit_limit, self.when_empty)

    def dialling_of(self, kind: str, text: str) -> Dialling | None:
        """Return how an endpoint of the account writes numbers, None where it does not say."""
        return next((how for each, name, how in self.dialling if (each, name) == (kind, text)), None)

    def facing(self, direction: Direction) -> "AccountTerms":
        """Return the terms for a direction: kind and credit limit are those of calls in where these differ."""
        if self.inbound_kind is None or direction is Direction.OUTBOUND:
            return self
        return replace(self, kind=self.inbound_kind, credit_limit=self.inbound_credit_limit)

    def dated(self, direction: Direction) -> tuple[DatedPlan, ...]:
        """Return the plans of a direction, each from its instant on."""
        return self.plans if direction is _OUTBOUND else self.inbound_plans

    def plan_at(self, direction: Direction, at: Instant) -> Key | None:
        """Return the plan in force for a direction, or None where there is none."""
        begun = [entry for entry in self.dated(direction) if entry.begins <= at]
        return max(begun, key=lambda entry: entry.begins).plan if begun else None


def empty_limit(kind: AccountKind, credit_limit: int | None, when_empty: WhenEmpty) -> int | None:
    """Return the credit limit at which an account is suspended by itself, None where it never is."""
    return credit_limit if kind is AccountKind.PREPAID and when_empty is not WhenEmpty.OFF else None


@dataclass(frozen=True, slots=True)
class Carrier:
    """A supplier: its buy table, its dial string with ``{number}`` in it, its limits.

    ``beside``: other tables of the name of its own. ``weight``: how often it is first among carriers that are alike.
    """

    number: int
    key: Key
    table: Key
    dial: str
    channels: int | None = None
    status: Status = Status.ACTIVE
    tech_prefix: str = ""
    calls_per_second: int | None = None
    weight: int = 1
    beside: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class SipUser:
    """An endpoint's proof: a password or an HA1; with neither it is believed only from a trusted peer."""

    account: Key
    password: str = field(default="", repr=False)
    ha1: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How a call finds its account; every value holds all accounts that claim it, so that two are seen as ambiguous."""

    pins: Mapping[tuple[str, str], tuple[Key, ...]] = field(default_factory=dict)  # (via, pin)
    sip_users: Mapping[str, tuple[SipUser, ...]] = field(default_factory=dict)
    networks: Networks = field(default_factory=Networks)
    callers: Mapping[tuple[str, str], tuple[Key, ...]] = field(default_factory=dict)  # (via, caller)
    dids: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)  # single numbers without a date
    did_ranges: DidRanges = NO_RANGES

    def called(self, number: str, at: Instant) -> tuple[Key, ...]:
        """Return the accounts whose DID the digits of a number are at an instant."""
        if number not in self.dids and not self.did_ranges.starts:
            return ()  # nearly every number that is called
        return (*self.dids.get(number, ()), *self.did_ranges.holding(number, at))


@dataclass(frozen=True, slots=True)
class Emergency:
    """Whole numbers that are always let through, and the dial string that routes them.

    ``countries`` has those of a country in place of ``numbers``, for calls that are known to come from there.
    """

    numbers: frozenset[str] = frozenset({"112", "911", "999"})
    dial: str = ""
    countries: Mapping[str, frozenset[str]] = field(default_factory=dict)
    anywhere: frozenset[str] = field(init=False)  # every number that is one in any country
    endings: tuple[str, ...] = field(init=False)  # the same, to be held against the end of a number

    def __post_init__(self) -> None:
        """Gather the numbers of all countries once: every question is held against them."""
        object.__setattr__(self, "anywhere", self.numbers.union(*self.countries.values()))
        object.__setattr__(self, "endings", tuple(sorted(self.anywhere)))

    def of(self, country: str) -> frozenset[str]:
        """Return the numbers of a country, or those of all others."""
        return self.countries.get(country, self.numbers)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The configuration of one revision of the store."""

    revision: int
    tenants: Mapping[str, Tenant]
    accounts: Mapping[Key, AccountTerms]
    by_number: Mapping[int, AccountTerms]
    plans: Mapping[Key, RatePlan]
    tables: Mapping[Key, RateTable]
    carriers: Mapping[str, tuple[Carrier, ...]]  # by tenant
    endpoints: Endpoints = Endpoints()
    emergency: Emergency = Emergency()
    conversions: Conversions = NO_CONVERSIONS
    quality: Qualities = field(default_factory=dict)  # of carriers, as last graded: it changes without a revision
    postpaid_numbers: Iterable[int] | None = None  # where they are known without a look at every account

    def postpaid(self) -> Iterable[int]:
        """Return the numbers of the accounts that pay afterwards."""
        if self.postpaid_numbers is not None:
            return self.postpaid_numbers
        return (terms.number for terms in self.accounts.values() if terms.kind is AccountKind.POSTPAID)

    def is_on_net(self, tenant: str, number: str, at: Instant) -> bool:
        """Tell whether the digits of a number are a DID of one of a tenant's own accounts at an instant."""
        claimed = self.endpoints.called(number, at)
        return bool(claimed) and any(account.tenant == tenant for account in claimed)

    def own_numbers(self, tenant: str) -> frozenset[str]:
        """Return the single, undated DIDs of a tenant's own accounts, which are on-net for it at any time."""
        dids = self.endpoints.dids
        return frozenset(number for number in dids if any(account.tenant == tenant for account in dids[number]))

    def has_own_ranges(self, tenant: str) -> bool:
        """Tell whether a tenant's own accounts have DIDs beside those: ranges, or numbers from a date."""
        return any(each.account.tenant == tenant for each in self.endpoints.did_ranges.whole)

    def descends(self, tenant: str, ancestor: str) -> bool:
        """Tell whether a tenant is another or lies below it."""
        while tenant and tenant != ancestor:
            found = self.tenants.get(tenant)
            tenant = found.parent if found is not None else ""
        return bool(tenant)

    def chain(self, account: AccountTerms) -> tuple[AccountTerms, ...]:
        """Return the accounts that pay for a call, retail first, then each tenant's own account with its parent."""
        levels = [account]
        tenant = self.tenants[account.key.tenant]
        while tenant.account is not None:
            levels.append(self.accounts[tenant.account])
            tenant = self.tenants[tenant.parent]
        return tuple(levels)
