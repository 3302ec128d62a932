"""Configured objects: kept as they are stated, changed with who, when, what and why, never left to point at nothing.

What a scenario file states and what a person changed since meet field by field: a field that the file states anew wins,
one that the file states as it did before keeps what the person made of it. So a suspended account stays suspended
when the same file is applied at the next start.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import msgspec

from daemon.authorize.catalog import Status
from daemon.authorize.dids import place
from daemon.charging.configuration import (
    AccountSpec,
    AsteriskSpec,
    BundleSpec,
    CarrierSpec,
    ClassOfServiceSpec,
    CodeListSpec,
    Configuration,
    ConversionSpec,
    DestinationGroupSpec,
    EndpointSpec,
    FreeswitchSpec,
    NasSpec,
    RatePlanSpec,
    RateTableSpec,
    RateTypeSpec,
    TenantSpec,
    TimeBandSpec,
    TokenSpec,
)
from daemon.charging.limits_stated import ChannelPackageSpec, FraudRuleSpec
from daemon.charging.ports import StoreError
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.ledger import posting
from daemon.ledger.account import Entry, EntryKind, Standing
from daemon.store import standing_row
from daemon.store.currency_faults import alterations, currency_faults
from daemon.store.link import Link
from daemon.store.rate_faults import plan_currencies, rate_faults, too_many_rules
from daemon.store.standing_row import READ, WRITTEN

Spec = (
    TenantSpec
    | RateTableSpec
    | RatePlanSpec
    | CarrierSpec
    | AccountSpec
    | NasSpec
    | FreeswitchSpec
    | AsteriskSpec
    | TokenSpec
    | TimeBandSpec
    | RateTypeSpec
    | CodeListSpec
    | DestinationGroupSpec
    | ClassOfServiceSpec
    | BundleSpec
    | ConversionSpec
    | ChannelPackageSpec
    | FraudRuleSpec
)
KINDS: dict[str, type[Spec]] = {
    "tenant": TenantSpec, "rate_table": RateTableSpec, "rate_plan": RatePlanSpec, "carrier": CarrierSpec,
    "account": AccountSpec, "nas": NasSpec, "freeswitch": FreeswitchSpec, "asterisk": AsteriskSpec, "token": TokenSpec,
    "time_band": TimeBandSpec, "rate_type": RateTypeSpec, "code_list": CodeListSpec,
    "destination_group": DestinationGroupSpec, "class_of_service": ClassOfServiceSpec, "bundle": BundleSpec,
    "conversion": ConversionSpec, "channel_package": ChannelPackageSpec, "fraud_rule": FraudRuleSpec,
}  # fmt: skip
_GROUPS = {
    "tenant": "tenants", "rate_table": "rate_tables", "rate_plan": "rate_plans", "carrier": "carriers",
    "account": "accounts", "nas": "nas", "freeswitch": "freeswitch", "asterisk": "asterisk", "token": "tokens",
    "time_band": "time_bands", "rate_type": "rate_types", "code_list": "code_lists",
    "destination_group": "destination_groups", "class_of_service": "classes_of_service", "bundle": "bundles",
    "conversion": "conversions", "channel_package": "channel_packages", "fraud_rule": "fraud_rules",
}  # fmt: skip
assert KINDS.keys() == _GROUPS.keys()
_KIND_OF = {made: kind for kind, made in KINDS.items()}
_SECRET = frozenset({"password", "ha1", "secret", "sha256", "identities"})
_UNTOLD = _SECRET | {"codes"}  # fields that a change names without their values; a code list has thousands
_FIXED: dict[type[Spec], tuple[str, ...]] = {
    TenantSpec: ("currency", "parent"), RateTableSpec: ("currency",), AccountSpec: ("currency",),
}  # fmt: skip
NANO_FIELDS = frozenset({  # of any object, in nano-units or nano-percent
    "balance", "channel_surcharge", "channel_surcharge_per_minute", "credit_limit", "daily_spend",
    "inbound_credit_limit", "low_balance_warning", "margin_floor_per_minute", "margin_floor_percent",
    "markup_minimum", "markup_per_minute", "markup_percent", "max_call_charge", "monthly_price", "monthly_spend",
    "rate", "spend",
})  # fmt: skip
_INSTANTS = frozenset({"begins", "ends", "expires_at"})
_NOTHING_STATED = {
    "credit_limit": "unlimited", "inbound_credit_limit": "unlimited", "ends": "never", "expires_at": "never",
}  # fmt: skip
ACCOUNTS_PAGE = 1_000  # accounts held at once where all are looked at
S = TypeVar("S", bound=Spec)
Place = tuple[str, str, str]  # kind, tenant, id


class Refused(StoreError):
    """What was asked cannot be done as asked; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that differs: ``act`` is create or change; ``detail`` names the fields, secrets without values."""

    act: str
    kind: str
    key: str
    detail: str = ""


def kind_of(spec: Spec) -> str:
    """Return the kind of an object."""
    return _KIND_OF[type(spec)]


def place_of(spec: Spec) -> Place:
    """Return the kind, tenant and id of an object; a tenant is in no tenant."""
    return kind_of(spec), "" if isinstance(spec, TenantSpec) else spec.tenant, spec.id


def shown(place: Place) -> str:
    """Return ``tenant/id``."""
    return f"{place[1]}/{place[2]}" if place[1] else place[2]


def found(connection: Link, place: Place) -> Spec | None:
    """Return an object as it is, None where there is none."""
    row = connection.execute(
        "SELECT body FROM config_object WHERE kind = ? AND tenant = ? AND id = ?", place
    ).fetchone()
    return decoded(place[0], row[0]) if row is not None else None


def decoded(kind: str, body: bytes) -> Spec:
    """Return an object as it is stored."""
    return msgspec.json.decode(body, type=KINDS[kind])


def configuration_of(revision: int, rows: Iterable[tuple[Any, ...]]) -> Configuration:
    """Return the configuration of rows of kind and body."""
    return _grouped(revision, ((kind, decoded(kind, body)) for kind, body in rows))


def _grouped(revision: int, specs: Iterable[tuple[str, Spec]]) -> Configuration:
    groups: dict[str, list[Spec]] = {name: [] for name in _GROUPS.values()}
    for kind, spec in specs:
        groups[_GROUPS[kind]].append(spec)
    return Configuration(revision, **{name: tuple(specs) for name, specs in groups.items()})  # type: ignore[arg-type]


def with_specs(configuration: Configuration, specs: Iterable[Spec]) -> Configuration:
    """Return a configuration in which objects are as they are given, the others as they were, all in order."""
    known: dict[Place, Spec] = {}
    for name in _GROUPS.values():
        known |= {place_of(spec): spec for spec in getattr(configuration, name)}
    known |= {place_of(spec): spec for spec in specs}
    return _grouped(configuration.revision, ((place[0], known[place]) for place in sorted(known)))


def bump(connection: Link) -> None:
    """Count a change of the configuration; running daemons follow."""
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('revision', 1) ON CONFLICT (name) DO UPDATE SET value = meta.value + 1"
    )


def make_so(connection: Link, spec: Spec, who: str, reason: str, now: Instant) -> ObjectChange | None:
    """Create or change one object by a person's command; None where it is so already. Raises Refused."""
    return _written(connection, found(connection, place_of(spec)), spec, who, reason, now)


