"""A scenario file to finished objects: tenants, tables and decks, plans, carriers, accounts, peers; all faults at once.

Values are read first, each by its key; then what refers to what is checked over the whole file. A key whose meaning
this release cannot honour is refused by name. Well-known secrets are refused for peers that are not loopback.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from daemon.authorize.catalog import MAX_CALL_SECONDS, AccountKind, Status
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    EndpointSpec,
    FreeswitchSpec,
    NasSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.config_files.keys import (
    REQUIRED,
    Key,
    Unfit,
    choice,
    credit,
    currency,
    flag,
    identifier,
    instant,
    listing,
    money,
    network,
    number,
    optional,
    positive_money,
    read_table,
    refused,
    text,
    whole,
    word,
    zone,
)
from daemon.config_files.positions import Document, Path_, Problem, read_document
from daemon.kernel.ids import Key as Id
from daemon.kernel.money import Rounding
from daemon.rating.deck import RateRow, read_deck

DECK_SIZE_MAX = 512 << 20  # octets; two million rows of the longest kind
PROFILES = ("generic", "cisco", "kamailio", "opensips", "freeswitch", "asterisk", "sippy", "audiocodes")
WELL_KNOWN_SECRETS = frozenset({"testing123", "ClueCon", "secret", "cisco", "radius"})
CALLS_A_SECOND_MAX = 100_000
_DIAL_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-@:;={}+*#")


def dial_string(value: Any) -> str:
    """A dial string with {number} in it."""
    if "{number}" not in text(value):
        raise Unfit("has no {number}, which becomes the digits that are dialled")
    if not set(value) <= _DIAL_SAFE:
        raise Unfit(f"holds {sorted(set(value) - _DIAL_SAFE)}, which would change what a switch does with it")
    return str(value)


def percent(value: Any) -> int:
    """A percentage as a decimal text, nano-percent."""
    return money(value)


def plans(value: Any) -> tuple[PlanFrom, ...]:
    """A plan's id, or a list of plans with the instants from which they hold."""
    if value == "":
        return ()
    if isinstance(value, str):
        return (PlanFrom(identifier(value)),)
    if not isinstance(value, list):
        raise Unfit("write a plan's id, or a list of { plan = ..., from = ... }")
    return tuple(_plan_from(element) for element in value)


def _plan_from(value: Any) -> PlanFrom:
    if not isinstance(value, dict) or set(value) - {"plan", "from"} or "plan" not in value:
        raise Unfit("each element is { plan = ..., from = ... }")
    return PlanFrom(identifier(value["plan"]), instant(value["from"]) if "from" in value else 0)


