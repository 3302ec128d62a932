"""What the operator configured, as one immutable value: tenants, accounts, plans, carriers, endpoints.

The catalog is loaded from the store and replaced whole when the store's configuration changes.
Balances and channels in use are not here: they are standings, which only a transaction sees. A mapping of accounts or
endpoints may make its values when they are asked for: of a million accounts few call at a time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from zoneinfo import ZoneInfo

from daemon.authorize.fraud_rule import FraudRule
from daemon.authorize.networks import Networks
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import Instant
from daemon.rating.account_rates import AccountRates
from daemon.rating.bundle import Bundle
from daemon.rating.conversion import NO_CONVERSIONS, Conversions
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import RateTable

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


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """What was agreed with a customer. Money in nano-units, percents in nano-percent; None: no limit.

    ``bundles`` stand in the order in which their units are used.
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
    over_channels: OverChannels = OverChannels.REFUSE
    channel_surcharge: int = 0
    channel_surcharge_per_minute: int = 0
    packages: tuple[ChannelPackage, ...] = ()
    fraud_rules: tuple[FraudRule, ...] = ()

    def dated(self, direction: Direction) -> tuple[DatedPlan, ...]:
        """Return the plans of a direction, each from its instant on."""
        return self.plans if direction is Direction.OUTBOUND else self.inbound_plans

    def plan_at(self, direction: Direction, at: Instant) -> Key | None:
        """Return the plan in force for a direction, or None where there is none."""
        begun = [entry for entry in self.dated(direction) if entry.begins <= at]
        return max(begun, key=lambda entry: entry.begins).plan if begun else None


@dataclass(frozen=True, slots=True)
class Carrier:
    """A supplier: its buy table, its dial string with ``{number}`` in it, its limits."""

    number: int
    key: Key
    table: Key
    dial: str
    channels: int | None = None
    status: Status = Status.ACTIVE
    tech_prefix: str = ""


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
    dids: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Emergency:
    """Whole numbers that are always let through, and the dial string that routes them."""

    numbers: frozenset[str] = frozenset({"112", "911", "999"})
    dial: str = ""


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
    postpaid_numbers: Iterable[int] | None = None  # where they are known without a look at every account

    def postpaid(self) -> Iterable[int]:
        """Return the numbers of the accounts that pay afterwards."""
        if self.postpaid_numbers is not None:
            return self.postpaid_numbers
        return (terms.number for terms in self.accounts.values() if terms.kind is AccountKind.POSTPAID)

    def is_on_net(self, tenant: str, number: str) -> bool:
        """Tell whether the digits of a number are a DID of one of a tenant's own accounts."""
        claims = self.endpoints.dids.get(number)
        return claims is not None and any(account.tenant == tenant for account in claims)

    def own_numbers(self, tenant: str) -> frozenset[str]:
        """Return the DIDs of a tenant's own accounts: the numbers that are on-net for it."""
        return frozenset(number for number in self.endpoints.dids if self.is_on_net(tenant, number))

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