def make_as_stated(
    connection: Link, spec: Spec, who: str, reason: str, now: Instant
) -> tuple[ObjectChange | None, str]:
    """Create or change one object as a file states it; return the change and what was kept of a person's. Refused."""
    row = connection.execute(
        "SELECT body, stated FROM config_object WHERE kind = ? AND tenant = ? AND id = ?", place_of(spec)
    ).fetchone()
    if row is not None:
        return compared(connection, spec, row, who, reason, now)
    change = _written(connection, None, spec, who, reason, now)
    _note_stated(connection, spec)
    return change, ""


def compared(
    connection: Link, spec: Spec, row: tuple[bytes, bytes | None], who: str, reason: str, now: Instant
) -> tuple[ObjectChange | None, str]:
    """Change one object, whose body and statement are given, as a file states it. Returns and raises as above."""
    kind = kind_of(spec)
    earlier = decoded(kind, row[0])
    stated = decoded(kind, row[1]) if row[1] is not None else None
    wanted, kept = _met(earlier, stated, spec)
    change = _written(connection, earlier, wanted, who, reason, now)
    if stated != spec:
        _note_stated(connection, spec)
    return change, kept


def _note_stated(connection: Link, spec: Spec) -> None:
    connection.execute(
        "UPDATE config_object SET stated = ? WHERE kind = ? AND tenant = ? AND id = ?",
        (msgspec.json.encode(spec), *place_of(spec)),
    )


def _met(earlier: Spec, stated: Spec | None, spec: S) -> tuple[S, str]:
    """Return the object on which file and persons agree, and the fields in which a person's choice was kept."""
    keeping: dict[str, object] = {}
    for name in (field.name for field in fields(spec)):
        mine, theirs = getattr(earlier, name), getattr(spec, name)
        unmoved = stated is not None and getattr(stated, name) == theirs
        if mine != theirs and (unmoved or name == "balance"):
            keeping[name] = mine
    kept = ", ".join(
        name if name in _UNTOLD else f"{name}: {told(earlier, name)}" for name in keeping if name != "balance"
    )
    return replace(spec, **keeping), kept  # type: ignore[arg-type]  # values of the same class's fields


