"""The message key: a repeat is answered with the bytes of the first answer, and changes nothing.

A key of one message (RADIUS) stands for ever; with another body it is a conflict, which is listed for a person.
A key of an operation on a call id (HTTP) stands while it means the same call: a call id that comes again never gets the
old answer, and a second question for a call replaces the first.
"""

from collections.abc import Callable
from typing import TypeVar

from daemon.authorize.attempt import CallAttempt
from daemon.charging.call import Call
from daemon.charging.event import CallReport, Conflict, Decided, MessageKey, Outcome, Replay
from daemon.charging.ports import Book, Exceptional, Message
from daemon.kernel.instant import SECOND, Instant

R = TypeVar("R", Decided, Outcome)
Stands = Callable[[Book, Message], bool]
SPAN_TOLERANCE = 2 * SECOND  # microseconds; a switch counts whole seconds, and rounds them
REFUSAL_STANDS_SECONDS = 10  # seconds; ours: longer than clients go on repeating, shorter than a top-up takes


def once(
    book: Book, message: MessageKey | None, attempt: CallAttempt, now: Instant,
    work: Callable[[Book], R], stands: Stands,
) -> R | Replay | Conflict:  # fmt: skip
    """Answer a repeat with the bytes of the first answer; else run ``work`` and keep the bytes that it answers with."""
    if message is None:
        return work(book)
    earlier = book.message(message.key)
    if earlier is not None and (not message.of_call or stands(book, earlier)):
        if earlier.body == message.body:
            return Replay(earlier.reply)
        book.append_exception(_conflict(message, attempt, now))
        return Conflict(message.key)
    result = work(book)
    if message.of_call and isinstance(result, Outcome) and result.call is None:
        return result  # nothing happened, and the same again is answered the same: a made-up call id leaves no row
    grant_id = result.call.grant_id if result.call is not None else ""
    book.save_message(Message(message.key, message.body, result.reply, now, grant_id))
    return result


def _conflict(message: MessageKey, attempt: CallAttempt, now: Instant) -> Exceptional:
    detail = "the key of an answered message came again with another body"
    return Exceptional(
        "conflict", attempt.tenant, attempt.source, attempt.switch, attempt.call_id, detail, now,
        f"conflict:{message.key}",
    )  # fmt: skip


def same_side(book: Book, attempt: CallAttempt) -> list[Call]:
    """Return the calls of the attempt's call id and direction, oldest first."""
    found = book.calls(attempt.id_domain, attempt.call_id)
    return [call for call in found if call.direction is attempt.direction]


def question_stands(message: MessageKey | None, attempt: CallAttempt, now: Instant) -> Stands:
    """Return the rule by which the answer to the question of a call id still stands.

    A grant stands while its call is the newest and open. A refusal holds nothing: it stands only as long as a client
    may be repeating, so that a caller who tops up is heard. With another body it is a second question.
    """

    def stands(book: Book, earlier: Message) -> bool:
        if message is None or earlier.body != message.body:
            return False
        newest = next(reversed(same_side(book, attempt)), None)
        if earlier.grant_id:
            return newest is not None and newest.is_open and newest.grant_id == earlier.grant_id
        unasked_since = newest is None or newest.requested_at <= earlier.at
        return unasked_since and now - earlier.at <= REFUSAL_STANDS_SECONDS * SECOND

    return stands


def report_stands(report: CallReport, means: Callable[[Book], Call | None]) -> Stands:
    """Return the rule by which the answer to a report on a call id still stands: while it means the same call.

    Where the id means another call by now, the same body is still a repeat if it tells of a time before that call was
    asked about. A caller who re-uses his call id and talks as long as before is therefore charged again.
    """

    def stands(book: Book, earlier: Message) -> bool:
        call = means(book)
        if earlier.grant_id == (call.grant_id if call is not None else ""):
            return True
        if report.message is None or earlier.body != report.message.body or call is None:
            return False
        return report.at - (report.duration_us or 0) < call.requested_at - SPAN_TOLERANCE

    return stands
