"""Decisions and calls as bytes: what a client is told is made of the transaction's own values, before its commit.

The same values give the same bytes. Money leaves as decimal text, a duration too.
What a call has cost so far is the price of the seconds used, by the one price formula.
"""

import msgspec
from msgspec import UNSET

from daemon.authorize.catalog import AccountTerms
from daemon.authorize.decision import Decision, Denied, Granted, Level, Route
from daemon.authorize.denial import Q850, SIP
from daemon.authorize.explanation import Outcome, Told, seen_level
from daemon.authorize.metering import held_units
from daemon.authorize.suspension import suspended_by
from daemon.charging.call import Call, CallState
from daemon.charging.session import ChargingSettings
from daemon.http_api.messages import (
    AccountReply,
    AuthorizeReply,
    BucketReply,
    CallReply,
    Channels,
    EndReply,
    LiveCall,
    RouteReply,
    RuleReply,
    SellReply,
)
from daemon.kernel.instant import Instant, decimal_seconds, format_rfc3339
from daemon.kernel.money import Rounding, format_nano
from daemon.ledger.account import Standing, available
from daemon.ledger.bucket import Bucket
from daemon.rating.charge import charge, duration_seconds

UNLIMITED = "unlimited"
EMPTY = b""  # the stored answer to a report that found no call

encode = msgspec.json.Encoder().encode


def decision_reply(decision: Decision, settings: ChargingSettings, tenant: str) -> AuthorizeReply:
    """Return what a switch of a tenant is told about its question: the money is that of the tenant's own level."""
    if isinstance(decision, Denied):
        denial = decision.denial
        return AuthorizeReply(result="denied", reason=denial.value, q850=Q850[denial], sip=SIP[denial])
    return _granted(decision, settings, tenant)


def _granted(granted: Granted, settings: ChargingSettings, tenant: str) -> AuthorizeReply:
    within = _update_within(granted.renewable, granted.seconds, settings)
    level = seen_level(granted.levels, tenant)
    return AuthorizeReply(
        result="granted", quota_seconds=granted.seconds, reserved=format_nano(level.reserved if level else 0),
        currency=level.currency if level else "", renewable=granted.renewable, update_within_seconds=within,
        routes=tuple(route_of(route, tenant) for route in granted.routes), grant_id=granted.grant_id,
        sell=_sell(level) if level else None,
        emergency=granted.emergency, warn_at_seconds=granted.warnings.low or UNSET,
        cutoff_warn_at_seconds=granted.warnings.cutoff or UNSET,
    )  # fmt: skip


def route_of(route: Route, tenant: str | None) -> RouteReply:
    """Return a route as a tenant may see it, None: the operator; of a carrier not its own it has the dial string."""
    if tenant in (None, route.carrier.tenant):
        return RouteReply(route.carrier.id, route.dial, route.number)
    return RouteReply("", route.dial.replace(f"[tollway_carrier={route.carrier.id},", "[", 1), route.number)