def _written(
    connection: Link, earlier: Spec | None, spec: Spec, who: str, reason: str, now: Instant
) -> ObjectChange | None:
    if earlier == spec:
        return None
    place = place_of(spec)
    detail = "" if earlier is None else _forbidden_or_named(earlier, spec)
    connection.execute(
        "INSERT INTO config_object (kind, tenant, id, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (kind, tenant, id) DO UPDATE SET body = excluded.body",
        (*place, msgspec.json.encode(spec)),
    )
    act = "create" if earlier is None else "change"
    note(connection, place, act, detail, who, reason, now)
    if earlier is None:
        _open_account(connection, spec, who, now)
    if isinstance(spec, AccountSpec) and isinstance(earlier, AccountSpec):
        _resume(connection, earlier, spec)
    return ObjectChange(act, place[0], shown(place), detail)


def _resume(connection: Link, earlier: AccountSpec, spec: AccountSpec) -> None:
    """Let what fraud rules count begin anew, and what they still ask for rest, of an account that may call again."""
    if spec.status is not Status.ACTIVE or earlier.status is Status.ACTIVE:
        return
    place = (spec.tenant, spec.id)
    connection.execute("UPDATE account SET windows = NULL WHERE role = 'customer' AND tenant = ? AND id = ?", place)
    connection.execute("UPDATE event SET is_done = 1 WHERE is_done = 0 AND tenant = ? AND account = ?", place)


def note(connection: Link, place: Place, act: str, detail: str, who: str, reason: str, now: Instant) -> None:
    """Put on record who did what to an object, when and why."""
    connection.execute(
        "INSERT INTO audit (at, kind, tenant, id, act, detail, who, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (now, *place, act, detail, who, reason),
    )


def _forbidden_or_named(earlier: Spec, spec: Spec) -> str:
    """Return the fields that differ. Refuses a change that would make figures of the past mean something else."""
    names = [field.name for field in fields(spec) if getattr(earlier, field.name) != getattr(spec, field.name)]
    for name in _FIXED.get(type(spec), ()):
        if name in names:
            raise Refused(
                f"{kind_of(spec)} {shown(place_of(spec))}: {name} is {getattr(earlier, name) or 'none'} and cannot be"
                f" changed to {getattr(spec, name) or 'none'}: make a new one"
            )
    return ", ".join(
        name if name in _UNTOLD else f"{name}: {told(earlier, name)} -> {told(spec, name)}" for name in names
    )


def told(spec: Spec, name: str) -> str:
    """Return a field as people write it: money and rates as decimals, dates as dates, and words for none."""
    value = getattr(spec, name)
    if value is None:
        return _NOTHING_STATED.get(name, "none")
    if name in _INSTANTS:
        return format_rfc3339(value)
    return str(_written_out(name, msgspec.to_builtins(value)))


def _written_out(name: str, value: object) -> object:
    """Return a value as a file states it: what is kept in nano-units as a decimal, also within a list."""
    if isinstance(value, list | tuple):
        return [_written_out(name, each) for each in value]
    if isinstance(value, dict):
        return {key: _written_out(key, each) for key, each in value.items()}
    return format_nano(value) if name in NANO_FIELDS and isinstance(value, int) else value


def _open_account(connection: Link, spec: Spec, who: str, now: Instant) -> None:
    """Give an account or carrier its number, and an account the balance with which it begins, once."""
    if not isinstance(spec, AccountSpec | CarrierSpec):
        return
    role = "customer" if isinstance(spec, AccountSpec) else "carrier"
    connection.execute("INSERT INTO account (role, tenant, id) VALUES (?, ?, ?)", (role, spec.tenant, spec.id))
    if isinstance(spec, AccountSpec) and spec.balance:
        standing = standing_of(connection, spec.tenant, spec.id)
        write_postings(connection, opening(standing, spec.balance, who, now))


def opening(standing: Standing, balance: int, who: str, now: Instant) -> list[posting.Posting]:
    """Return the postings of the balance, not 0, with which an account begins."""
    kind = EntryKind.TOP_UP if balance > 0 else EntryKind.ADJUST
    return posting.credit(standing, kind, balance, now, key="opening", who=who, reason="opening balance")


def no_account(key: Key) -> str:
    """Return what to say of an account that is not there."""
    return f"there is no account {key}: another tenant's is named TENANT/ID, a new one is made by 'account create'"


