"""A scenario file to finished values: what an operator states, whole and consistent, or every fault of it at once.

Each object is read by its table of keys, then all are held against each other, then the decks are read.
Nothing of a file with a fault is used. Tokens live in the store: who calls says which there are.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.charging.configuration import (
    AccountSpec,
    AsteriskSpec,
    BundleSpec,
    CarrierSpec,
    ClassOfServiceSpec,
    CodeListSpec,
    ConversionSpec,
    DestinationGroupSpec,
    EndpointSpec,
    FreeswitchSpec,
    NasSpec,
    OverrideSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    RateTypeSpec,
    TenantSpec,
    TimeBandSpec,
    stated_rate,
)
from daemon.charging.limits_stated import ChannelPackageSpec, FraudRuleSpec
from daemon.config_files.kinds import UNSTATED, Site
from daemon.config_files.objects import Entry, Objects, named, read_entries
from daemon.config_files.positions import Problem, read_document
from daemon.config_files.scenario_checks import BEARER_MARK, check
from daemon.config_files.scenario_decks import (
    CodeLists,
    code_list_spec,
    rate_table_spec,
    rate_type_spec,
    read_code_lists,
    read_decks,
)
from daemon.config_files.scenario_keys import OBJECTS, REFUSED_OBJECTS
from daemon.config_files.settings_file import SECTIONS
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import RateRow

Spec = (
    TenantSpec
    | ConversionSpec
    | TimeBandSpec
    | RateTypeSpec
    | CodeListSpec
    | DestinationGroupSpec
    | RateTableSpec
    | RatePlanSpec
    | CarrierSpec
    | ClassOfServiceSpec
    | AccountSpec
    | BundleSpec
    | ChannelPackageSpec
    | FraudRuleSpec
    | NasSpec
    | FreeswitchSpec
    | AsteriskSpec
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a scenario file states. A rate table whose deck is not stated has no entry in ``decks``."""

    tenants: tuple[TenantSpec, ...]
    conversions: tuple[ConversionSpec, ...]
    time_bands: tuple[TimeBandSpec, ...]
    rate_types: tuple[RateTypeSpec, ...]
    code_lists: tuple[CodeListSpec, ...]
    destination_groups: tuple[DestinationGroupSpec, ...]
    rate_tables: tuple[RateTableSpec, ...]
    rate_plans: tuple[RatePlanSpec, ...]
    carriers: tuple[CarrierSpec, ...]
    classes_of_service: tuple[ClassOfServiceSpec, ...]
    accounts: tuple[AccountSpec, ...]
    bundles: tuple[BundleSpec, ...]
    channel_packages: tuple[ChannelPackageSpec, ...]
    fraud_rules: tuple[FraudRuleSpec, ...]
    nas: tuple[NasSpec, ...]
    freeswitch: tuple[FreeswitchSpec, ...]
    asterisk: tuple[AsteriskSpec, ...]
    decks: dict[Key, list[RateRow]]

    @property
    def objects(self) -> tuple[Spec, ...]:
        """Every object, those that others refer to first."""
        return (
            *self.tenants, *self.conversions, *self.time_bands, *self.rate_types, *self.code_lists,
            *self.destination_groups, *self.rate_tables, *self.rate_plans, *self.carriers, *self.classes_of_service,
            *self.accounts, *self.bundles, *self.channel_packages, *self.fraud_rules, *self.nas, *self.freeswitch,
            *self.asterisk,
        )  # fmt: skip


def read_scenario(
    path: Path, *, token_ids: Collection[str] = (), now: Instant | None = None,
    conversions: Collection[ConversionSpec] | None = None,
) -> tuple[Scenario | None, list[Problem]]:  # fmt: skip
    """Return the scenario of a file, or None with every problem of it and of its decks, by line.

    ``token_ids``: ids of the tokens in the store, which an identity may name as ``via``. Rates between currencies have
    to be in force at ``now``, or for None only to be stated; ``conversions`` are those of the store that it is read
    for, None where none is looked at.
    """
    document = read_document(path)
    if not document.readable:
        return None, document.problems()
    objects = Objects(read_entries(document, OBJECTS, REFUSED_OBJECTS, SECTIONS))
    check(
        objects, Site(document), token_ids, now, None if conversions is None else tuple(map(stated_rate, conversions))
    )
    code_lists, problems = read_code_lists(objects, path.parent)
    decks, more = read_decks(objects, code_lists, path.parent)
    problems += more
    if not document.is_faultless or problems:
        return None, document.problems() + problems
    return _scenario(objects, code_lists, decks), []