_TENANT = Key("tenant", identifier, REQUIRED, "the tenant that it belongs to", "id")
_ID = Key("id", identifier, REQUIRED, "unique within its tenant", "id")
_CHANNELS = whole(0, 1_000_000)
TABLES: dict[str, tuple[Key, ...]] = {
    "tenant": (
        _ID,
        Key("parent", optional(identifier), "", "the tenant above; the owner has none", "id"),
        Key("account", optional(identifier), "", "this tenant's own account with its parent", "id"),
        Key("currency", currency, REQUIRED, "its currency", "ISO 4217"),
        Key("timezone", zone, "UTC", "its days and nights", "tz name"),
    ),
    "rate_table": (
        _ID, _TENANT,
        Key("currency", currency, REQUIRED, "of every row", "ISO 4217"),
        Key("timezone", zone, "UTC", "the zone of its time bands", "tz name"),
        Key("deck", text, "", "CSV file of rates, relative to this file", "file"),
        Key("decimals", whole(0, 9), 4, "a charge is rounded to so many places", "0 to 9"),
        Key("rounding", choice(Rounding), Rounding.UP, "how", "up, down, half-up, half-even"),
        Key("duration_rounding", choice(Rounding), Rounding.UP, "of the fraction of a second", "up, half-up, down"),
        Key("split_bands", refused("split calls at time bands", False), False, "later release", "flag"),
        Key("name", optional(identifier), "", "tables of one name are told apart by override", "id"),
        Key("override", refused("choose tables by override", ""), "", "later release", "expression"),
        Key("closed_limit_percent", whole(0, 100), 20, "an import that closes or changes more stops", "percent"),
    ),
    "rate_plan": (
        _ID, _TENANT,
        Key("tables", listing(identifier, 100), REQUIRED, "rate tables, in order", "list of ids"),
        Key("inherits", refused("inherit plans", ""), "", "later release", "id"),
        Key("markup_percent", refused("mark plans up", "0", ""), "0", "later release", "percent"),
        Key("markup_per_minute", refused("mark plans up", "0", ""), "0", "later release", "money"),
        Key("markup_minimum", refused("mark plans up", "0", ""), "0", "later release", "money"),
    ),
    "carrier": (
        _ID, _TENANT,
        Key("rate_table", identifier, REQUIRED, "what it charges us", "id"),
        Key("dial", dial_string, REQUIRED, "dial string; {number} becomes the digits", "text"),
        Key("channels", _CHANNELS, None, "calls at once, at most", "calls"),
        Key("status", choice(Status), Status.ACTIVE, "", "active, suspended, closed"),
        Key("tech_prefix", optional(number), "", "dialled before the number", "digits"),
    ),
    "account": (
        _ID, _TENANT,
        Key("kind", choice(AccountKind), REQUIRED, "pays before or after", "prepaid, postpaid"),
        Key("currency", currency, REQUIRED, "", "ISO 4217"),
        Key("balance", money, 0, "opening balance, given once", "money"),
        Key("credit_limit", credit, REQUIRED, "below zero, at most; prepaid: 0 unless stated", "money or unlimited"),
        Key("rate_plan", plans, (), "of outbound calls, each from a date", "id or list"),
        Key("inbound_rate_plan", plans, (), "of inbound calls", "id or list"),
        Key("country", text, "", "ISO 3166 of its national and emergency numbers", "text"),
        Key("status", choice(Status), Status.ACTIVE, "", "active, suspended, closed"),
        Key("timezone", zone, "UTC", "its own day", "tz name"),
        Key("channels", lambda value: value, {}, "{ total, inbound, outbound }: calls at once", "table"),
        Key("over_channels", refused("admit calls at a surcharge", "refuse"), "refuse", "later release", "word"),
        Key("channel_surcharge", refused("charge surcharges", "0", "0.00", ""), "0", "later release", "money"),
        Key("calls_per_second", whole(1, CALLS_A_SECOND_MAX), None, "granted in one second, at most", "calls"),
        Key("max_call_seconds", whole(1, 86_400), MAX_CALL_SECONDS, "the longest call", "seconds"),
        Key("max_call_charge", positive_money, None, "the dearest call", "money"),
        Key("daily_spend", positive_money, None, "a day of its own zone, reservations counted", "money"),
        Key("margin_floor_percent", percent, None, "of the sell price, at least", "percent"),
        Key("margin_floor_per_minute", money, None, "a minute, at least", "money"),
        Key("class_of_service", refused("apply classes of service", ""), "", "later release", "id"),
        Key("identities", lambda value: value, [], "how calls find this account", "list of tables"),
        Key("overrides", refused("override single prefixes", []), [], "later release", "list"),
    ),
    "nas": (
        _ID, _TENANT,
        Key("address", network, REQUIRED, "source address or network", "IP"),
        Key("secret", text, REQUIRED, "shared secret", "text"),
        Key("profile", word(*PROFILES), "generic", "what it sends and understands", "word"),
        Key("id_domain", optional(identifier), "", "sources that see the same call ids share one", "id"),
        Key("trust_user_name", flag, False, "believe a User-Name without a credential", "flag"),
        Key("disconnect", refused("send Disconnect-Requests", ""), "", "later release", "address:port"),
        Key("coa", refused("send CoA-Requests", ""), "", "later release", "address:port"),
        Key("require_message_authenticator", flag, False, "discard an Access-Request without one", "flag"),
        Key("routing", flag, None, "the daemon chooses the carriers; default: where there are any", "flag"),
    ),
    "freeswitch": (
        _ID, _TENANT,
        Key("host", text, "127.0.0.1", "its event socket", "host"),
        Key("port", whole(1, 65_535), 8021, "", "port"),
        Key("password", text, "ClueCon", "of its event socket", "text"),
        Key("id_domain", optional(identifier), "", "as for nas", "id"),
        Key("strip_digits", whole(0, 17), 0, "leading digits that are the dialplan's own", "digits"),
        Key("charged_contexts", listing(text, 100), (), "where a call without an account is an exception", "list"),
        Key("cgr_aliases", flag, False, "read and write the cgr_ variables of old dialplans", "flag"),
        Key("routing", flag, None, "as for nas", "flag"),
    ),
}  # fmt: skip
IDENTITY = (
    Key("sip_user", text, "", "user name of a SIP account", "text"),
    Key("password", text, "", "of the SIP user", "text"),
    Key("ha1", text, "", "MD5 of user:realm:password, instead of a password", "text"),
    Key("ip", network, "", "source address or network", "IP"),
    Key("tech_prefix", optional(number), "", "with ip: leads the dialled number and comes off", "digits"),
    Key("caller", number, "", "caller number; needs via", "digits"),
    Key("pin", text, "", "calling-card PIN; needs via", "text"),
    Key("did", number, "", "called number of inbound calls", "digits"),
    Key("via", text, "", "the nas, switch or token that vouches", "id"),
)
_LIMITS = tuple(Key(name, _CHANNELS, None, "", "calls") for name in ("total", "inbound", "outbound"))
_LATER = {
    "bundle": "give bundles", "time_band": "price time bands", "class_of_service": "apply classes of service",
    "asterisk": "link to Asterisk",
}  # fmt: skip
_KINDS = ("sip_user", "ip", "caller", "pin", "did")


