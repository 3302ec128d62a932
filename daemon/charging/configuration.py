"""What an operator states in a scenario file, as finished values, and how the catalog is built of them.

A value here was validated: money is nano-units, times are instants, ids are ids, references exist.
The store keeps each object as it is stated, so that ``apply`` can tell what differs; the catalog is computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Final

import msgspec

from daemon.authorize.catalog import (
    MAX_CALL_SECONDS,
    AccountKind,
    AccountTerms,
    Carrier,
    Catalog,
    DatedPlan,
    Emergency,
    OverChannels,
    Status,
    Tenant,
    WhenEmpty,
    empty_limit,
)
from daemon.authorize.warning_terms import Hears, WarningTerms
from daemon.charging.account_views import Accounts, ByNumber, endpoints_of
from daemon.charging.accounts import AccountIndex, Endpoint, Row, cut, diallings, index_of, whole
from daemon.charging.limits_stated import ChannelPackageSpec, FraudRuleSpec, LimitsStated
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import NEVER, Instant, format_rfc3339, zone
from daemon.kernel.money import Rounding
from daemon.rating.account_rates import OVERRIDE, AccountRates, ClassOfService
from daemon.rating.bundle import Bundle
from daemon.rating.code_list import Code, CodeList
from daemon.rating.conversion import Conversions, StatedRate
from daemon.rating.markup import Markup
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.rate_type import BUILT_IN, RateType
from daemon.rating.tariff import SECONDS
from daemon.rating.time_band import TimeBand, parse_intervals

EVERY_NUMBER: Final = "*"  # the prefix that a class of service writes for all of them
LOW_BALANCE_TONE: Final = "tone_stream://%(300,300,480);loops=3"
CUTOFF_TONE: Final = "tone_stream://%(150,150,950);loops=2"
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class TenantSpec:
    """``[[tenant]]``; ``account`` is the id of its own account with ``parent``.

    Warnings are those of its accounts that state none.
    """

    id: str
    currency: str
    timezone: str = "UTC"
    parent: str = ""
    account: str = ""
    low_balance_warning_seconds: int = 0
    cutoff_warning_seconds: int = 0
    warn: Hears = Hears.CALLER


@dataclass(frozen=True, slots=True)
class ConversionSpec:
    """``[[conversion]]``: ``rate`` nano-units of ``target`` for one unit of ``source``; ``ends`` may be None.

    Its id is the pair and the instant from which it is in force: another rate of that instant would be an alteration.
    """

    tenant: str
    source: str
    target: str
    rate: int
    begins: Instant
    ends: Instant | None = None

    @property
    def id(self) -> str:
        """What a tenant has one of."""
        return f"{self.source}-{self.target}-{format_rfc3339(self.begins)}"


@dataclass(frozen=True, slots=True)
class RateTableSpec:
    """``[[rate_table]]``; the deck's rows are kept apart, by version. ``closed_limit_percent`` stops an import."""

    tenant: str
    id: str
    currency: str
    timezone: str = "UTC"
    decimals: int = 4
    rounding: Rounding = Rounding.UP
    duration_rounding: Rounding = Rounding.UP
    closed_limit_percent: int = 20
    split_bands: bool = False
    name: str = ""
    override: str = ""
    tiers: str = ""
    tier_period: str = "month"
    rate_types: tuple[tuple[str, str], ...] = ()  # the deck's word, and the id of the rate type that it means
    code_list: str = ""


@dataclass(frozen=True, slots=True)
class RatePlanSpec:
    """``[[rate_plan]]``: rate tables of the same tenant, in order; mark-ups in nano-percent and nano-units."""

    tenant: str
    id: str
    tables: tuple[str, ...] = ()
    inherits: str = ""
    markup_percent: int = 0
    markup_per_minute: int = 0
    markup_minimum: int = 0
    on_net: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeBandSpec:
    """``[[time_band]]``: intervals and days as they are written, each known to be good."""

    tenant: str
    id: str
    intervals: tuple[str, ...]
    holidays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateTypeSpec:
    """``[[rate_type]]``: a rate is the price of ``per`` of a unit."""

    tenant: str
    id: str
    unit: str = SECONDS
    per: int = 60


@dataclass(frozen=True, slots=True)
class CodeListSpec:
    """``[[code_list]]``: (prefix, destination) in the order of its file."""

    tenant: str
    id: str
    codes: tuple[tuple[str, str], ...]
    standard: bool = False


