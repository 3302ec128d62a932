"""The keys of what limits an account beside its own keys: packages of channels, fraud rules; and their checks."""

from typing import Final

from daemon.authorize.fraud_rule import FraudAct, FraudDirection, FraudKind
from daemon.charging.limits_stated import CUT, RUN_ON, crowded
from daemon.config_files.kinds import (
    IDENTIFIER,
    INSTANT,
    MONEY_ABOVE_ZERO,
    MONEY_FROM_ZERO,
    OPTIONAL_IDENTIFIER,
    REQUIRED,
    UNSTATED,
    ConfigKey,
    Many,
    Table,
    choice,
    whole,
    words,
)
from daemon.config_files.objects import Entry, Objects
from daemon.config_files.rate_keys import ID
from daemon.config_files.rate_kinds import PREFIX
from daemon.ledger.window import SPAN_MAX, WINDOWS_MAX

CHANNELS_MAX: Final = 1_000_000  # channels; more than any switch has
CALLS_MAX: Final = 1_000_000  # calls that a rule allows in its minutes; more than any account makes
SHORT_SECONDS_MAX: Final = 3_600  # seconds; no call of an hour is short
_CHANNELS = whole(0, CHANNELS_MAX, "channels")

CHANNEL_PACKAGE: Final = Table(
    (
        ID,
        ConfigKey("tenant", IDENTIFIER, UNSTATED, "the tenant of its account", "that of the only account of this id"),
        ConfigKey("account", IDENTIFIER, REQUIRED, "whose limits it raises"),
        ConfigKey("total", _CHANNELS, 0, "channels beside those of `channels.total`"),
        ConfigKey("inbound", _CHANNELS, 0, "channels beside those of `channels.inbound`"),
        ConfigKey("outbound", _CHANNELS, 0, "channels beside those of `channels.outbound`"),
        ConfigKey("from", INSTANT, 0, "since when", "always"),
        ConfigKey("until", INSTANT, None, "until before when", "no end"),
        ConfigKey("monthly_price", MONEY_FROM_ZERO, 0, "kept and shown; this release charges nothing for it", '"0"'),
    )
)

FRAUD_RULE: Final = Table(
    (
        ID,
        ConfigKey("tenant", IDENTIFIER, UNSTATED, "whose accounts it watches", "that of the only account of this id"),
        ConfigKey(
            "account", OPTIONAL_IDENTIFIER, "", "the only account that it watches", "every customer of its tenant"
        ),
        ConfigKey(
            "kind",
            choice(FraudKind),
            REQUIRED,
            "short_calls: answered calls shorter than `seconds`; group_rate: calls to its numbers, or their cost",
        ),
        ConfigKey(
            "act",
            choice(FraudAct),
            REQUIRED,
            "warn: an event; throttle: refuse until the minutes have passed; suspend: the account, until it is resumed",
        ),
        ConfigKey(
            "direction",
            choice(FraudDirection),
            FraudDirection.OUTBOUND,
            "which calls it counts and refuses; those that come in are made by others, so that anybody can be over",
        ),
        ConfigKey("calls", whole(1, CALLS_MAX, "calls"), None, "that it allows in its minutes", "no limit"),
        ConfigKey("minutes", whole(1, SPAN_MAX, "minutes"), 60, "that it looks back"),
        ConfigKey(
            "seconds", whole(0, SHORT_SECONDS_MAX, "seconds"), 0, "what is shorter is short", "required for short"
        ),
        ConfigKey(
            "spend", MONEY_ABOVE_ZERO, None, "that calls to its group may cost and hold in its minutes", "no limit"
        ),
        ConfigKey("prefixes", Many(PREFIX), (), "of the numbers that it watches", "none"),
        ConfigKey("group", OPTIONAL_IDENTIFIER, "", "destination group that it watches, beside `prefixes`"),
        ConfigKey(
            "running_calls",
            words(RUN_ON, CUT),
            RUN_ON,
            "of an account that it suspends: end with their slice, or at once",
        ),
    )
)


def check_limits(objects: Objects) -> None:
    """Report every package and rule that names what is not there, or that can never do anything."""
    for package in objects.of("channel_package"):
        _check_package(objects, package)
    for rule in objects.of("fraud_rule"):
        _check_rule(objects, rule)
    _check_windows(objects)


def _check_package(objects: Objects, package: Entry) -> None:
    if package.tenant and package.get("account"):
        objects.refer(package.site / "account", "account", package.tenant, package.values["account"])
    if package.get("total") == package.get("inbound") == package.get("outbound") == 0:
        package.site.report("adds no channel; state total, inbound or outbound")
    begins, ends = package.get("from"), package.get("until")
    if isinstance(begins, int) and isinstance(ends, int) and ends <= begins:
        (package.site / "until").report("is not after from; write a later time")


def _check_windows(objects: Objects) -> None:
    """Report the accounts that more rules watch than an account has windows for, at the last of their own rules."""
    rules = [rule for rule in objects.of("fraud_rule") if rule.tenant and rule.get("account") is not None]
    places = [(rule.tenant, rule.get("account")) for rule in rules]
    last = dict(zip(places, rules, strict=True))
    trunks = {(tenant.get("parent"), tenant.get("account")) for tenant in objects.of("tenant")}
    for tenant, account in crowded(places, trunks):
        whose = f"account {tenant}/{account}" if account else f"the customers of tenant {tenant}"
        last[tenant, account].site.report(f"is one of more than {WINDOWS_MAX} that watch {whose}; take some out")


def _check_rule(objects: Objects, rule: Entry) -> None:
    if rule.tenant and rule.get("account"):
        objects.refer(rule.site / "account", "account", rule.tenant, rule.values["account"])
    if rule.tenant and rule.get("group"):
        objects.refer(rule.site / "group", "destination_group", rule.tenant, rule.values["group"])
    if rule.get("kind") is FraudKind.SHORT_CALLS:
        _check_short(rule)
    elif rule.get("kind") is FraudKind.GROUP_RATE:
        _check_group(rule)


def _check_short(rule: Entry) -> None:
    if "calls" in rule.values and rule.get("calls") is None:
        (rule.site / "calls").report("is missing; write how many short calls are allowed")
    if rule.get("seconds") == 0:
        (rule.site / "seconds").report("is missing, or 0; write how long a call is no longer short")
    for name in ("spend", "group", "prefixes"):
        if rule.get(name):
            (rule.site / name).report("belongs to group_rate; short calls count whatever they cost and call")


def _check_group(rule: Entry) -> None:
    if {"calls", "spend"} <= rule.values.keys() and rule.get("calls") is None and rule.get("spend") is None:
        rule.site.report("allows everything; state calls or spend")
    if rule.get("group") == "" and rule.get("prefixes") == ():
        rule.site.report("watches no number; state group or prefixes")
    if rule.get("seconds"):
        (rule.site / "seconds").report("belongs to short_calls; take it out")