@dataclass
class Scenario:
    """The objects of a file; ``decks`` holds the rows of each table that names one."""

    tenants: tuple[TenantSpec, ...] = ()
    rate_tables: tuple[RateTableSpec, ...] = ()
    rate_plans: tuple[RatePlanSpec, ...] = ()
    carriers: tuple[CarrierSpec, ...] = ()
    accounts: tuple[AccountSpec, ...] = ()
    nas: tuple[NasSpec, ...] = ()
    freeswitch: tuple[FreeswitchSpec, ...] = ()
    decks: dict[Id, list[RateRow]] = field(default_factory=dict)

    @property
    def objects(self) -> tuple[Any, ...]:
        """Every object, those that others refer to first."""
        return (
            *self.tenants, *self.rate_tables, *self.rate_plans, *self.carriers, *self.accounts, *self.nas,
            *self.freeswitch,
        )  # fmt: skip


@dataclass(frozen=True)
class _Row:
    path: Path_
    values: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.values.get("id", ""))

    @property
    def key(self) -> Id:
        return Id(str(self.values.get("tenant", "")), self.id)


def read_scenario(path: Path) -> tuple[Scenario | None, list[Problem]]:
    """Return the objects of a scenario file, or None with every fault of it and of its decks."""
    document = read_document(path)
    rows: dict[str, list[_Row]] = {name: [] for name in TABLES}
    for name, value in document.values.items():
        _read_tables(document, name, value, rows)
    if document.values:
        _check(document, rows)
    scenario = _Builder(document, rows)
    made = scenario.built()
    decks, problems = _decks(document, path, rows["rate_table"])
    if document.problems or problems:
        return None, sorted([*document.problems, *problems])
    made.decks = decks
    return made, []