@dataclass(frozen=True, slots=True)
class DestinationGroupSpec:
    """``[[destination_group]]``: prefixes, and names of the tenant's standard code list."""

    tenant: str
    id: str
    prefixes: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassOfServiceSpec:
    """``[[class_of_service]]``: prefixes, of which ``*`` is every number, and destination groups."""

    tenant: str
    id: str
    allow: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    allow_groups: tuple[str, ...] = ()
    block_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """``[[bundle]]`` of an account of the same tenant; ``group`` is a destination group, beside ``prefixes``."""

    tenant: str
    id: str
    account: str
    units: int
    unit: str = SECONDS
    period: str = "month"
    rollover: bool = False
    prefixes: tuple[str, ...] = ()
    group: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class CarrierSpec:
    """``[[carrier]]``; ``{number}`` in ``dial`` becomes the digits that are dialled."""

    tenant: str
    id: str
    rate_table: str
    dial: str
    channels: int | None = None
    status: Status = Status.ACTIVE
    tech_prefix: str = ""
    calls_per_second: int | None = None
    weight: int = 1


EndpointSpec = Endpoint  # is stored as it stands in the index


@dataclass(frozen=True, slots=True)
class PlanFrom:
    """A plan's id and the instant (microseconds) from which it is the account's."""

    plan: str
    begins: int = 0


@dataclass(frozen=True, slots=True)
class OverrideSpec:
    """One of an account's ``overrides``: a rate in nano-units for what a rate of the row that it beats prices."""

    prefix: str
    rate: int


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """``[[account]]``. ``balance``: the opening balance, given once. A limit of None is none; a credit, unlimited.

    ``inbound_kind`` None: calls in are paid as calls out. Warnings of None are the tenant's.
    """

    tenant: str
    id: str
    kind: AccountKind
    currency: str
    balance: int = 0
    credit_limit: int | None = 0
    rate_plan: tuple[PlanFrom, ...] = ()
    inbound_rate_plan: tuple[PlanFrom, ...] = ()
    country: str = ""
    status: Status = Status.ACTIVE
    timezone: str = "UTC"
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
    identities: tuple[EndpointSpec, ...] = ()
    class_of_service: str = ""
    overrides: tuple[OverrideSpec, ...] = ()
    inbound_kind: AccountKind | None = None
    inbound_credit_limit: int | None = 0
    suspend_when_empty: WhenEmpty = WhenEmpty.OUTBOUND
    over_channels: OverChannels = OverChannels.REFUSE
    channel_surcharge: int = 0
    channel_surcharge_per_minute: int = 0
    low_balance_warning_seconds: int | None = None
    low_balance_warning: int = 0
    cutoff_warning_seconds: int | None = None
    warn: Hears | None = None

    @property
    def empty_limit(self) -> int | None:
        """The credit limit at which the account is suspended by itself, None where it never is."""
        return empty_limit(self.kind, self.credit_limit, self.suspend_when_empty)


@dataclass(frozen=True, slots=True)
class NasSpec:
    """``[[nas]]``: a RADIUS client, found by its source address. ``numbers`` and on: how it writes numbers.

    ``direction``: of a call of which nothing else tells it; ``inbound_from``: where calls in come from, as words that
    its switch tells or as networks. ``both_sides``: its outbound questions ask for the called DID's account too.
    """

    id: str
    tenant: str
    address: str
    secret: str = field(repr=False)
    profile: str = "generic"
    id_domain: str = ""
    trust_user_name: bool = False
    disconnect: str = ""
    coa: str = ""
    require_message_authenticator: bool = False
    routing: bool = True
    numbers: str = ""
    country: str = ""
    international_prefix: str = ""
    national_prefix: str = ""
    direction: Direction = Direction.OUTBOUND
    inbound_from: tuple[str, ...] = ()
    both_sides: bool = False
    status: Status = Status.ACTIVE


@dataclass(frozen=True, slots=True)
class FreeswitchSpec:
    """``[[freeswitch]]``: a switch whose event socket the daemon connects to. ``numbers`` and on: as of a nas."""

    id: str
    tenant: str
    host: str = "127.0.0.1"
    port: int = 8021
    password: str = field(default="ClueCon", repr=False)
    id_domain: str = ""
    strip_digits: int = 0
    charged_contexts: tuple[str, ...] = ()
    cgr_aliases: bool = False
    routing: bool = True
    cdr_spool: str = ""
    numbers: str = ""
    country: str = ""
    international_prefix: str = ""
    national_prefix: str = ""
    low_balance_tone: str = LOW_BALANCE_TONE
    cutoff_tone: str = CUTOFF_TONE
    status: Status = Status.ACTIVE


