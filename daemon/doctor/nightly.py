"""What waits for a person: late hand-offs, exceptions, calls that nobody resolves, debts, grants in a journal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from daemon.charging.ports import StoreError
from daemon.doctor.finding import Finding, ill, skipped, some, well
from daemon.journal import PostpaidJournal
from daemon.kernel.instant import SECOND, Instant, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.store.health import debts_of, exceptions_of, hand_offs, overdue_calls
from daemon.store.link import Link

LATE: Final[Instant] = 26 * 3600 * SECOND  # microseconds: a night's hand-off, and two hours to do it in
NEW: Final[Instant] = 7 * 86_400 * SECOND  # microseconds: older exceptions are on record, and no news
OVERDUE: Final[Instant] = 300 * SECOND  # microseconds after which a daemon that runs has resolved a call that was due


def exports(link: Link, now: Instant) -> Iterator[Finding]:
    """Yield the tenants whose records wait for longer than a night."""
    tenants = list(hand_offs(link))
    late = [each for each in tenants if each.waits_since and max(each.waits_since, each.exported_at) < now - LATE]
    for each in late[:20]:
        last = f"the last was at {format_rfc3339(each.exported_at)}" if each.exported_at else "there was none yet"
        yield ill(
            "exports", "late", f"tenant {each.tenant}: records wait since {format_rfc3339(each.waits_since)}, {last}"
        )
    if len(late) > 20:
        yield ill("exports", "late", f"{len(late) - 20} more tenants")
    if not late:
        newest = max((each.exported_at for each in tenants), default=0)
        last = f"; the last hand-off was at {format_rfc3339(newest)}" if newest else ""
        yield well("exports", f"no record waits for longer than {LATE // SECOND // 3600} h{last}")


def exceptions(link: Link, now: Instant) -> Finding:
    """Return what the last week put on the exception list."""
    found = exceptions_of(link, now - NEW)
    if not found:
        return well("exceptions", "none in the last 7 days")
    told = some([f"{count} {kind}" for kind, count in sorted(found.items(), key=lambda pair: -pair[1])])
    return ill("exceptions", "waiting", f"in the last 7 days: {told}")


def calls(link: Link, now: Instant) -> Finding:
    """Return the open calls that were due to be resolved and were not."""
    count = overdue_calls(link, now - OVERDUE)
    if count:
        return ill("calls", "stuck", f"{count} open calls were due more than {OVERDUE // SECOND // 60} minutes ago")
    return well("calls", "every open call is within its time")


def debts(link: Link) -> Finding:
    """Return what accounts could not pay."""
    found = debts_of(link)
    if not found:
        return well("debts", "no account has any")
    named = some([f"{tenant}/{name} {format_nano(owed)}" for tenant, name, owed in found])
    return ill("debts", "uncollected", f"{len(found)} accounts, each in its currency: {named}")


async def journal(path: Path) -> Finding:
    """Return how many postpaid grants wait for the store."""
    try:
        waiting = await PostpaidJournal(path).waiting()
    except StoreError as error:
        return skipped("journal", str(error))
    if waiting:
        return ill("journal", "waiting", f"{waiting} grants in {path} wait for the store")
    return well("journal", "no grant waits for the store")
