"""An Accounting-Request becomes a report: answered, alive, ended; or something that is only kept. Pure.

A record that cannot be understood is quarantined on the exception list, whole, and acknowledged: it will not become
clearer by being sent again. A repeat is told by content, not by Identifier: a client that fails over to another
server sends the same record under a new one, with a raised Acct-Delay-Time (RFC 2866 section 5.2).
"""

from dataclasses import dataclass, replace
from enum import Enum

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.charging.configuration import NasSpec
from daemon.charging.event import CallReport, MessageKey
from daemon.kernel.ids import Direction, is_id
from daemon.kernel.instant import SECOND, Instant
from daemon.radius.fields import Fields, happened_at, plausible, text
from daemon.radius.packet import MESSAGE_AUTHENTICATOR, Packet, encode_attribute
from daemon.radius.profile import Profile, cause, leg, profile, route
from daemon.radius.question import (
    body_digest,
    joint_ids,
    read_attempt,
    read_call_id,
    stations,
)

CLASS, PROXY_STATE, ACCT_DELAY_TIME = 25, 33, 41
START, STOP, INTERIM, ON, OFF, FAILED = 1, 2, 3, 7, 8, 15  # Acct-Status-Type: RFC 2866 section 5.1; Failed: SIP proxies
_STATUSES = frozenset({START, STOP, INTERIM, FAILED})
_NOT_CONTENT = frozenset({ACCT_DELAY_TIME, PROXY_STATE, MESSAGE_AUTHENTICATOR})  # may differ in a repeat


class Act(Enum):
    """What a record asks of charging."""

    ANSWERED = "answered"
    ALIVE = "alive"
    ENDED = "ended"
    ATTEMPT = "attempt"  # a carrier failed, and the call may go on by the next
    KEPT = "kept"  # acknowledged once it is on record; it charges nothing
    REBOOT = "reboot"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Record:
    """One accounting record. ``why`` says why it is kept or invalid.

    ``ends``: the end of a leg that does not pay, unless its own id was granted. ``listed``: a person should know where
    no leg of its call pays. ``unmeasured``: an end that says the call was answered, but not for how long.
    """

    act: Act
    message: MessageKey
    report: CallReport
    why: str = ""
    ends: bool = False
    listed: bool = False
    unmeasured: bool = False


def read_record(packet: Packet, nas: NasSpec, source: str, catalog: Catalog, arrival: Instant) -> Record:
    """Return what an Accounting-Request of a client means. ``arrival`` is our clock."""
    switch = profile(nas.profile)
    fields = Fields(packet, nas.profile)
    status = fields.number("Acct-Status-Type")
    call_id = read_call_id(fields, switch)
    at = happened_at(fields, arrival, delay_is_delay=switch.delay_is_delay)
    attempt = read_attempt(fields, nas, switch, source, call_id, None, catalog)
    report = CallReport(
        attempt=replace(attempt, aliases=()), at=at, grant_id=_class(packet), aliases=joint_ids(fields),
        weak_aliases=stations(fields, switch), cause=cause(fields, switch),
        message=_message(packet, fields, nas, attempt, status), route=route(fields),
    )  # fmt: skip
    assert report.message is not None
    if status in (ON, OFF):
        return Record(Act.REBOOT, report.message, report)
    fault = _fault(fields, status, call_id)
    if fault:
        return Record(Act.INVALID, report.message, report, fault)
    if not fields.has("Acct-Session-Id") and fields.has("Asterisk-Chan"):
        return Record(Act.KEPT, report.message, report, "a channel event (cel_radius) has no duration")
    assert status is not None
    return _of_call(status, fields, switch, report, arrival)