@dataclass(frozen=True, slots=True)
class AsteriskSpec:
    """``[[asterisk]]``: a switch that asks over FastAGI; with a secret the daemon connects to its manager.

    ``numbers`` and on: as of a nas.
    """

    id: str
    tenant: str
    host: str = "127.0.0.1"
    port: int = 5038
    username: str = "tollway"
    secret: str = field(default="", repr=False)
    id_domain: str = ""
    routing: bool = True
    numbers: str = ""
    country: str = ""
    international_prefix: str = ""
    national_prefix: str = ""
    status: Status = Status.ACTIVE


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """A tenant's bearer token, by the SHA-256 of its text (hexadecimal); ``role`` is switch, billing or read."""

    id: str
    tenant: str
    role: str
    sha256: str = field(repr=False)
    trust_user_name: bool = False
    revoked: bool = False
    routing: bool = True
    id_domain: str = ""
    expires_at: Instant | None = None  # from then on it is in force no more


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every object that is configured, and the revision of the store that it was read at."""

    revision: int
    tenants: tuple[TenantSpec, ...] = ()
    rate_tables: tuple[RateTableSpec, ...] = ()
    rate_plans: tuple[RatePlanSpec, ...] = ()
    carriers: tuple[CarrierSpec, ...] = ()
    accounts: tuple[AccountSpec, ...] = ()
    nas: tuple[NasSpec, ...] = ()
    freeswitch: tuple[FreeswitchSpec, ...] = ()
    asterisk: tuple[AsteriskSpec, ...] = ()
    tokens: tuple[TokenSpec, ...] = ()
    time_bands: tuple[TimeBandSpec, ...] = ()
    rate_types: tuple[RateTypeSpec, ...] = ()
    code_lists: tuple[CodeListSpec, ...] = ()
    destination_groups: tuple[DestinationGroupSpec, ...] = ()
    classes_of_service: tuple[ClassOfServiceSpec, ...] = ()
    bundles: tuple[BundleSpec, ...] = ()
    conversions: tuple[ConversionSpec, ...] = ()
    channel_packages: tuple[ChannelPackageSpec, ...] = ()
    fraud_rules: tuple[FraudRuleSpec, ...] = ()

    @property
    def owner(self) -> str:
        """The id of the tenant without a parent."""
        return next((tenant.id for tenant in self.tenants if not tenant.parent), "")


Numbers = Mapping[tuple[str, str, str], int]  # (role, tenant, id): the store's number; role is customer or carrier


# -- what a table and a deck are read with


def policy_of(spec: RateTableSpec, version: int, configuration: Configuration) -> Policy:
    """Return what a table says of the rows of a deck version: its own terms, its tenant's bands and rate types."""
    bands = tuple(_band(band) for band in configuration.time_bands if band.tenant == spec.tenant)
    return Policy(
        table=spec.id, version=version, currency=spec.currency, decimals=spec.decimals, rounding=spec.rounding,
        duration_rounding=spec.duration_rounding, name=spec.name, override=spec.override, zone=spec.timezone,
        split_bands=spec.split_bands, bands=bands, rate_types=_rate_types(spec, configuration), tiers=spec.tiers,
        tier_period=spec.tier_period,
    )  # fmt: skip


def _band(spec: TimeBandSpec) -> TimeBand:
    intervals = tuple(interval for text in spec.intervals for interval in parse_intervals(text))
    return TimeBand(spec.id, intervals, frozenset((date.fromisoformat(day) - _EPOCH).days for day in spec.holidays))


def _rate_types(spec: RateTableSpec, configuration: Configuration) -> Mapping[str, RateType]:
    """Return the declared rate types by their ids, and those that the table maps a deck's words to."""
    declared = {
        each.id: RateType(each.id, each.unit, each.per)
        for each in configuration.rate_types
        if each.tenant == spec.tenant
    }
    return MappingProxyType(declared | {word: declared.get(name) or BUILT_IN[name] for word, name in spec.rate_types})


