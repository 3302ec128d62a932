"""Limits of an account beside its money: channels with their packages and surcharge, and what a day or month may cost.

Over a channel limit an account is refused, or pays a surcharge: that is part of the tariff by which the call is
granted, held and charged, at the level whose limit it is. A package raises limits while it is in force. What a day or a
month has cost is what was charged in it, and what is reserved counts with it, in whichever it was reserved. Pure.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from daemon.authorize import words
from daemon.authorize.catalog import AccountTerms, OverChannels
from daemon.authorize.decision import Level
from daemon.authorize.denial import Denial
from daemon.authorize.fraud import DENIALS, money_left
from daemon.authorize.quote import Quote, Standings, Trace, told
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant, local_day
from daemon.kernel.money import NANO_MAX, Rounding, divide
from daemon.ledger.account import Standing
from daemon.rating.bundle import period_number

_OUTBOUND: Final = Direction.OUTBOUND


class Channels(NamedTuple):
    """A limit of channels: what it is of, how many are in use, and how many may be (None: no limit)."""

    name: str
    used: int
    limit: int | None

    @property
    def is_full(self) -> bool:
        """Tell whether one call more is over the limit."""
        return self.limit is not None and self.used >= self.limit


def channels_of(terms: AccountTerms, standing: Standing, direction: Direction, now: Instant) -> tuple[Channels, ...]:
    """Return the limits that a call of a direction meets, the packages in force counted."""
    packages = [each for each in terms.packages if each.begins <= now < each.ends]

    def limit(stated: int | None, more: str) -> int | None:
        return None if stated is None else stated + sum(getattr(each, more) for each in packages)

    total = Channels("total", standing.channels, limit(terms.channels_total, "channels_total"))
    if direction is Direction.INBOUND:
        return total, Channels(direction.value, standing.channels_in, limit(terms.channels_in, "channels_in"))
    return total, Channels(direction.value, standing.channels_out, limit(terms.channels_out, "channels_out"))


def full_channels(terms: AccountTerms, standing: Standing, direction: Direction, now: Instant) -> Channels | None:
    """Return the first limit that one call more is over, None where there is room; packages are asked only if not."""
    total, own, used = terms.channels_total, terms.channels_out, standing.channels_out
    if direction is not _OUTBOUND:
        own, used = terms.channels_in, standing.channels_in
    if (total is None or standing.channels_in + standing.channels_out < total) and (own is None or used < own):
        return None
    return next((each for each in channels_of(terms, standing, direction, now) if each.is_full), None)


def is_over(terms: AccountTerms, standing: Standing, direction: Direction, now: Instant) -> bool:
    """Tell whether one call more is over a channel limit of an account that pays a surcharge for it."""
    if terms.over_channels is not OverChannels.SURCHARGE:
        return False
    return full_channels(terms, standing, direction, now) is not None


def surcharged(quote: Quote, standings: Standings, now: Instant, notes: Trace | None) -> Quote:
    """Return a quote whose levels over a channel limit ask the surcharge that their account agreed to."""
    paying = OverChannels.SURCHARGE
    for terms in quote.chain:
        if terms.over_channels is paying:
            break
    else:
        return quote  # nearly every call: no standing need be asked for
    direction = quote.attempt.direction
    over = [is_over(terms, standings(terms.number), direction, now) for terms in quote.chain]
    if not any(over):
        return quote
    levels = list(quote.levels)
    for place, terms in enumerate(quote.chain):
        if over[place]:
            levels[place] = _with_surcharge(levels[place], terms)
            told(notes, words.channel_surcharge, terms, levels[place], above=place > 0)
    return replace(quote, levels=tuple(levels))


def _with_surcharge(level: Level, terms: AccountTerms) -> Level:
    call, minute = terms.channel_surcharge, terms.channel_surcharge_per_minute
    tariffs = (
        each.changed(surcharge=call, surcharge_rate=divide(minute * each.per, 60, Rounding.UP))
        for each in level.tariffs
    )
    return replace(level, tariffs=tuple(tariffs))


class SpendCap(NamedTuple):
    """What is left of a limit ``of`` spend, in nano-units, and how its refusal is called."""

    rule: str
    denial: Denial
    left: int
    of: str


def spend_caps(terms: AccountTerms, standing: Standing, watched: tuple[str, ...], now: Instant) -> Iterator[SpendCap]:
    """Yield the caps on an account's spend: of the fraud rules that watch the call, then the shorter period first."""
    for rule, left in money_left(terms, standing, watched, now):
        yield SpendCap("fraud", DENIALS[rule.act], left, f"fraud rule {rule.id} in {rule.minutes} minutes")
    if terms.daily_spend is not None:
        left = terms.daily_spend - _day_spent(terms, standing, now)[1] - standing.reserved
        yield SpendCap("daily_spend", Denial.DAILY_SPEND, left, "the day's spend")
    if terms.monthly_spend is not None:
        left = terms.monthly_spend - _month_spent(terms, standing, now)[1] - standing.reserved
        yield SpendCap("monthly_spend", Denial.MONTHLY_SPEND, left, "the month's spend")


def within_caps(terms: AccountTerms, standing: Standing, watched: tuple[str, ...], money: int, now: Instant) -> int:
    """Return the part of an amount, in nano-units, that every cap of ``spend_caps`` leaves."""
    held = standing.reserved
    is_far = _is_far(terms.daily_spend, standing.day_spent, held, money)
    if is_far and not watched and _is_far(terms.monthly_spend, standing.month_spent, held, money):
        return money  # nearly every call: no calendar is asked
    return min([money, *[cap.left for cap in spend_caps(terms, standing, watched, now)]])


def _is_far(cap: int | None, spent: int, reserved: int, money: int) -> bool:
    """Tell whether a cap leaves all the money, were ``spent`` of this very day or month: of another it leaves more."""
    return cap is None or cap - spent - reserved >= money


def with_spent(terms: AccountTerms, standing: Standing, amount: int, now: Instant) -> Standing:
    """Return a standing whose day and month have cost ``amount`` nano-units more, or less, never below 0."""
    day, day_spent = _day_spent(terms, standing, now)
    month, month_spent = _month_spent(terms, standing, now)
    return standing._replace(
        day=day, day_spent=min(max(0, day_spent + amount), NANO_MAX),
        month=month, month_spent=min(max(0, month_spent + amount), NANO_MAX),
    )  # fmt: skip


def _day_spent(terms: AccountTerms, standing: Standing, now: Instant) -> tuple[int, int]:
    return _spent_in(standing.day, standing.day_spent, local_day(now, terms.zone))


def _month_spent(terms: AccountTerms, standing: Standing, now: Instant) -> tuple[int, int]:
    return _spent_in(standing.month, standing.month_spent, month_of(terms, now))


def _spent_in(counted: int, spent: int, ours: int) -> tuple[int, int]:
    """Return the period that runs, and what it has cost.

    Where another daemon's clock is ahead and has begun the next one, that runs: to go back would begin it anew.
    """
    return (counted, spent) if counted in (ours, ours + 1) else (ours, 0)


def month_of(terms: AccountTerms, now: Instant) -> int:
    """Return the number of the calendar month that an instant lies in, in the account's zone."""
    return period_number(now, "month", terms.zone.key)
