"""How long a grant is and what it holds: the money that may be spent, less what is held, as seconds at one level.

Caps shorten a grant; on a road that renews, it is one slice more, or one block where little is left. What is held is
always the charge of all the seconds granted, by the dearest tariff in force meanwhile.
"""

from daemon.authorize.catalog import AccountTerms
from daemon.authorize.decision import Level
from daemon.authorize.limits import within_caps
from daemon.authorize.metering import units_for
from daemon.authorize.quote import Limits
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO_MAX
from daemon.ledger.account import Standing, available, room
from daemon.rating.bundle import Supply
from daemon.rating.charge import block_end, charge, first_paid_second, outlast_free
from daemon.rating.quota import quota
from daemon.rating.tariff import Tariff


def first_block(level: Level, units: int = 0) -> int:
    """Return the dearest first paid block among the tariffs of a level behind a bundle's units, in nano-units."""
    dearest = 0
    for tariff in level.tariffs:
        dearest = max(dearest, charge(tariff, first_paid_second(tariff, units), units).amount)
    return dearest


def is_paid_by(level: Level, units: int) -> bool:
    """Tell whether units alone pay for a call at a level, whatever its money is."""
    return units > 0 and all(outlast_free(tariff, units) for tariff in level.tariffs)


def money_of(terms: AccountTerms, standing: Standing) -> int:
    """Return what an account has, and where its credit has no limit what the ledger can still hold of its debt."""
    money = available(standing, terms.credit_limit)
    if money is not None and money + standing.reserved <= NANO_MAX and (terms.credit_limit or 0) <= NANO_MAX:
        return money  # far from the end of 64 bits, as nearly all are: ``room`` is no less
    most = room(standing)
    return most if money is None else min(money, most)


def spendable(terms: AccountTerms, standing: Standing, watched: tuple[str, ...], now: Instant) -> int:
    """Return what a new reservation may take: what is available, and what is left of the day's and month's spend and
    of that of the fraud rules that watch the call.
    """
    return within_caps(terms, standing, watched, money_of(terms, standing), now)


def seconds_for(
    level: Level, spendable_nano: int | None, held: int, granted: int, terms: AccountTerms, limits: Limits,
    units: int = 0,
) -> int:  # fmt: skip
    """Return how many seconds in all a call may have been granted after this grant, at one level.

    ``held`` is what the call has reserved already, ``granted`` the seconds that it paid for, ``units`` those that it
    holds or may hold of bundles. On a road that renews it is one slice more (or, while less than four slices can be
    afforded, one block of at least ``block_seconds_min``).
    """
    money = None if spendable_nano is None else spendable_nano + held
    if terms.max_call_charge is not None:
        money = terms.max_call_charge if money is None else min(money, terms.max_call_charge)
    if limits.slice_seconds is None:
        return _quota(level, money, min(terms.max_call_seconds, limits.max_grant_seconds), units)
    most = _quota(level, money, terms.max_call_seconds, units)
    plenty = most >= granted + 4 * limits.slice_seconds
    step = limits.slice_seconds if plenty else limits.block_seconds_min
    return min(most, max(_slice_end(tariff, granted + step, units) for tariff in level.tariffs))


def _quota(level: Level, money: int | None, cap_seconds: int, units: int) -> int:
    for tariff in level.tariffs:
        cap_seconds = quota(tariff, money, cap_seconds, units)
    return cap_seconds


def _slice_end(tariff: Tariff, seconds: int, units: int) -> int:
    """Return where a slice ends: with its block, but within a bundle at once, since others may want its units."""
    if units and tariff.free_seconds < seconds <= tariff.included_seconds + units:
        return max(seconds, tariff.included_seconds)
    return block_end(tariff, seconds, units)


def held_for(level: Level, seconds: int, units: int = 0) -> int:
    """Return what a level reserves for ``seconds``: the dearest of the tariffs in force, in nano-units."""
    dearest = 0
    for tariff in level.tariffs:
        dearest = max(dearest, charge(tariff, seconds, units).amount)
    return dearest


def holding(level: Level, seconds: int, has: Supply) -> Level:
    """Return a level that holds what ``seconds`` need: units first, and the charge of the rest."""
    units = has.units
    return Level(
        level.account, level.key, level.currency, level.tariffs, held_for(level, seconds, units), level.bundles,
        units_for(level, seconds, has) if units else (), level.tiered, level.conversions, level.watched,
    )  # fmt: skip
