"""What an operator states in a scenario file, as finished values, and how the catalog is built of them.

A value here was validated: money is nano-units, times are instants, ids are ids, references exist.
The store keeps each object as it is stated, so that ``apply`` can tell what differs; the catalog is computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from daemon.authorize.catalog import (
    MAX_CALL_SECONDS,
    AccountKind,
    AccountTerms,
    Carrier,
    Catalog,
    DatedPlan,
    Emergency,
    Endpoints,
    Network,
    SipUser,
    Status,
    Tenant,
)
from daemon.kernel.ids import Key
from daemon.kernel.instant import zone
from daemon.kernel.money import Rounding
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable


@dataclass(frozen=True, slots=True)
class TenantSpec:
    """``[[tenant]]``; ``account`` is the id of its own account with ``parent``."""

    id: str
    currency: str
    timezone: str = "UTC"
    parent: str = ""
    account: str = ""


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


@dataclass(frozen=True, slots=True)
class RatePlanSpec:
    """``[[rate_plan]]``: rate tables of the same tenant, in order."""

    tenant: str
    id: str
    tables: tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One of an account's ``identities``: exactly one of sip_user, ip, caller, pin, did is stated."""

    sip_user: str = ""
    password: str = field(default="", repr=False)
    ha1: str = field(default="", repr=False)
    ip: str = ""
    tech_prefix: str = ""
    caller: str = ""
    pin: str = field(default="", repr=False)
    did: str = ""
    via: str = ""


