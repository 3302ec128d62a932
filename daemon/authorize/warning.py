"""When a call is to be warned that its money, or its time, comes to an end: seconds from its answer.

Low balance looks at the money alone: what the payer has for this call, by the tariff it is charged by. The cut-off
looks at whatever ends the call first. Both move with what they look at: money that comes moves them later. Pure.
"""

from daemon.authorize.decision import Level
from daemon.authorize.warning_terms import NEVER_WARNED, Warnings, WarningTerms
from daemon.rating.quota import quota


def warnings(
    terms: WarningTerms, level: Level, money: int, longest_seconds: int, ends_seconds: int, units: int = 0
) -> Warnings:
    """Return when to warn a call that has ``money`` nano-units in all, and ``units`` of a bundle, at its payer's level.

    No call is longer than ``longest_seconds``: money that lasts so long is not low. It ends after ``ends_seconds``.
    """
    if not terms.is_any:
        return NEVER_WARNED
    found = []
    if terms.low_seconds:
        lasts = _lasts(level, money, longest_seconds, units)
        found += [lasts - terms.low_seconds] if lasts < longest_seconds else []
    if terms.low_nano:
        lasts = _lasts(level, max(0, money - terms.low_nano), longest_seconds, units)
        found += [lasts] if lasts < longest_seconds else []
    low = max(1, min(found)) if found else 0
    return Warnings(low, max(1, ends_seconds - terms.cutoff_seconds) if terms.cutoff_seconds else 0)


def _lasts(level: Level, money: int, longest_seconds: int, units: int) -> int:
    return min(quota(tariff, money, longest_seconds, units) for tariff in level.tariffs)