def code_list_of(spec: RateTableSpec, configuration: Configuration) -> CodeList | None:
    """Return the code list of a table: its own, else the standard one of its tenant, None where there is neither."""
    for each in configuration.code_lists:
        own = each.id == spec.code_list if spec.code_list else each.standard
        if each.tenant == spec.tenant and own:
            return _code_list(each)
    return None


def _code_list(spec: CodeListSpec) -> CodeList:
    return CodeList(spec.id, tuple(Code._make(code) for code in spec.codes))


def for_plans(configuration: Configuration, plans: Iterable[Key]) -> Configuration:
    """Return a configuration with no other plans than these and those that they inherit, and only their tables."""
    known = {Key(spec.tenant, spec.id): spec for spec in configuration.rate_plans}
    kept: dict[Key, RatePlanSpec] = {}
    asked = list(plans)
    while asked:
        key = asked.pop()
        if key in known and key not in kept:
            kept[key] = known[key]
            asked.append(Key(key.tenant, known[key].inherits))
    tables = {(spec.tenant, name) for spec in kept.values() for name in (*spec.tables, *spec.on_net)}
    return replace(
        configuration, rate_plans=tuple(kept.values()), carriers=(),
        rate_tables=tuple(spec for spec in configuration.rate_tables if (spec.tenant, spec.id) in tables),
    )  # fmt: skip


def stated_rate(spec: ConversionSpec) -> StatedRate:
    """Return a rate between currencies as the rating core knows it."""
    ends = NEVER if spec.ends is None else spec.ends
    return StatedRate(spec.tenant, spec.source, spec.target, spec.rate, spec.begins, ends)


def conversions_of(configuration: Configuration) -> Conversions:
    """Return every rate between currencies, found from a tenant upwards."""
    parents = {spec.id: spec.parent for spec in configuration.tenants if spec.parent}
    return Conversions(map(stated_rate, configuration.conversions), parents)


# -- the catalog


def build_catalog(
    configuration: Configuration, tables: Mapping[Key, RateTable], numbers: Numbers, emergency: Emergency,
    index: AccountIndex | None = None,
) -> Catalog:  # fmt: skip
    """Return the catalog of a configuration. ``tables`` holds each rate table with the decks in force.

    Its accounts are those of an index where one is given, whose numbers ``numbers`` need not hold then.
    """
    plans = _plans(configuration.rate_plans, tables)
    prices = _Prices(configuration, plans)
    known = index if index is not None else index_of(_indexed(spec, numbers) for spec in configuration.accounts)
    accounts = Accounts(known.rows, _TermsMade(prices))
    return Catalog(
        revision=configuration.revision,
        tenants={spec.id: _tenant(spec) for spec in configuration.tenants},
        accounts=accounts,
        by_number=ByNumber(known.names, accounts),
        plans=plans,
        tables=dict(tables),
        carriers=_carriers(configuration, numbers),
        endpoints=endpoints_of(known),
        emergency=emergency,
        conversions=conversions_of(configuration),
        postpaid_numbers=known.postpaid,
    )


def parts_of(name: str, body: bytes) -> tuple[bytes, bytes]:
    """Return a stored account, ``tenant/id``, as its index keeps it. Raises what ``AccountSpec`` cannot be read by."""
    return cut(name, body) or _rewritten(name, _account.decode(body))


def _rewritten(name: str, spec: AccountSpec) -> tuple[bytes, bytes]:
    """Return the parts of an account that was written by an earlier release, or is in memory alone."""
    parts = cut(name, msgspec.json.encode(spec))
    assert parts is not None, name
    return parts


def _indexed(spec: AccountSpec, numbers: Numbers) -> tuple[str, int, tuple[bytes, bytes]]:
    name = f"{spec.tenant}/{spec.id}"
    return name, numbers["customer", spec.tenant, spec.id], _rewritten(name, spec)


