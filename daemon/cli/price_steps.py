"""A price as a person would work it out on paper: each table and what it said, band, steps, mark-ups, blocks, rounding.

The words only tell what the price was made of; every figure in them comes from the one formula.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from daemon.app_prices import Asked, Priced, PricedCall, Question, Tariff
from daemon.kernel.instant import DAY, MINUTE, Instant, format_rfc3339, wall_clock
from daemon.kernel.money import format_nano
from daemon.rating.account_rates import CLASS, OVERRIDE, AccountRates
from daemon.rating.explain import cut
from daemon.rating.markup import Markup
from daemon.rating.rate_table import Found, Policy
from daemon.rating.tariff import SECONDS, Gap, Step, Tier
from daemon.rating.time_band import DAYS

Line = tuple[str, object]
_EPOCH = date(1970, 1, 1)
_DAYS_KNOWN = (
    date.max - _EPOCH
).days + 1  # the day behind begins a year that no date has; a zone ahead of UTC meets it
_MONDAY_SHIFT = 3  # days; 1970-01-01 was a Thursday


def price_lines(found: PricedCall, question: Question) -> Iterator[Line]:
    """Yield the steps of a price, or of what stands in its way."""
    yield "call", _asked_for(question)
    if found.on_net:
        yield "on-net", f"{question.number} is a number of the tenant's own"
    for table in found.asked:
        yield "table", f"{_named(table)}: {_says(table)}"
    winner = _winner(found)
    if winner is not None:
        yield from _row_lines(winner, question.at, found.seconds)
    if found.own is not None:
        yield from _own_lines(found, found.own)
    if found.lacking:
        yield "conversion", found.lacking
    if found.tariff is not None and not found.priced.reason:
        yield from _charge_lines(found, found.tariff, question)


def _asked_for(question: Question) -> str:
    what = f"{question.duration} s" if not question.rate_type else f"{question.duration} of {question.rate_type}"
    to = f" to {question.number}" if question.number else ""
    override = f", override {question.override}" if question.override else ""
    account = f" for account {question.account}" if question.account else ""
    return f"{what}{to} by plan {question.plan}{account}, answered {format_rfc3339(question.at)}{override}"


# -- which row


def _named(table: Asked) -> str:
    return f"{table.policy.table} (on-net)" if table.is_on_net else table.policy.table


def _says(table: Asked) -> str:
    if table.passed_over:
        return f"not asked, {table.passed_over}"
    return _row(table.says)


def _row(found: Found) -> str:
    if found is None:
        return "no prefix of it fits"
    name = f" ({found.destination})" if found.destination else ""
    if isinstance(found, Gap):
        return f"prefix {found.prefix}{name}, without a rate for this time"
    prefix = f"prefix {found.prefix}{name}" if found.prefix else f"rate type {found.rate_type}{name}"
    return f"{prefix}, blocked" if found.blocked else f"{prefix}, {_rate(found, found.rate)}"


def _rate(tariff: Tariff, rate: int) -> str:
    return f"{format_nano(rate)} {tariff.currency} {_per(tariff)}"


def _per(tariff: Tariff) -> str:
    if tariff.unit == SECONDS:
        return "a minute" if tariff.per == 60 else f"for {tariff.per} s"
    return f"a {tariff.unit}" if tariff.per == 1 else f"for {tariff.per} {tariff.unit}s"


def _winner(found: PricedCall) -> Asked | None:
    """Return the table whose row the plan took: the first with the longest prefix."""
    said = [table for table in found.asked if table.says is not None and table.says == found.sold]
    return said[0] if said else None


def _row_lines(winner: Asked, at: Instant, seconds: int) -> Iterator[Line]:
    row, policy = winner.found, winner.policy
    yield "row", f"{_row(row)}: the longest of {_named(winner)}, version {policy.version}"
    if winner.has_bands and row is not None:
        yield "band", band_words(policy, row, at)
    if not isinstance(row, Tariff):
        return
    if row.meter:
        yield "tier", f"from {row.tier} on, since the period had used {row.volume} before; tiers are {policy.tiers}"
    yield from _alternative_lines(row, seconds)
    for markup, sold in winner.sold:
        yield "mark-up", f"{markup_words(markup)}: {_rate(sold, sold.rate)}{_marked_amounts(sold)}"


def band_words(policy: Policy, found: Tariff | Gap, at: Instant) -> str:
    """Say which band of a table holds an instant, by the clock on the wall of its zone."""
    offset, _ = wall_clock(policy.zone).stretch(at)
    day, time = divmod(at + offset, DAY)
    hours, minutes = divmod(time // MINUTE, 60)
    today = (_EPOCH + timedelta(days=day)).isoformat() if day < _DAYS_KNOWN else "10000-01-01"
    when = f"{DAYS[(day + _MONDAY_SHIFT) % 7].capitalize()} {today} {hours:02}:{minutes:02} in {policy.zone}"
    free = ", ".join(sorted(band.id for band in policy.bands if day in band.holidays))
    holiday = f", a holiday of {free}" if free else ""
    if isinstance(found, Gap):
        return f"{when}{holiday}: no band of prefix {found.prefix} holds this time"
    return f"{when}{holiday}: {found.band or 'all other time'}"


def _alternative_lines(row: Tariff, seconds: int) -> Iterator[Line]:
    """Yield what else may come into force within a call of so many seconds: steps, tiers, bands."""
    for rates in row.alternatives:
        name = f"band {rates.band or 'all other time'}, " if row.spans else ""
        for tier in rates.tiers:
            yield "steps", f"{name}{_tier(tier)}{', then '.join(_step(row, step) for step in tier.steps)}"
    for span in (span for span in row.spans if span.from_second < seconds):
        band = row.alternatives[span.rates].band or "all other time" if span.rates >= 0 else "a time without rates"
        yield "split", f"from second {span.from_second} on: {band}"


def _tier(tier: Tier) -> str:
    return f"{tier.from_unit} units into the call, " if tier.from_unit else ""


def _step(row: Tariff, step: Step) -> str:
    return f"from second {step.from_second} {_rate(row, step.rate)} by {step.next_seconds}"


def markup_words(markup: Markup) -> str:
    """Say what a mark-up adds."""
    parts = []
    if markup.percent:
        parts.append(f"{format_nano(markup.percent)} percent")
    if markup.per_minute:
        parts.append(f"{format_nano(markup.per_minute)}")
    least = f", at least {format_nano(markup.minimum)}" if markup.minimum else ""
    return f"plus {' plus '.join(parts) or '0'}{least}"


def _marked_amounts(sold: Tariff) -> str:
    fee = f", connect fee {format_nano(sold.connect_fee)}" if sold.connect_fee else ""
    return fee + (f", minimum charge {format_nano(sold.minimum_charge)}" if sold.minimum_charge else "")


def _own_lines(found: PricedCall, own: AccountRates) -> Iterator[Line]:
    """Yield what the account's own prices and its class of service made of the plan's row."""
    tariff = found.tariff
    if tariff is None or tariff.changed(conversion=None) == found.sold:
        return
    if tariff.blocked and own.service is not None:
        yield "class", f"{own.service.id} blocks {tariff.prefix or 'every number'}"
    elif tariff.prefix in own.overrides and tariff.rate == own.overrides[tariff.prefix]:
        beats = f" in place of {_row(found.sold)}" if found.sold is not None else ", where the plan has none"
        yield "override", f"the account's own price for {tariff.prefix} is {_rate(tariff, tariff.rate)}{beats}"
    elif own.service is not None:
        yield "class", f"{own.service.id} lets {tariff.prefix or 'every number'} through"


# -- what it costs


def _charge_lines(found: PricedCall, tariff: Tariff, question: Question) -> Iterator[Line]:
    priced = found.priced
    if tariff.table not in (OVERRIDE, CLASS):
        increments = f"{tariff.first_seconds}/{tariff.next_seconds}"
        where = f"{tariff.table}, version {tariff.deck_version}"
        yield "rate", f"{_row(tariff)}, {increments}, of {where}"
    unit = "s" if tariff.unit == SECONDS else "units"
    rounded = f"{question.duration} {unit}, rounded {tariff.duration_rounding.value} = {found.seconds} {unit}"
    yield "duration" if unit == "s" else "quantity", rounded
    yield "billed", billed_words(tariff, found.seconds, priced.billed_seconds)
    times = ""
    if tariff.conversion is not None:
        times = f" * {format_nano(tariff.conversion.rate)}"
        yield "conversion", f"{tariff.conversion}, stated by {tariff.conversion.tenant}; rounded only after it"
    fee = f"{format_nano(tariff.connect_fee)}{times} = " if times and priced.connect_fee else ""
    yield "connect fee", f"{fee}{format_nano(priced.connect_fee)}"
    for block in priced.blocks:
        band = f" ({block.band})" if block.band else ""
        factors = f"{block.seconds} {unit} * {format_nano(block.rate)} / {tariff.per}{times}"
        sum_ = f"{factors} = {format_nano(block.amount)}{band}"
        yield f"from second {block.from_second}" if unit == "s" else f"from unit {block.from_second}", sum_
    yield "rounding", rounding_words(tariff, priced)
    yield "charge", f"{format_nano(priced.charge)} {priced.currency}"


def billed_words(tariff: Tariff, seconds: int, billed: int) -> str:
    """Say how the billed seconds, or other units, come about."""
    s = "s" if tariff.unit == SECONDS else "units"
    if seconds <= tariff.free_seconds:
        return f"0 {s}: a call of at most {tariff.free_seconds} {s} is free"
    rest = seconds - tariff.included_seconds
    given = f"{seconds} - {tariff.included_seconds} included = {rest}; " if tariff.included_seconds else ""
    first, following = tariff.first_seconds, tariff.next_seconds
    if rest <= 0:
        return f"0 {s}: {seconds} {s} lie within the {tariff.included_seconds} included"
    if rest <= first:
        return f"{billed} {s}: {given}{rest} {s} lie within the first block of {first}"
    if tariff.alternatives:
        return f"{billed} {s}: {given}{first} {s}, then each block at the price of where it begins"
    blocks = -(-(rest - first) // following)
    rule = f"{first} + ceil(({rest} - {first}) / {following}) * {following}"
    return f"{billed} {s}: {given}{rule} = {first} + {blocks} * {following}"


def rounding_words(tariff: Tariff, priced: Priced) -> str:
    """Say what rounding and the minimum charge added."""
    least = cut(tariff, tariff.minimum_charge)
    lifted = priced.charge - priced.rounding < least <= priced.charge
    minimum = f", lifted to the minimum charge {format_nano(least)}" if lifted else ""
    rule = f"{tariff.rounding.value} at {tariff.decimals} places"
    return f"{format_nano(priced.rounding)} ({rule}{minimum})"
