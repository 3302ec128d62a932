"""A report that comes when its call may have left the store: it is listed for a person, and never charged again.

A call leaves only with a month that is long closed, so what a report tells of decides: a call that began before the
end of the newest archived month and is not in the store may be one of the archived ones. Pure.
"""

from daemon.charging.event import CallReport
from daemon.charging.ports import Book, Exceptional
from daemon.kernel.instant import SECOND, Instant, format_rfc3339


def began_at(report: CallReport) -> Instant:
    """Return when the call of a report began by what it tells: its answer, else its duration before the report."""
    return report.answered_at if report.answered_at is not None else report.at - (report.duration_us or 0)


def listed_as_archived(book: Book, report: CallReport, until: Instant, now: Instant) -> bool:
    """List a report on a call that the store does not have and that began before ``until``; tell whether it was."""
    begun = began_at(report)
    if begun >= until:
        return False
    attempt = report.attempt
    told = f"{(report.duration_us or 0) // SECOND} seconds from {format_rfc3339(max(begun, 0))}"
    detail = f"{told}: calls of that time are archived, and it is not charged; see 'tollway call show'"
    key = f"archived:{attempt.id_domain}:{attempt.call_id}:{begun}"
    book.append_exception(
        Exceptional("archived", attempt.tenant, attempt.source, attempt.switch, attempt.call_id, detail, now, key)
    )
    return True