class _TermsMade:
    """Makes the terms of accounts: what was agreed is read once for all of a tenant that share it word for word."""

    def __init__(self, prices: "_Prices") -> None:
        self._prices = prices
        self._agreed: dict[tuple[str, bytes], AccountTerms] = {}

    def __call__(self, key: Key, row: Row) -> AccountTerms:
        place = key.tenant, row.agreement
        agreed = self._agreed.get(place)
        if agreed is None:
            spec = replace(_account.decode(whole(row.agreement)), tenant=key.tenant, id=key.id)
            if len(self._agreed) >= AGREED_MAX:
                self._agreed.clear()
            agreed = self._agreed[place] = _terms(spec, self._prices)
        limits, country = self._prices.limits, agreed.country
        return replace(
            agreed, number=row.number, key=key, bundles=self._prices.bundles(key),
            dialling=diallings(row.identities(), country) if _NUMBERS in row.endpoints else (),
            packages=limits.packages(*key), fraud_rules=limits.rules(*key),
        )  # fmt: skip


_account = msgspec.json.Decoder(AccountSpec)
AGREED_MAX: Final = 10_000  # agreements whose terms are kept by a catalog, about 1 KiB each; beyond, all are read anew
_NUMBERS: Final = b'"numbers":'  # stands in the endpoints of few accounts; only those are read for it


def _tenant(spec: TenantSpec) -> Tenant:
    account = Key(spec.parent, spec.account) if spec.parent else None
    return Tenant(spec.id, spec.currency, zone(spec.timezone), spec.parent, account)


def _plans(specs: Iterable[RatePlanSpec], tables: Mapping[Key, RateTable]) -> dict[Key, RatePlan]:
    stated = {Key(spec.tenant, spec.id): spec for spec in specs}
    made: dict[Key, RatePlan] = {}

    def plan(key: Key) -> RatePlan:
        if key not in made:
            spec = stated[key]
            made[key] = RatePlan(
                spec.id,
                tuple(tables[Key(spec.tenant, name)] for name in spec.tables),
                plan(Key(spec.tenant, spec.inherits)) if spec.inherits else None,
                Markup(spec.markup_percent, spec.markup_per_minute, spec.markup_minimum),
                tuple(tables[Key(spec.tenant, name)] for name in spec.on_net),
            )
        return made[key]

    return {key: plan(key) for key in stated}


def _dated(tenant: str, plans: Iterable[PlanFrom]) -> tuple[DatedPlan, ...]:
    return tuple(DatedPlan(entry.begins, Key(tenant, entry.plan)) for entry in plans)


class _Prices:
    """What the terms of accounts name: groups of destinations, classes of service, bundles, and the plans."""

    def __init__(self, configuration: Configuration, plans: Mapping[Key, RatePlan]) -> None:
        self._plans = plans
        self._tenants = {spec.id: spec for spec in configuration.tenants}
        standard = {each.tenant: _code_list(each) for each in configuration.code_lists if each.standard}
        self._groups = {
            (spec.tenant, spec.id): frozenset(_group(spec, standard.get(spec.tenant)))
            for spec in configuration.destination_groups
        }
        self._classes = {(spec.tenant, spec.id): self._class(spec) for spec in configuration.classes_of_service}
        self._bundles: dict[tuple[str, str], tuple[Bundle, ...]] = {}
        for spec in configuration.bundles:
            place = (spec.tenant, spec.account)
            self._bundles[place] = (*self._bundles.get(place, ()), self._bundle(spec))
        self._limits = LimitsStated(
            configuration.channel_packages,
            configuration.fraud_rules,
            frozenset((spec.parent, spec.account) for spec in configuration.tenants if spec.parent),
            self._prefixes,
        )

    def bundles(self, account: Key) -> tuple[Bundle, ...]:
        """Return the bundles of an account in the order of use: by priority, then by their ids."""
        found = self._bundles.get(account, ())
        return tuple(sorted(found, key=lambda bundle: bundle.priority))

    def warnings(self, spec: AccountSpec) -> WarningTerms:
        """Return when calls of an account are warned: as it states, else its tenant."""
        tenant = self._tenants.get(spec.tenant)
        low, cutoff, hears = spec.low_balance_warning_seconds, spec.cutoff_warning_seconds, spec.warn
        if tenant is not None:
            low = tenant.low_balance_warning_seconds if low is None else low
            cutoff = tenant.cutoff_warning_seconds if cutoff is None else cutoff
            hears = tenant.warn if hears is None else hears
        return WarningTerms(low or 0, spec.low_balance_warning, cutoff or 0, hears or Hears.CALLER)

    @property
    def limits(self) -> LimitsStated:
        """What packages and fraud rules say of accounts."""
        return self._limits

    def rates(self, spec: AccountSpec) -> AccountRates | None:
        """Return what an account alone is asked, None where that is nothing."""
        if not spec.overrides and not spec.class_of_service:
            return None
        overrides = MappingProxyType({override.prefix: override.rate for override in spec.overrides})
        return AccountRates(self._policy(spec), overrides, self._classes.get((spec.tenant, spec.class_of_service)))

    def _policy(self, spec: AccountSpec) -> Policy:
        """Return what a price that beats no row is rounded by: the first table of the account's first plan."""
        plans = (self._plans.get(Key(spec.tenant, dated.plan)) for dated in spec.rate_plan)
        tables = (marked.table for plan in plans if plan is not None for marked in plan.marked_tables)
        first = next(tables, None)
        return first.policy if first is not None else Policy(OVERRIDE, 0, spec.currency)

    def _class(self, spec: ClassOfServiceSpec) -> ClassOfService:
        allow = self._prefixes(spec.tenant, spec.allow, spec.allow_groups)
        return ClassOfService(spec.id, allow, self._prefixes(spec.tenant, spec.block, spec.block_groups))

    def _bundle(self, spec: BundleSpec) -> Bundle:
        prefixes = self._prefixes(spec.tenant, spec.prefixes, (spec.group,) if spec.group else ())
        return Bundle(spec.id, spec.units, spec.unit, spec.period, spec.rollover, prefixes, spec.priority)

    def _prefixes(self, tenant: str, prefixes: Iterable[str], groups: Iterable[str]) -> frozenset[str]:
        stated = frozenset("" if prefix == EVERY_NUMBER else prefix for prefix in prefixes)
        return stated.union(*(self._groups[tenant, name] for name in groups))