def standing_of(connection: Link, tenant: str, name: str) -> Standing:
    """Return the standing of a customer's account, which nobody else changes then. Raises Refused for none."""
    row = connection.execute(
        f"SELECT {', '.join(READ)} FROM account WHERE role = 'customer' AND tenant = ? AND id = ?" + connection.locking,
        (tenant, name),
    ).fetchone()
    if row is None:
        raise Refused(no_account(Key(tenant, name)))
    return standing_row.standing_of(row)


def write_posting(connection: Link, standing: Standing, entry: Entry) -> None:
    """Write one entry and the standing after it, outside a batch."""
    write_postings(connection, [(standing, entry)])


def write_postings(connection: Link, postings: Sequence[posting.Posting]) -> None:
    """Write entries, and the standing after each, outside a batch."""
    connection.executemany(
        "UPDATE account SET " + ", ".join(f"{name} = ?" for name in WRITTEN) + " WHERE number = ?",
        [(*standing_row.row_of(standing)[1:], standing.account) for standing, _ in postings],
    )
    rows = [entry._asdict() | {"kind": entry.kind.value, "key": entry.key or None} for _, entry in postings]
    connection.insert("entry", Entry._fields, [tuple(row.values()) for row in rows])


def refuse_altered(connection: Link, specs: Iterable[Spec], now: Instant) -> None:
    """Refuse, before anything is written, rates between currencies that would alter one that has been in force."""
    wanted = [spec for spec in specs if isinstance(spec, ConversionSpec)]
    if not wanted:
        return
    rows = connection.execute("SELECT body FROM config_object WHERE kind = 'conversion'")
    before = [msgspec.json.decode(body, type=ConversionSpec) for (body,) in rows]
    faults = list(alterations(before, wanted, now))
    if faults:
        raise Refused(*faults)


def accounts_with(name: str, value: str, connection: Link) -> list[AccountSpec]:
    """Return the accounts that have an endpoint of which a field has a value."""
    # The text is sought in the JSON as the store's encoder writes it; what has it is then looked at field by field.
    found = _accounts_holding(msgspec.json.encode({name: value})[1:-1], connection)
    return [spec for spec in found if any(getattr(each, name) == value for each in spec.identities)]


def accounts_with_did(number: str, connection: Link) -> list[AccountSpec]:
    """Return the accounts that claim a number, by itself or in a range, at some time."""
    listed = accounts_with("did", number, connection)
    ranged = [spec for spec in _accounts_holding(b'"did_last":', connection) if spec not in listed]
    return listed + [spec for spec in ranged if any(_spans(each, number) for each in spec.identities)]


def _spans(endpoint: EndpointSpec, number: str) -> bool:
    return bool(endpoint.did_last) and place(endpoint.did) <= place(number) <= place(endpoint.did_last)


def _accounts_holding(written: bytes, connection: Link) -> Iterator[AccountSpec]:
    holds = "instr(body, ?) > 0" if connection.dialect == "sqlite" else "position(? in body) > 0"
    query = f"SELECT body FROM config_object WHERE kind = 'account' AND {holds} ORDER BY tenant, id"
    return (msgspec.json.decode(body, type=AccountSpec) for (body,) in connection.execute(query, (written,)))


def others(connection: Link) -> Configuration:
    """Return every object but the accounts."""
    kinds = tuple(kind for kind in KINDS if kind != "account")
    query = (
        f"SELECT kind, body FROM config_object WHERE kind IN ({', '.join('?' * len(kinds))}) ORDER BY kind, tenant, id"
    )
    return configuration_of(0, connection.execute(query, kinds))


def refuse_dangling(connection: Link, changed: Iterable[Spec], before: Configuration) -> None:
    """Refuse, within the transaction, what the daemon could not load. Raises Refused with all faults.

    ``changed`` are the objects that the transaction wrote, ``before`` all others but accounts as they were. No object
    ever goes, so that an account which was written by nobody stays without fault, unless a plan changed its currency.
    """
    written = tuple(changed)
    after = others(connection)
    bundles = tuple(spec for spec in written if isinstance(spec, BundleSpec))
    packages = tuple(spec for spec in written if isinstance(spec, ChannelPackageSpec))
    rules = tuple(spec for spec in written if isinstance(spec, FraudRuleSpec))
    places = {(tenant.parent, tenant.account) for tenant in after.tenants if tenant.parent}
    places |= {(spec.tenant, spec.account) for spec in bundles}
    places |= {(spec.tenant, spec.account) for spec in packages}
    places |= {(spec.tenant, spec.account) for spec in rules if spec.account}
    places |= {(spec.tenant, spec.id) for spec in written if isinstance(spec, AccountSpec)}
    named = (found(connection, ("account", *place)) for place in sorted(places))
    known = {place_of(spec): spec for spec in named if isinstance(spec, AccountSpec)}
    for spec in (*_repriced(connection, before, after), *_one_of_each_currency(connection, written)):
        known[place_of(spec)] = spec
    accounts = tuple(known[place] for place in sorted(known))
    limited = replace(after, accounts=accounts, bundles=bundles, channel_packages=packages, fraud_rules=rules)
    faults = [*_faults(limited), *too_many_rules(after)]
    if faults:
        raise Refused(*faults)