def _fault(fields: Fields, status: int | None, call_id: str) -> str:
    """Return why a record cannot be charged, or nothing (RFC 2866 section 5)."""
    broken = [name for name in ("Acct-Status-Type", "Acct-Session-Time") if fields.is_malformed(name)]
    if broken:
        return f"{' and '.join(broken)} without four octets"
    if status is None:
        return "no Acct-Status-Type"
    if status not in _STATUSES:
        return f"Acct-Status-Type {status} is none of a call"
    is_event = not fields.has("Acct-Session-Id") and fields.has("Asterisk-Chan")
    return "" if call_id or is_event else "no Acct-Session-Id, h323-conf-id or call-id"


def _class(packet: Packet) -> str:
    """Return the grant that an echoed Class names: our own are ids, and other servers' are none of ours."""
    value = packet.first(CLASS)
    found = text(value) if value is not None else ""
    return found if is_id(found) else ""


def _message(packet: Packet, fields: Fields, nas: NasSpec, attempt: CallAttempt, status: int | None) -> MessageKey:
    """Return the key of SPEC section 4: nas, session id, status, session time, else Event-Timestamp; and the leg.

    The two legs of one call may share a session id, and so may its two sides. A record that tells no time at all is
    told by its body.
    """
    content = [encode_attribute(key, value) for key, value in packet.attributes if key not in _NOT_CONTENT]
    body = body_digest(b"".join(content))
    seconds = fields.number("Acct-Session-Time")
    stamped = fields.event_timestamp()
    when = f"{seconds}s" if seconds is not None else f"@{stamped}" if stamped is not None else body.hex()
    which = leg(fields)[:16] + (".inbound" if attempt.direction is Direction.INBOUND else "")
    name = f"{nas.tenant}/{nas.id}:{status}:{when}:{which}:{attempt.call_id}"
    return MessageKey(f"radius-acct:{name}", body, of_call=True)


def _of_call(status: int, fields: Fields, switch: Profile, report: CallReport, arrival: Instant) -> Record:
    assert report.message is not None
    if leg(fields) == switch.other_leg != "":
        why = f"the profile does not charge the leg {switch.other_leg}"
        ended = _ended(fields, switch, report, arrival)
        listed = status == STOP and not switch.other_leg_is_common and bool(ended.duration_us)
        return Record(Act.KEPT, report.message, ended, why, ends=status == STOP, listed=listed)
    if status == START:
        return _start(fields, switch, report, arrival)
    if status == INTERIM:
        seconds = fields.number("Acct-Session-Time")
        answered_at = report.at - seconds * SECOND if seconds is not None else None
        return Record(Act.ALIVE, report.message, replace(report, answered_at=answered_at))
    if status == FAILED:
        return Record(Act.ENDED, report.message, replace(report, answered=False, duration_us=0))
    ended = _ended(fields, switch, report, arrival)
    if switch.routing and not ended.answered and leg(fields) == "originate":
        failed = replace(ended, route=0)  # whichever it was: the one in use
        return Record(Act.ATTEMPT, report.message, failed, "one route did not answer; the call may go on by the next")
    return Record(Act.ENDED, report.message, ended, unmeasured=ended.answered and ended.duration_us is None)


def _start(fields: Fields, switch: Profile, report: CallReport, arrival: Instant) -> Record:
    assert report.message is not None
    connect = plausible(fields.clock("h323-connect-time"), arrival)
    told = fields.voip("h323-connect-time")
    setup_only = switch.setup_starts and not told and bool(fields.voip("h323-setup-time"))
    if not switch.start_answers or setup_only:
        return Record(Act.KEPT, report.message, report, "a Start of this switch is an attempt, not an answer")
    return Record(
        Act.ANSWERED, report.message, replace(report, answered_at=connect if connect is not None else report.at)
    )


def _ended(fields: Fields, switch: Profile, report: CallReport, arrival: Instant) -> CallReport:
    measured = switch.measure(fields, report.at, arrival)
    ended_at = measured.ended_at if measured.ended_at is not None else report.at
    return replace(
        report, at=min(ended_at, arrival), answered=measured.answered, answered_at=measured.answered_at,
        duration_us=measured.duration_us, switch_seconds=measured.seconds,
    )  # fmt: skip