def _scenario(objects: Objects, code_lists: CodeLists, decks: dict[Key, list[RateRow]]) -> Scenario:
    # The daemon can choose carriers only where there are some; else the switch routes by itself.
    routing = bool(objects.of("carrier"))
    return Scenario(
        tenants=tuple(TenantSpec(**tenant.values) for tenant in objects.of("tenant")),
        conversions=tuple(_conversion(each) for each in objects.of("conversion")),
        time_bands=tuple(TimeBandSpec(**band.values) for band in objects.of("time_band")),
        rate_types=tuple(rate_type_spec(each) for each in objects.of("rate_type")),
        code_lists=tuple(code_list_spec(each, code_lists) for each in objects.of("code_list")),
        destination_groups=tuple(DestinationGroupSpec(**each.values) for each in objects.of("destination_group")),
        rate_tables=tuple(rate_table_spec(table) for table in objects.of("rate_table")),
        rate_plans=tuple(
            RatePlanSpec(**plan.values | {"tables": named(plan, "tables")}) for plan in objects.of("rate_plan")
        ),
        classes_of_service=tuple(ClassOfServiceSpec(**each.values) for each in objects.of("class_of_service")),
        bundles=tuple(BundleSpec(**bundle.values) for bundle in objects.of("bundle")),
        channel_packages=tuple(_package(each) for each in objects.of("channel_package")),
        fraud_rules=tuple(FraudRuleSpec(**rule.values) for rule in objects.of("fraud_rule")),
        carriers=tuple(CarrierSpec(**carrier.values) for carrier in objects.of("carrier")),
        accounts=tuple(_account(account) for account in objects.of("account")),
        nas=tuple(NasSpec(**_peer(nas, routing)) for nas in objects.of("nas")),
        freeswitch=tuple(FreeswitchSpec(**_peer(switch, routing)) for switch in objects.of("freeswitch")),
        asterisk=tuple(AsteriskSpec(**_peer(switch, routing)) for switch in objects.of("asterisk")),
        decks=decks,
    )


_ACCOUNT_KEYS = (
    "id", "tenant", "kind", "currency", "balance", "country", "status", "timezone", "calls_per_second", "daily_spend",
    "max_call_seconds", "max_call_charge", "margin_floor_percent", "margin_floor_per_minute", "class_of_service",
    "suspend_when_empty",
    "monthly_spend", "over_channels", "channel_surcharge", "channel_surcharge_per_minute",
    "low_balance_warning_seconds", "low_balance_warning", "cutoff_warning_seconds", "warn",
)  # fmt: skip


def _kept(entry: Entry, names: Collection[str]) -> dict[str, Any]:
    return {name: entry.values[name] for name in names}


def _peer(peer: Entry, routing: bool) -> dict[str, Any]:
    stated = peer.values["routing"]
    return peer.values | {"routing": routing if stated is UNSTATED else stated}


def _account(account: Entry) -> AccountSpec:
    inbound = account.values["inbound_credit_limit"]
    limit, channels = account.values["credit_limit"], account.values["channels"] or {}
    return AccountSpec(
        **_kept(account, _ACCOUNT_KEYS),
        credit_limit=0 if limit is UNSTATED else limit,
        inbound_kind=account.values["inbound_kind"],
        inbound_credit_limit=0 if inbound is UNSTATED else inbound,
        rate_plan=_plans(account.values["rate_plan"]),
        inbound_rate_plan=_plans(account.values["inbound_rate_plan"]),
        channels_total=channels.get("total"),
        channels_in=channels.get("inbound"),
        channels_out=channels.get("outbound"),
        identities=tuple(_endpoint(identity) for identity in account.values["identities"]),
        overrides=tuple(OverrideSpec(**override) for override in account.values["overrides"]),
    )


def _package(package: Entry) -> ChannelPackageSpec:
    values = package.values
    return ChannelPackageSpec(
        values["tenant"], values["id"], values["account"], values["total"], values["inbound"], values["outbound"],
        values["from"], values["until"], values["monthly_price"],
    )  # fmt: skip


def _conversion(conversion: Entry) -> ConversionSpec:
    values = conversion.values
    return ConversionSpec(
        values["tenant"], values["from"], values["to"], values["rate"], values["effective_from"], values["effective_to"]
    )


def _plan(plan: Entry) -> RatePlanSpec:
    return RatePlanSpec(**plan.values | {"tables": named(plan, "tables")})


def _endpoint(identity: dict[str, Any]) -> EndpointSpec:
    first, _, last = identity["did"].partition("-")
    begins, ends = identity["from"] or 0, identity["until"]
    told = {name: value for name, value in identity.items() if name not in ("from", "until")}
    via = identity["via"].removeprefix(BEARER_MARK)
    return EndpointSpec(**told | {"did": first, "did_last": last, "begins": begins, "ends": ends, "via": via})


def _plans(stated: str | tuple[dict[str, Any], ...]) -> tuple[PlanFrom, ...]:
    if isinstance(stated, str):
        return (PlanFrom(stated),) if stated else ()
    return tuple(PlanFrom(dated["plan"], dated["from"]) for dated in stated)
