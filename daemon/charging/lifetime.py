"""How long a call lived: from answer to release by one and the same clock, whosever it is (SPEC section 4, RADIUS).

A switch whose clock stands behind ours tells an answer before its question. Our time stands in for that instant, since
prices and limits go by it, and how far the two lie apart is kept with the call: what the switch tells later is brought
to our time by as much. So the difference of two instants of its own is what is charged. Pure functions.
"""

from daemon.charging.call import Call
from daemon.charging.event import CallReport
from daemon.kernel.instant import SECOND, Instant, decimal_seconds

SHORT_US = 2 * SECOND  # microseconds of our own clock in which records of whole seconds may tell of no life at all


def told_at(call: Call, report: CallReport, now: Instant) -> Instant:
    """Return a report's instant by our clock, never later than now."""
    return min(report.at + call.behind_us, now) if call.behind_us else report.at


def measured_us(call: Call, report: CallReport, now: Instant) -> int:
    """Return the microseconds from answer to release: as measured by the switch, else between two instants of its own.

    Where those were brought to our time it is no more than since the question: its clock may have been set right.
    """
    if report.duration_us is not None:
        return report.duration_us
    lived = max(0, _between_us(call, report))
    return min(lived, max(0, now - call.requested_at)) if call.behind_us else lived


def lifeless(call: Call, report: CallReport, now: Instant) -> str:
    """Return what is to be listed of an answered call that measures nothing although our clock ran on, or nothing."""
    assert call.answered_at is not None, call
    if report.duration_us is not None or _between_us(call, report) > 0:
        return ""
    ours = now - call.answered_at
    if _between_us(call, report) == 0 and ours < SHORT_US:
        return ""
    before = decimal_seconds(-_between_us(call, report))
    return (
        f"its end lies {before} s before its answer by the switch's clock, {decimal_seconds(max(0, ours))} s after it"
        " by ours: charged for 0 s"
    )


def _between_us(call: Call, report: CallReport) -> int:
    assert call.answered_at is not None, call
    return report.at + call.behind_us - call.answered_at