def _read_tables(document: Document, name: str, value: object, rows: dict[str, list[_Row]]) -> None:
    if name in _LATER:
        document.report((name,), f"this release does not know how to {_LATER[name]} yet: leave the table out")
    elif name not in TABLES:
        document.report((name,), f"unknown table; there are {', '.join(f'[[{known}]]' for known in TABLES)}")
    elif not isinstance(value, list):
        document.report((name,), f"write [[{name}]] in double brackets")
    else:
        for place, element in enumerate(value):
            keys = TABLES[name]
            if name == "account" and isinstance(element, dict) and element.get("kind") == "prepaid":
                keys = tuple(Key(k.name, k.read, 0, k.meaning) if k.name == "credit_limit" else k for k in keys)
            rows[name].append(_Row((name, place), read_table(document, (name, place), element, keys)))


def _check(document: Document, rows: dict[str, list[_Row]]) -> None:
    _unique(document, rows)
    tenants = {row.id: row for row in rows["tenant"]}
    owners = [row for row in rows["tenant"] if not row.values.get("parent")]
    if len(owners) != 1:
        document.report(("tenant",), f"there are {len(owners)} tenants without a parent; exactly one is the owner")
    for name, found in rows.items():
        for row in found if name != "tenant" else ():
            tenant = row.values.get("tenant")
            if tenant is not None and tenant not in tenants:
                document.report((*row.path, "tenant"), f"there is no tenant {tenant}")
    accounts = {row.key: row for row in rows["account"]}
    tables = {row.key: row for row in rows["rate_table"]}
    _check_tenants(document, tenants, accounts)
    _check_plans(document, rows, tables)
    _check_carriers(document, rows["carrier"], tables, tenants)
    _check_accounts(document, rows, tenants)
    _check_peers(document, rows)


def _unique(document: Document, rows: dict[str, list[_Row]]) -> None:
    for name, found in rows.items():
        seen: dict[object, int] = {}
        for row in found:
            key = row.id if name in ("tenant", "nas", "freeswitch") else row.key
            if row.id and key in seen:
                document.report((*row.path, "id"), f"{name} {row.id} stands in line {seen[key]} already")
            seen.setdefault(key, document.line_of((*row.path, "id")))


def _check_tenants(document: Document, tenants: dict[str, _Row], accounts: dict[Id, _Row]) -> None:
    for row in tenants.values():
        parent = row.values.get("parent")
        if not parent:
            if row.values.get("account"):
                document.report((*row.path, "account"), "the owner has no account with anybody")
            continue
        if parent not in tenants:
            document.report((*row.path, "parent"), f"there is no tenant {parent}")
        elif _circular(row.id, tenants):
            document.report((*row.path, "parent"), f"tenant {row.id} is its own ancestor")
        account = accounts.get(Id(str(parent), str(row.values.get("account", ""))))
        if account is None:
            missing = row.values.get("account") or "(none is stated)"
            document.report((*row.path, "account"), f"there is no account {missing} of tenant {parent}")
        elif account.values.get("currency") != row.values.get("currency"):
            message = f"account {account.id} is in {account.values.get('currency')}; no conversion is known"
            document.report((*row.path, "currency"), message)


def _circular(start: str, tenants: dict[str, _Row]) -> bool:
    seen, name = {start}, str(tenants[start].values.get("parent", ""))
    while name in tenants:
        if name in seen:
            return True
        seen.add(name)
        name = str(tenants[name].values.get("parent", ""))
    return False


def _check_plans(document: Document, rows: dict[str, list[_Row]], tables: dict[Id, _Row]) -> None:
    for row in rows["rate_plan"]:
        found = [tables.get(Id(row.key.tenant, name)) for name in row.values.get("tables", ())]
        for place, table in enumerate(found):
            if table is None:
                name = row.values["tables"][place]
                document.report((*row.path, "tables", place), f"tenant {row.key.tenant} has no rate table {name}")
        if len({table.values.get("currency") for table in found if table is not None}) > 1:
            document.report((*row.path, "tables"), "the tables of one plan are in one currency")


