"""Which call a report is about: by grant, call id, number, alias; and what tells a repeat from a call of its own.

Call ids are chosen by callers and counted from 1 by rebooted gateways (SPEC section 4, Keys): an id alone decides only
where nothing better is known. Pure functions over a Book.
"""

from daemon.authorize.attempt import CallAttempt
from daemon.charging.call import ESTIMATES, Call, CallState, SettledBy
from daemon.charging.event import CallReport
from daemon.charging.ports import Book
from daemon.charging.repeats import SPAN_TOLERANCE, same_side
from daemon.kernel.e164 import digits
from daemon.kernel.instant import SECOND, Instant

CLOCK_TOLERANCE = 60 * SECOND  # microseconds by which the clocks of two sources may differ


def next_place(earlier: list[Call]) -> tuple[int, int]:
    """Return attempt and part of a new question: the next part of an open call, the next use of a closed one."""
    if not earlier:
        return 1, 1
    newest = earlier[-1]
    still_open = any(call.is_open for call in earlier if call.attempt == newest.attempt)
    return (newest.attempt, newest.part + 1) if still_open else (newest.attempt + 1, 1)


def place_of_report(earlier: list[Call], report: CallReport) -> tuple[int, int]:
    """Return attempt and part of a call that a report opens: a later part of one leg is of the same attempt."""
    if report.part > 1 and earlier:
        return earlier[-1].attempt, report.part
    number, part = next_place(earlier)
    return number, report.part or part


def joined_call(book: Book, report: CallReport) -> Call | None:
    """Return the call that a report belongs to: by call id, then alias, then grant (SPEC section 4, RADIUS)."""
    attempt = report.attempt
    if report.exact and report.grant_id:
        return book.call(report.grant_id)
    calls = reported_calls(book, attempt)
    if report.part:
        calls = [call for call in calls if call.part == report.part]
    granted = book.call(report.grant_id) if report.grant_id else None
    if granted is not None and granted in calls and attempt.tenant == granted.tenant:
        return granted  # of several parts of one call id the echoed grant tells which
    calls = of_number(of_payer(calls, report), report)
    calls = _of_span(calls, report)
    found = next((call for call in reversed(calls) if call.is_open), calls[-1] if calls else None)
    if found is not None and (found.is_open or not report.grant_id):
        return found
    if granted is not None and attempt.tenant == granted.tenant:
        return granted
    if found is not None:
        return found
    candidates = (book.aliased(attempt.id_domain, alias) for alias in report.aliases)
    return next((call for call in candidates if call is not None), None) or weakly_joined(book, report)


def of_payer(calls: list[Call], report: CallReport) -> list[Call]:
    """Return those of several calls of one id that the account named by the report pays, or all where none is told.

    A caller who chooses another's call id never moves that one's charge by his own records.
    """
    if report.payer is None or len(calls) < 2:
        return calls
    return [call for call in calls if call.payer == report.payer] or calls


def contested(book: Book, report: CallReport) -> list[Call]:
    """Return the open calls that an end may mean where several accounts pay them, and it names none; else none."""
    if report.exact or report.grant_id or report.part:
        return []
    calls = of_number(of_payer(reported_calls(book, report.attempt), report), report)
    running = [call for call in calls if call.is_open and call.direction is report.attempt.direction]
    return running if len({call.payer for call in running}) > 1 else []


def of_number(calls: list[Call], report: CallReport) -> list[Call]:
    """Return those of several calls of one id whose number is the report's, or all where it tells none of them."""
    number = digits(report.attempt.called)
    if report.part or number is None or len(calls) < 2:
        return calls
    written = report.attempt.called
    return [call for call in calls if number.endswith(call.called) or call.dialled == written] or calls


def _of_span(calls: list[Call], report: CallReport) -> list[Call]:
    """Return the part that an end's span tells, or all where it tells none.

    A re-INVITE asks again and nothing more: an answered part is meant before one that only rings. Two calls may run
    under one id at once (the caller chooses it): each end belongs to the newest that was asked about before it began.
    """
    if report.part or not report.duration_us or len(calls) < 2:
        return calls
    talked = [call for call in calls if call.started and (call.is_open or call.settled_by in ESTIMATES)]
    begun = report.at - report.duration_us
    fitting = [call for call in talked if call.requested_at <= begun + SPAN_TOLERANCE]
    return fitting[-1:] or talked[-1:] or calls


def weakly_joined(book: Book, report: CallReport) -> Call | None:
    """Return the newest call of the same parties that no report has joined: the last resort."""
    candidates = (book.aliased(report.attempt.id_domain, alias) for alias in report.weak_aliases)
    return next((call for call in candidates if call is not None and not call.joined), None)


def adopted(book: Book, call: Call, report: CallReport) -> Call:
    """Return the call under the switch's own call id, which the question may not have carried.

    Where that id was used before, the call is its next attempt: a charge key is never shared.
    """
    attempt = report.attempt
    if call.joined or (call.id_domain, call.call_id) == (attempt.id_domain, attempt.call_id):
        return call.changed(joined=True)
    number, part = next_place(other_calls(book, attempt, call))
    return call.changed(joined=True, call_id=attempt.call_id, id_domain=attempt.id_domain, attempt=number, part=part)


def other_calls(book: Book, attempt: CallAttempt, call: Call) -> list[Call]:
    """Return the other calls of the attempt's call id in the direction of a call, oldest first."""
    found = book.calls(attempt.id_domain, attempt.call_id)
    return [other for other in found if other.direction is call.direction and other.grant_id != call.grant_id]


def reported_calls(book: Book, attempt: CallAttempt) -> list[Call]:
    """Return the calls that a report may mean: those of its direction, else (the road does not tell it) all."""
    return same_side(book, attempt) or list(book.calls(attempt.id_domain, attempt.call_id))


def measured_us(call: Call, report: CallReport) -> int:
    """Return the microseconds from answer to release: as measured by the switch, else between the two instants."""
    if report.duration_us is not None:
        return report.duration_us
    assert call.answered_at is not None, call
    return max(0, report.at - call.answered_at)


def was_answered(report: CallReport) -> bool:
    return report.answered and (bool(report.duration_us) or report.answered_at is not None)


def apart(call: Call, report: CallReport) -> bool:
    """Tell whether an end is about a later call of the same id: it began after the settled one had ended.

    Clocks differ, so the two have to lie ``CLOCK_TOLERANCE`` apart (SPEC section 4, Keys).
    """
    if report.grant_id == call.grant_id or call.ended_at is None or not report.duration_us:
        return False
    return report.at - report.duration_us > call.ended_at + CLOCK_TOLERANCE


def ended_before(call: Call, answered_at: Instant) -> bool:
    """Tell whether the end of an answered call was told before its answer: the two came in the wrong order."""
    kept = call.state is CallState.VOIDED and call.settled_by is SettledBy.HANGUP
    return kept and call.ended_at is not None and answered_at <= call.ended_at


def starts_anew(call: Call, report: CallReport, answered_at: Instant) -> bool:
    """Tell whether a Start re-uses the id of a closed call; one that was answered before its end is only late."""
    if call.is_open or call.ended_at is None or call.state is not CallState.SETTLED:
        return False
    if report.grant_id == call.grant_id or call.settled_by in ESTIMATES:
        return False
    if not call.started:  # its Stop came first: the Start that follows within the tolerance is only late
        return answered_at > call.ended_at + CLOCK_TOLERANCE
    return answered_at > call.ended_at


def answer_instant(report: CallReport, now: Instant) -> Instant:
    return min(report.answered_at if report.answered_at is not None else report.at, now)