def _update_within(renewable: bool, left_seconds: int, settings: ChargingSettings) -> int:
    """Return the seconds within which a client should report: the interim interval, and while half is still left."""
    if not renewable:
        return settings.interim_seconds
    return max(1, min(settings.interim_seconds, left_seconds // 2))


def _sell(level: Level) -> SellReply:
    tariff = level.tariffs[0]
    conversion = tariff.conversion
    return SellReply(
        prefix=tariff.prefix, destination=tariff.destination, rate=format_nano(tariff.rate),
        connect_fee=format_nano(tariff.connect_fee), first_seconds=tariff.first_seconds,
        next_seconds=tariff.next_seconds, rate_table=tariff.table,
        currency=tariff.currency if conversion is not None else "",
        conversion=str(conversion) if conversion is not None else "",
    )  # fmt: skip


def explained(reply: AuthorizeReply, rules: tuple[Told, ...]) -> AuthorizeReply:
    """Return a reply with every rule of its decision."""
    return msgspec.structs.replace(reply, rules=tuple(map(_rule, rules)))


def _rule(told: Told) -> RuleReply:
    passed, level = told.outcome is Outcome.PASSED, str(told.level) if told.level is not None else ""
    return RuleReply(told.rule, passed, told.outcome.value, told.question, told.detail, level)


def charged_so_far(call: Call, place: int, used_us: int) -> int:
    """Return what one level of a call costs for the microseconds used, in nano-units."""
    if call.posted:
        return call.posted[place].charge
    tariff = call.levels[place].tariffs[0]
    seconds = duration_seconds(used_us, tariff.duration_rounding)
    return charge(tariff, seconds, held_units(call.levels[place])).amount


def call_reply(call: Call, used_us: int, settings: ChargingSettings, tenant: str) -> bytes:
    """Return the answer of a tenant's level to an answer or an update of a call that has used so many microseconds."""
    left = call.told_seconds - duration_seconds(used_us, Rounding.UP)
    running = call.is_open
    final = not running or call.cut or not call.renewable or left < settings.block_seconds_min
    quota = call.told_seconds
    if call.cut and not call.emergency:
        quota = min(quota, duration_seconds(used_us, Rounding.DOWN))
    place = level_of(call, tenant)
    reserved, charged, currency = 0, 0, ""
    if place is not None:
        level = call.levels[place]
        reserved, charged, currency = level.reserved, charged_so_far(call, place, used_us), level.currency
    return encode(
        CallReply(
            call_id=call.call_id, grant_id=call.grant_id, state=call.state.value, quota_seconds=quota,
            reserved=format_nano(reserved), charged=format_nano(charged), currency=currency, final=final, cut=call.cut,
            update_within_seconds=_update_within(call.renewable, left, settings) if running else 0,
            warn_at_seconds=call.warnings.low or UNSET, cutoff_warn_at_seconds=call.warnings.cutoff or UNSET,
        )
    )  # fmt: skip


def end_reply(call: Call, tenant: str) -> bytes:
    """Return the answer of a tenant's level to an end: the final charge, nothing where it was never answered."""
    place = level_of(call, tenant)
    posted = None
    if place is not None and call.state is CallState.SETTLED and call.posted:
        posted = call.posted[place]
    return encode(
        EndReply(
            call_id=call.call_id, grant_id=call.grant_id, state=call.state.value,
            duration_seconds=decimal_seconds(call.duration_us), charge=format_nano(posted.charge if posted else 0),
            uncollected=format_nano(posted.uncollected if posted else 0),
            currency=call.levels[place].currency if place is not None else "", settled_by=call.settled_by.value,
        )
    )  # fmt: skip


def level_of(call: Call, tenant: str) -> int | None:
    """Return the place of the level that a tenant sells at, or None where the call is none of its business."""
    return next((place for place, level in enumerate(call.levels) if level.key.tenant == tenant), None)


def live_call(call: Call, place: int, now: Instant) -> LiveCall:
    """Return an open call as the tenant of one level sees it; only its own switch is named."""
    level = call.levels[place]
    used_us = max(0, now - call.answered_at) if call.answered_at is not None else 0
    return LiveCall(
        call_id=call.call_id, grant_id=call.grant_id, account=level.key.id, direction=call.direction.value,
        calling=call.calling, called=call.called, state=call.state.value, started_at=format_rfc3339(call.requested_at),
        answered_at=format_rfc3339(call.answered_at) if call.answered_at is not None else None,
        reserved=format_nano(level.reserved), charged=format_nano(charged_so_far(call, place, used_us)),
        currency=level.currency, quota_seconds=call.granted_seconds,
        switch=call.switch if call.tenant == level.key.tenant else "", cut=call.cut,
    )  # fmt: skip


def money_left(terms: AccountTerms, standing: Standing) -> str:
    """Return what is available as text."""
    left = available(standing, terms.credit_limit)
    return UNLIMITED if left is None else format_nano(left)


def _bucket_reply(bucket: Bucket) -> BucketReply:
    expires_at = None if bucket.expires_at is None else format_rfc3339(bucket.expires_at)
    return BucketReply(
        id=bucket.id, kind=bucket.kind.value, priority=bucket.priority, expires_at=expires_at,
        amount=format_nano(bucket.amount),
    )  # fmt: skip


def account_reply(terms: AccountTerms, standing: Standing, plan: str) -> AccountReply:
    """Return an account's terms and standing."""
    channels = Channels(standing.channels_in, standing.channels_out, standing.channels)
    return AccountReply(
        id=terms.key.id, tenant=terms.key.tenant, kind=terms.kind.value, status=terms.status.value,
        currency=terms.currency, balance=format_nano(standing.balance), reserved=format_nano(standing.reserved),
        uncollected=format_nano(standing.uncollected), available=money_left(terms, standing),
        credit_limit=UNLIMITED if terms.credit_limit is None else format_nano(terms.credit_limit),
        rate_plan=plan, channels=channels, main=format_nano(standing.main),
        buckets=tuple(map(_bucket_reply, standing.buckets)),
        suspended_by=suspended_by(terms.status, standing, terms.empty_limit),
    )  # fmt: skip