def _check_carriers(
    document: Document, carriers: Sequence[_Row], tables: dict[Id, _Row], tenants: dict[str, _Row]
) -> None:
    for row in carriers:
        name = row.values.get("rate_table")
        table = tables.get(Id(row.key.tenant, str(name)))
        tenant = tenants.get(row.key.tenant)
        if name is not None and table is None:
            document.report((*row.path, "rate_table"), f"tenant {row.key.tenant} has no rate table {name}")
        elif table and tenant and table.values.get("currency") != tenant.values.get("currency"):
            document.report((*row.path, "rate_table"), "its currency is not the tenant's; no conversion is known")
        if tenant is not None and tenant.values.get("parent"):
            document.report((*row.path, "tenant"), "carriers belong to the owner: his serve every tenant's calls")


def _check_accounts(document: Document, rows: dict[str, list[_Row]], tenants: dict[str, _Row]) -> None:
    currencies = {
        row.key: {
            str(table.values.get("currency"))
            for table in rows["rate_table"]
            if table.key.tenant == row.key.tenant and table.id in row.values.get("tables", ())
        }
        for row in rows["rate_plan"]
    }
    vouchers = {row.id for name in ("nas", "freeswitch") for row in rows[name]}
    seen: dict[tuple[str, ...], Id] = {}
    for row in rows["account"]:
        _check_account(document, row, currencies, tenants)
        _check_identities(document, row, vouchers, seen)


def _check_account(document: Document, row: _Row, currencies: dict[Id, set[str]], tenants: dict[str, _Row]) -> None:
    values = row.values
    tenant = tenants.get(row.key.tenant)
    if tenant is not None and "currency" in values and values["currency"] != tenant.values.get("currency"):
        document.report((*row.path, "currency"), "is not its tenant's currency; no conversion is known")
    if values.get("kind") is AccountKind.PREPAID and values.get("credit_limit", 0) is None:
        document.report((*row.path, "credit_limit"), "a prepaid account has a limit; write an amount")
    for name in ("rate_plan", "inbound_rate_plan"):
        for entry in values.get(name, ()):
            found = currencies.get(Id(row.key.tenant, entry.plan))
            if found is None:
                document.report((*row.path, name), f"tenant {row.key.tenant} has no rate plan {entry.plan}")
            elif found - {str(values.get("currency"))}:
                document.report((*row.path, name), f"plan {entry.plan} is in another currency than the account")
    read_table(document, (*row.path, "channels"), values.get("channels", {}), _LIMITS)


def _check_identities(document: Document, row: _Row, vouchers: set[str], seen: dict[tuple[str, ...], Id]) -> None:
    listed = row.values.get("identities", [])
    if not isinstance(listed, list):
        document.report((*row.path, "identities"), 'write a list of tables, such as [{ sip_user = "…" }]')
        return
    for place, element in enumerate(listed):
        path = (*row.path, "identities", place)
        values = read_table(document, path, element, IDENTITY)
        kinds = [kind for kind in _KINDS if values.get(kind)]
        if len(kinds) != 1:
            document.report(path, f"states {len(kinds)} of {', '.join(_KINDS)}; one identity is exactly one of them")
            continue
        _check_voucher(document, path, kinds[0], str(values.get("via", "")), vouchers)
        name = (kinds[0], str(values[kinds[0]]), str(values.get("via", "")), str(values.get("tech_prefix", "")))
        if name in seen:
            document.report(path, f"account {seen[name]} claims the same {kinds[0]}: such a call would be ambiguous")
        seen.setdefault(name, row.key)


def _check_voucher(document: Document, path: Path_, kind: str, via: str, vouchers: set[str]) -> None:
    if kind in ("caller", "pin") and not via:
        document.report(path, f"a {kind} counts only together with via, the peer that vouches for it")
    elif via and via not in vouchers and not _is_token(via):
        document.report((*path, "via"), f"there is no nas or switch {via} (a token is written token:ID)")


def _is_token(via: str) -> bool:
    return via.startswith("token:")


