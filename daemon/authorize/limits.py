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
from daemon.authorize.quote import Quote, Standings, Trace, told
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant, local_day
from daemon.kernel.money import Rounding, divide
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
    """What is left of the spend of a day or a month, in nano-units, and how its refusal is called."""

    rule: str
    denial: Denial
    left: int
    period: str


def spend_caps(terms: AccountTerms, standing: Standing, now: Instant) -> Iterator[SpendCap]:
    """Yield the caps on an account's spend, the shorter period first."""
    if terms.daily_spend is not None:
        left = terms.daily_spend - _spent_today(terms, standing, now) - standing.reserved
        yield SpendCap("daily_spend", Denial.DAILY_SPEND, left, "day")
    if terms.monthly_spend is not None:
        left = terms.monthly_spend - _spent_this_month(terms, standing, now) - standing.reserved
        yield SpendCap("monthly_spend", Denial.MONTHLY_SPEND, left, "month")


def within_caps(terms: AccountTerms, standing: Standing, money: int, now: Instant) -> int:
    """Return the part of an amount, in nano-units, that every cap of ``spend_caps`` leaves."""
    if terms.daily_spend is not None:
        money = min(money, terms.daily_spend - _spent_today(terms, standing, now) - standing.reserved)
    if terms.monthly_spend is not None:
        money = min(money, terms.monthly_spend - _spent_this_month(terms, standing, now) - standing.reserved)
    return money


def _spent_today(terms: AccountTerms, standing: Standing, now: Instant) -> int:
    return standing.day_spent if standing.day and standing.day == local_day(now, terms.zone) else 0


def _spent_this_month(terms: AccountTerms, standing: Standing, now: Instant) -> int:
    return standing.month_spent if standing.month and standing.month == month_of(terms, now) else 0


def month_of(terms: AccountTerms, now: Instant) -> int:
    """Return the number of the calendar month that an instant lies in, in the account's zone."""
    return period_number(now, "month", terms.zone.key)