def _group(spec: DestinationGroupSpec, standard: CodeList | None) -> Iterable[str]:
    yield from spec.prefixes
    if standard is not None:
        for name in spec.destinations:
            yield from standard.prefixes_of(name)


def _terms(spec: AccountSpec, prices: _Prices) -> AccountTerms:
    """Return what was agreed with an account, without what is its own: number, bundles, packages, rules, endpoints."""
    # Where no floor is stated at all, no call is sold at a loss.
    unstated = spec.margin_floor_percent is None and spec.margin_floor_per_minute is None
    return AccountTerms(
        number=0, key=Key(spec.tenant, spec.id), kind=spec.kind,
        currency=spec.currency, zone=zone(spec.timezone), credit_limit=spec.credit_limit, status=spec.status,
        plans=_dated(spec.tenant, spec.rate_plan), inbound_plans=_dated(spec.tenant, spec.inbound_rate_plan),
        country=spec.country, channels_total=spec.channels_total, channels_in=spec.channels_in,
        channels_out=spec.channels_out, calls_per_second=spec.calls_per_second, daily_spend=spec.daily_spend,
        max_call_seconds=spec.max_call_seconds, max_call_charge=spec.max_call_charge,
        margin_floor_percent=0 if unstated else spec.margin_floor_percent,
        margin_floor_per_minute=spec.margin_floor_per_minute, rates=prices.rates(spec),
        inbound_kind=spec.inbound_kind, inbound_credit_limit=spec.inbound_credit_limit,
        when_empty=spec.suspend_when_empty,
        monthly_spend=spec.monthly_spend, over_channels=spec.over_channels, channel_surcharge=spec.channel_surcharge,
        channel_surcharge_per_minute=spec.channel_surcharge_per_minute,
        warnings=prices.warnings(spec),
    )  # fmt: skip


def _carriers(configuration: Configuration, numbers: Numbers) -> dict[str, tuple[Carrier, ...]]:
    by_tenant: dict[str, tuple[Carrier, ...]] = {}
    names = {Key(spec.tenant, spec.id): spec.name for spec in configuration.rate_tables if spec.name}
    for spec in configuration.carriers:
        table = Key(spec.tenant, spec.rate_table)
        beside = [key for key, name in names.items() if (key.tenant, name) == (spec.tenant, names.get(table))]
        carrier = Carrier(
            numbers["carrier", spec.tenant, spec.id], Key(spec.tenant, spec.id), table, spec.dial, spec.channels,
            spec.status, spec.tech_prefix, spec.calls_per_second, spec.weight,
            tuple(sorted(key for key in beside if key != table)),
        )  # fmt: skip
        by_tenant[spec.tenant] = (*by_tenant.get(spec.tenant, ()), carrier)
    return by_tenant