def _check_peers(document: Document, rows: dict[str, list[_Row]]) -> None:
    addresses: dict[str, str] = {}
    for row in rows["nas"]:
        address = row.values.get("address")
        if address is None:
            continue
        if address in addresses:
            document.report((*row.path, "address"), f"is the address of nas {addresses[address]} too")
        addresses.setdefault(address, row.id)
        _refuse_well_known(document, row, "secret", ip_network(address).is_loopback)
    for row in rows["freeswitch"]:
        _refuse_well_known(document, row, "password", _is_loopback(str(row.values.get("host", ""))))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_well_known(document: Document, row: _Row, name: str, loopback: bool) -> None:
    if not loopback and row.values.get(name) in WELL_KNOWN_SECRETS:
        document.report((*row.path, name), "is well known; a peer that is not loopback needs a secret of its own")


def _decks(document: Document, path: Path, tables: Iterable[_Row]) -> tuple[dict[Id, list[RateRow]], list[Problem]]:
    decks: dict[Id, list[RateRow]] = {}
    problems: list[Problem] = []
    for row in tables:
        if not row.values.get("deck"):
            continue
        file = path.parent / str(row.values["deck"])
        try:
            if file.stat().st_size > DECK_SIZE_MAX:
                document.report((*row.path, "deck"), f"{file} is larger than {DECK_SIZE_MAX} octets")
                continue
            with file.open(encoding="utf-8-sig", newline="") as stream:
                rows, errors = read_deck(stream, str(file))
        except (OSError, UnicodeDecodeError) as error:
            document.report((*row.path, "deck"), f"cannot be read: {error}")
            continue
        problems += [Problem(error.source, error.line, error.column, error.reason) for error in errors]
        decks[row.key] = rows
    return decks, problems


class _Builder:
    """Makes the objects; called only for what was read without faults, so a missing key never gets here."""

    def __init__(self, document: Document, rows: dict[str, list[_Row]]) -> None:
        self._document = document
        self._rows = rows
        self._routing = bool(rows["carrier"])

    def built(self) -> Scenario:
        """Return the scenario, empty where there were faults."""
        if self._document.problems:
            return Scenario()
        rows = self._rows
        return Scenario(
            tenants=tuple(TenantSpec(**row.values) for row in rows["tenant"]),
            rate_tables=tuple(self._table(row) for row in rows["rate_table"]),
            rate_plans=tuple(RatePlanSpec(row.key.tenant, row.id, row.values["tables"]) for row in rows["rate_plan"]),
            carriers=tuple(CarrierSpec(**row.values) for row in rows["carrier"]),
            accounts=tuple(self._account(row) for row in rows["account"]),
            nas=tuple(NasSpec(**self._routed(row)) for row in rows["nas"]),
            freeswitch=tuple(FreeswitchSpec(**self._routed(row)) for row in rows["freeswitch"]),
        )

    def _routed(self, row: _Row) -> dict[str, Any]:
        stated = row.values["routing"]
        return {**row.values, "routing": self._routing if stated is None else stated}

    @staticmethod
    def _table(row: _Row) -> RateTableSpec:
        names = ("tenant", "id", "currency", "timezone", "decimals", "rounding", "duration_rounding")
        return RateTableSpec(
            **{name: row.values[name] for name in names}, closed_limit_percent=row.values["closed_limit_percent"]
        )

    def _identity(self, row: _Row, place: int) -> EndpointSpec:
        element = row.values["identities"][place]
        values = read_table(self._document, (*row.path, "identities", place), element, IDENTITY)
        return EndpointSpec(**{**values, "via": values["via"].removeprefix("token:")})

    def _account(self, row: _Row) -> AccountSpec:
        plain = (
            "tenant", "id", "kind", "currency", "balance", "credit_limit", "rate_plan", "inbound_rate_plan", "country",
            "status", "timezone", "calls_per_second", "daily_spend", "max_call_seconds", "max_call_charge",
            "margin_floor_percent", "margin_floor_per_minute",
        )  # fmt: skip
        limits = read_table(self._document, (*row.path, "channels"), row.values["channels"], _LIMITS)
        identities = tuple(self._identity(row, place) for place in range(len(row.values["identities"])))
        return AccountSpec(
            **{name: row.values[name] for name in plain}, channels_total=limits["total"],
            channels_in=limits["inbound"], channels_out=limits["outbound"], identities=identities,
        )  # fmt: skip