def _repriced(connection: Link, before: Configuration, after: Configuration) -> Iterator[AccountSpec]:
    """Yield the accounts by plans whose currency is another than before."""
    now = plan_currencies(after)
    moved = {place for place, currencies in plan_currencies(before).items() if now[place] != currencies}
    if not moved:
        return
    for spec in _all_accounts(connection):
        if any((spec.tenant, dated.plan) in moved for dated in (*spec.rate_plan, *spec.inbound_rate_plan)):
            yield spec


def _one_of_each_currency(connection: Link, written: Iterable[Spec]) -> Iterable[AccountSpec]:
    """Return an account for each tenant and currency where a carrier or a tenant was written: they have to convert."""
    if not any(isinstance(spec, CarrierSpec | TenantSpec) for spec in written):
        return ()
    found: dict[tuple[str, str], AccountSpec] = {}
    for spec in _all_accounts(connection):
        found.setdefault((spec.tenant, spec.currency), spec)
    return found.values()


def _all_accounts(connection: Link) -> Iterator[AccountSpec]:
    for page in connection.pages("SELECT body FROM config_object WHERE kind = 'account'", (), ACCOUNTS_PAGE):
        for (body,) in page:
            yield msgspec.json.decode(body, type=AccountSpec)


def _ambiguous_vouchers(configuration: Configuration) -> Iterator[str]:
    """A ``via`` names a peer by its id alone, so one id in two tenants would let one vouch for the other's callers."""
    owners: dict[str, str] = {}
    live = tuple(token for token in configuration.tokens if not token.revoked)
    peers: tuple[NasSpec | FreeswitchSpec | AsteriskSpec | TokenSpec, ...] = (
        *configuration.nas, *configuration.freeswitch, *configuration.asterisk, *live,
    )  # fmt: skip
    for spec in peers:
        tenant = owners.setdefault(spec.id, spec.tenant)
        if tenant != spec.tenant:
            yield f"{kind_of(spec)} {spec.tenant}/{spec.id}: tenant {tenant} has a peer of this id; give it another"


def _faults(configuration: Configuration) -> Iterator[str]:
    yield from _ambiguous_vouchers(configuration)
    tenants = {tenant.id: tenant for tenant in configuration.tenants}
    accounts = {(spec.tenant, spec.id): spec for spec in configuration.accounts}
    owners = [tenant.id for tenant in configuration.tenants if not tenant.parent]
    if len(owners) > 1:
        yield f"tenants {', '.join(owners)} have no parent: only the owner has none"
    for tenant in configuration.tenants:
        yield from _tenant_faults(tenant, tenants, accounts)
    yield from _homeless(configuration, tenants)
    yield from rate_faults(configuration)
    yield from currency_faults(configuration)


def _tenant_faults(
    tenant: TenantSpec, tenants: dict[str, TenantSpec], accounts: dict[tuple[str, str], AccountSpec]
) -> Iterator[str]:
    if not tenant.parent:
        return
    trunk = accounts.get((tenant.parent, tenant.account))
    if tenant.parent not in tenants:
        yield f"tenant {tenant.id}: there is no tenant {tenant.parent}, its parent"
    elif trunk is None:
        yield f"tenant {tenant.id}: there is no account {tenant.parent}/{tenant.account}, its own with its parent"
    above, seen = tenant.parent, {tenant.id}
    while above in tenants and above not in seen:
        seen.add(above)
        above = tenants[above].parent
    if above == tenant.id:
        yield f"tenant {tenant.id} is its own ancestor"


def _homeless(configuration: Configuration, tenants: dict[str, TenantSpec]) -> Iterator[str]:
    for name in _GROUPS.values():
        for spec in getattr(configuration, name):
            if not isinstance(spec, TenantSpec) and spec.tenant not in tenants:
                yield f"{kind_of(spec)} {shown(place_of(spec))}: there is no tenant {spec.tenant}"
