"""When a call that holds money is to be warned, as its account stands in one transaction.

Where several calls run on an account, each counts on its part of what is free: who ends when is known exactly only when
money is short, and is looked at anew with every slice. A call whose account asks for no warning costs a comparison.
"""

from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Level
from daemon.authorize.duration import seconds_for, spendable
from daemon.authorize.metering import held_units
from daemon.authorize.quote import Limits
from daemon.authorize.warning import warnings
from daemon.charging.call import Call
from daemon.charging.ports import Book
from daemon.kernel.instant import Instant

ANY_SECONDS = 1 << 31  # seconds; no limit of a road: those of the account stay


def with_warnings(book: Book, catalog: Catalog, call: Call, now: Instant) -> Call:
    """Return a call that holds what it was granted with the seconds at which it is to be warned."""
    payer = call.levels[0]
    terms = catalog.by_number[payer.account].facing(call.direction)
    if not terms.warnings.is_any or call.emergency:
        return call
    money = [payer.reserved + _free(book, catalog, call, payer, now) for payer in call.levels]
    ends = call.granted_seconds
    if call.renewable:
        ends = min(_ends(catalog, call, level, each) for level, each in zip(call.levels, money, strict=True))
    found = warnings(terms.warnings, payer, money[0], terms.max_call_seconds, ends, held_units(payer))
    return call if found == call.warnings else call.changed(warnings=found)


def _free(book: Book, catalog: Catalog, call: Call, level: Level, now: Instant) -> int:
    """Return the part of an account's free money that one of its calls may count on."""
    standing = book.standing(level.account)
    free = spendable(catalog.by_number[level.account].facing(call.direction), standing, level.watched, now)
    return max(0, free) // max(1, standing.channels)


def _ends(catalog: Catalog, call: Call, level: Level, money: int) -> int:
    terms = catalog.by_number[level.account].facing(call.direction)
    return seconds_for(level, money, 0, 0, terms, Limits(max_grant_seconds=ANY_SECONDS), held_units(level))