@dataclass(frozen=True, slots=True)
class PlanFrom:
    """A plan's id and the instant (microseconds) from which it is the account's."""

    plan: str
    begins: int = 0


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """``[[account]]``. ``balance``: the opening balance, given once. A limit of None is none; a credit, unlimited."""

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
    max_call_seconds: int = MAX_CALL_SECONDS
    max_call_charge: int | None = None
    margin_floor_percent: int | None = None
    margin_floor_per_minute: int | None = None
    identities: tuple[EndpointSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class NasSpec:
    """``[[nas]]``: a RADIUS client, found by its source address."""

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


@dataclass(frozen=True, slots=True)
class FreeswitchSpec:
    """``[[freeswitch]]``: a switch whose event socket the daemon connects to."""

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


@dataclass(frozen=True, slots=True)
class AsteriskSpec:
    """``[[asterisk]]``: a switch whose manager interface the daemon connects to."""

    id: str
    tenant: str
    host: str = "127.0.0.1"
    port: int = 5038
    username: str = "tollway"
    secret: str = field(default="", repr=False)
    id_domain: str = ""


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

    @property
    def owner(self) -> str:
        """The id of the tenant without a parent."""
        return next((tenant.id for tenant in self.tenants if not tenant.parent), "")


def policy_of(spec: RateTableSpec, version: int) -> Policy:
    """Return what a rate table says of all rows of a version of its deck."""
    return Policy(
        spec.id, version, spec.currency, spec.decimals, spec.rounding, spec.duration_rounding, zone=spec.timezone
    )


Numbers = Mapping[tuple[str, str, str], int]  # (role, tenant, id): the store's number; role is customer or carrier


def build_catalog(
    configuration: Configuration, tables: Mapping[Key, RateTable], numbers: Numbers, emergency: Emergency
) -> Catalog:
    """Return the catalog of a configuration. ``tables`` holds each rate table with the decks in force."""
    accounts = {Key(spec.tenant, spec.id): _terms(spec, numbers) for spec in configuration.accounts}
    return Catalog(
        revision=configuration.revision,
        tenants={spec.id: _tenant(spec) for spec in configuration.tenants},
        accounts=accounts,
        by_number={terms.number: terms for terms in accounts.values()},
        plans={Key(spec.tenant, spec.id): _plan(spec, tables) for spec in configuration.rate_plans},
        tables=dict(tables),
        carriers=_carriers(configuration.carriers, numbers),
        endpoints=_endpoints(configuration.accounts),
        emergency=emergency,
    )


def _tenant(spec: TenantSpec) -> Tenant:
    account = Key(spec.parent, spec.account) if spec.parent else None
    return Tenant(spec.id, spec.currency, zone(spec.timezone), spec.parent, account)


def _plan(spec: RatePlanSpec, tables: Mapping[Key, RateTable]) -> RatePlan:
    return RatePlan(spec.id, tuple(tables[Key(spec.tenant, name)] for name in spec.tables))


def _dated(tenant: str, plans: Iterable[PlanFrom]) -> tuple[DatedPlan, ...]:
    return tuple(DatedPlan(entry.begins, Key(tenant, entry.plan)) for entry in plans)


def _terms(spec: AccountSpec, numbers: Numbers) -> AccountTerms:
    # Where no floor is stated at all, no call is sold at a loss.
    unstated = spec.margin_floor_percent is None and spec.margin_floor_per_minute is None
    return AccountTerms(
        number=numbers["customer", spec.tenant, spec.id], key=Key(spec.tenant, spec.id), kind=spec.kind,
        currency=spec.currency, zone=zone(spec.timezone), credit_limit=spec.credit_limit, status=spec.status,
        plans=_dated(spec.tenant, spec.rate_plan), inbound_plans=_dated(spec.tenant, spec.inbound_rate_plan),
        country=spec.country, channels_total=spec.channels_total, channels_in=spec.channels_in,
        channels_out=spec.channels_out, calls_per_second=spec.calls_per_second, daily_spend=spec.daily_spend,
        max_call_seconds=spec.max_call_seconds, max_call_charge=spec.max_call_charge,
        margin_floor_percent=0 if unstated else spec.margin_floor_percent,
        margin_floor_per_minute=spec.margin_floor_per_minute,
    )  # fmt: skip


def _carriers(specs: Iterable[CarrierSpec], numbers: Numbers) -> dict[str, tuple[Carrier, ...]]:
    by_tenant: dict[str, tuple[Carrier, ...]] = {}
    for spec in specs:
        carrier = Carrier(
            numbers["carrier", spec.tenant, spec.id], Key(spec.tenant, spec.id), Key(spec.tenant, spec.rate_table),
            spec.dial, spec.channels, spec.status, spec.tech_prefix,
        )  # fmt: skip
        by_tenant[spec.tenant] = (*by_tenant.get(spec.tenant, ()), carrier)
    return by_tenant


def _endpoints(accounts: Iterable[AccountSpec]) -> Endpoints:
    pins: dict[tuple[str, str], tuple[Key, ...]] = {}
    users: dict[str, tuple[SipUser, ...]] = {}
    callers: dict[tuple[str, str], tuple[Key, ...]] = {}
    dids: dict[str, tuple[Key, ...]] = {}
    networks: list[Network] = []
    for account in accounts:
        key = Key(account.tenant, account.id)
        for spec in account.identities:
            if spec.sip_user:
                users[spec.sip_user] = (*users.get(spec.sip_user, ()), SipUser(key, spec.password, spec.ha1))
            elif spec.pin:
                pins[spec.via, spec.pin] = (*pins.get((spec.via, spec.pin), ()), key)
            elif spec.caller:
                callers[spec.via, spec.caller] = (*callers.get((spec.via, spec.caller), ()), key)
            elif spec.did:
                dids[spec.did] = (*dids.get(spec.did, ()), key)
            elif spec.ip:
                networks.append(_network(spec, key))
    networks.sort(key=lambda network: (network.last - network.first, -len(network.tech_prefix)))
    return Endpoints(pins, users, tuple(networks), callers, dids)


def _network(spec: EndpointSpec, key: Key) -> Network:
    network = ip_network(spec.ip, strict=False)
    first, last = int(network.network_address), int(network.broadcast_address)
    return Network(network.version, first, last, spec.tech_prefix, key)
