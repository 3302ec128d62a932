"""What each switch's records mean: which number is the duration, which leg pays, what is only an attempt."""

import pytest

from daemon.kernel.instant import SECOND, Instant, parse_rfc3339
from daemon.radius.profile import TABLE
from daemon.radius.record import Act, Record
from tests.unit.radius.build import ARRIVAL, Pairs, record, vector_record

NEW_YEAR = parse_rfc3339("2026-01-01T00:00:00Z")
ANSWER = NEW_YEAR + 5 * SECOND


def _at(seconds: float) -> Instant:
    return NEW_YEAR + round(seconds * SECOND)


@pytest.mark.parametrize(
    ("vector", "profile", "act", "answered_at", "ended_at", "seconds"),
    [
        ("radclient-acct_stop", "generic", Act.ENDED, _at(5), _at(190), 185),
        ("radclient-acct_stop", "cisco", Act.ENDED, _at(5), _at(190), 185),
        ("radclient-acct_freeswitch_stop", "freeswitch", Act.ENDED, ARRIVAL - 21 * SECOND, ARRIVAL, 21),
        ("sw-fs-cdr-stop", "freeswitch", Act.ENDED, _at(5), _at(190), 185),
        ("sw-opensips-cdr-stop", "opensips", Act.ENDED, _at(5), _at(189.2), 184.2),
        ("sw-sippy-stop", "sippy", Act.ENDED, _at(5), _at(190), 185),
        ("sw-fs-xmlradius-stop", "freeswitch", Act.ENDED, _at(5), _at(190), 185),
        ("radclient-acct_digium_cdr", "asterisk", Act.ENDED, ARRIVAL - 7 * SECOND, ARRIVAL, 7),
        ("neg-acct-padding", "generic", Act.ENDED, _at(5), _at(190), 185),
    ],
)
def test_an_end_is_measured_by_the_number_to_trust(
    vector: str, profile: str, act: Act, answered_at: Instant, ended_at: Instant, seconds: float
) -> None:
    found = vector_record(vector, profile)
    report = found.report
    assert (found.act, report.answered) == (act, True)
    assert (report.answered_at, report.at) == (answered_at, ended_at)
    assert report.duration_us == round(seconds * SECOND)


def test_billusec_wraps_and_is_not_read() -> None:
    late = parse_rfc3339("2026-01-01T12:00:00Z")
    report = vector_record("sw-fs-cdr-stop-billusec-wrap", "freeswitch", late).report
    assert report.duration_us == 5400 * SECOND
    assert report.answered_at == parse_rfc3339("2025-12-31T18:30:00Z")  # +0518 is +05:30


@pytest.mark.parametrize(
    ("vector", "profile", "act", "answered"),
    [
        ("sw-fs-cdr-start", "freeswitch", Act.KEPT, True),
        ("sw-kamailio-start", "kamailio", Act.ANSWERED, True),
        ("sw-kamailio-failed", "kamailio", Act.ENDED, False),
        ("sw-asterisk-cdr-noanswer", "asterisk", Act.ENDED, False),
        ("radclient-acct_start_cisco", "cisco", Act.KEPT, True),
        ("radclient-acct_start_cisco", "generic", Act.ANSWERED, True),
        ("radclient-acct_on", "generic", Act.REBOOT, True),
        ("radclient-acct_off", "generic", Act.REBOOT, True),
        ("radclient-acct_interim_gigawords", "generic", Act.ALIVE, True),
        ("neg-acct-int-3-octets", "generic", Act.INVALID, True),
        ("neg-acct-no-session-id", "generic", Act.INVALID, True),
        ("neg-acct-status-99", "generic", Act.INVALID, True),
    ],
)
def test_what_a_record_asks_for(vector: str, profile: str, act: Act, answered: bool) -> None:
    found = vector_record(vector, profile)
    assert (found.act, found.report.answered) == (act, answered)


def test_kamailio_has_only_its_clock() -> None:
    start, stop = (vector_record(f"sw-kamailio-{kind}", "kamailio").report for kind in ("start", "stop"))
    assert (start.answered_at, stop.at, stop.duration_us) == (ANSWER, _at(190), None)
    assert vector_record("sw-kamailio-stop", "kamailio").unmeasured
    assert start.attempt.call_id == stop.attempt.call_id == "a84b4c76e66710@pc33.example.com"


@pytest.mark.parametrize(
    ("vector", "profile", "expected"),
    [
        ("radclient-acct_stop", "cisco", "16"),
        ("sw-fs-cdr-stop", "freeswitch", "16"),
        ("sw-sippy-stop", "sippy", "16"),
        ("sw-asterisk-cdr-noanswer", "asterisk", "NO ANSWER"),
        ("sw-kamailio-stop", "kamailio", ""),
    ],
)
def test_the_cause(vector: str, profile: str, expected: str) -> None:
    assert vector_record(vector, profile).report.cause == expected


STOP = [("Acct-Status-Type", "Stop"), ("Acct-Session-Id", "s1"), ("Acct-Session-Time", "60")]


@pytest.mark.parametrize(
    ("profile", "written", "expected"),
    [("audiocodes", "22 (0x16)", "22"), ("cisco", "h323-disconnect-cause=1F", "31"), ("cisco", "zz", ""),
     ("cisco", "FFFF", "")],
)  # fmt: skip
def test_causes_are_written_in_two_bases(profile: str, written: str, expected: str) -> None:
    assert record([*STOP, ("h323-disconnect-cause", written)], profile).report.cause == expected


@pytest.mark.parametrize(
    ("profile", "pairs", "act", "ends", "listed"),
    [
        ("cisco", [*STOP, ("h323-call-origin", "originate")], Act.KEPT, True, True),
        ("cisco", [*STOP[:2], ("h323-call-origin", "originate")], Act.KEPT, True, False),
        ("cisco", [*STOP, ("h323-call-origin", "answer")], Act.ENDED, False, False),
        ("freeswitch", [*STOP, ("Freeswitch-Direction", "outbound")], Act.KEPT, True, False),
        ("freeswitch", [*STOP, ("Freeswitch-Direction", "inbound")], Act.ENDED, False, False),
        ("generic", [*STOP, ("h323-call-origin", "originate")], Act.ENDED, False, False),
        ("sippy", [*STOP, ("h323-call-origin", "originate")], Act.ENDED, False, False),
        (
            "sippy",
            [*STOP[:2], ("Acct-Session-Time", "0"), ("h323-call-origin", "originate")],
            Act.ATTEMPT,
            False,
            False,
        ),
        ("sippy", [*STOP[:2], ("Acct-Session-Time", "0"), ("h323-call-origin", "answer")], Act.ENDED, False, False),
    ],
)
def test_which_leg_pays(profile: str, pairs: Pairs, act: Act, ends: bool, listed: bool) -> None:
    found = record(pairs, profile)
    assert (found.act, found.ends, found.listed) == (act, ends, listed)


def test_channel_events_of_asterisk_are_kept_and_charge_nothing() -> None:
    event = [("Acct-Status-Type", "Stop"), ("Asterisk-Chan", "PJSIP/100-00000001"), ("User-Name", "x")]
    assert record(event, "asterisk").act is Act.KEPT


def test_written_times_that_the_count_does_not_bear_out_are_not_believed() -> None:
    connect = ("h323-connect-time", "00:00:05.000 UTC Thu Jan 1 2026")
    report = record([*STOP, connect, ("h323-disconnect-time", "00:09:05.000 UTC Thu Jan 1 2026")]).report
    assert (report.answered_at, report.at) == (ARRIVAL - 60 * SECOND, ARRIVAL)
    alone = record([*STOP[:2], connect, ("h323-disconnect-time", "00:09:05.000 UTC Thu Jan 1 2026")]).report
    assert (alone.answered_at, alone.duration_us, alone.switch_seconds) == (ANSWER, 540 * SECOND, None)


def test_without_a_status_it_is_no_record_of_a_call() -> None:
    found = record([("Acct-Session-Id", "s1")])
    assert (found.act, found.why) == (Act.INVALID, "no Acct-Status-Type")


def test_no_duration_at_all() -> None:
    found = record(STOP[:2])
    assert (found.act, found.unmeasured, found.report.duration_us) == (Act.ENDED, True, None)


@pytest.mark.parametrize(
    ("pairs", "seconds", "answered"),
    [
        ([("Sip-Call-Duration", "185")], 185, True),
        ([("Sip-Call-Duration", "1"), ("Sip-Call-MSDuration", "200")], 0.2, True),
        ([("Sip-Call-MSDuration", "0")], 0, False),
        ([("Sip-Method", "8")], None, True),
        ([("Sip-Method", "2")], None, False),
        ([("Acct-Session-Time", "9")], 9, True),
    ],
)
def test_opensips_with_and_without_cdrs(pairs: Pairs, seconds: float | None, answered: bool) -> None:
    report = record([*STOP[:2], *pairs], "opensips").report
    assert report.duration_us == (None if seconds is None else round(seconds * SECOND))
    assert report.answered is answered


def test_an_interim_tells_when_the_call_was_answered() -> None:
    alive = [("Acct-Status-Type", "Alive"), ("Acct-Session-Id", "s1")]
    assert record([*alive, ("Acct-Session-Time", "60")]).report.answered_at == ARRIVAL - 60 * SECOND
    assert record(alive).report.answered_at is None


def _key(found: Record) -> tuple[str, bytes]:
    return found.message.key, found.message.body


def test_a_repeat_is_told_by_content_not_by_delay_or_proxy() -> None:
    first = _key(record([*STOP, ("Acct-Delay-Time", "0")]))
    assert _key(record([*STOP, ("Acct-Delay-Time", "30"), ("Proxy-State", "0x01")])) == first
    assert _key(record([*STOP, ("Message-Authenticator", "0x00")])) == first
    other = _key(record([*STOP, ("User-Name", "x")]))
    assert (other[0], other[1] != first[1]) == (first[0], True)
    for pairs in (
        [*STOP[:2], ("Acct-Session-Time", "61")],
        [STOP[0], ("Acct-Session-Id", "s2"), STOP[2]],
        [("Acct-Status-Type", "Alive"), *STOP[1:]],
        [*STOP, ("h323-call-origin", "answer")],
    ):
        assert _key(record(pairs))[0] != first[0]


def test_records_without_any_time_are_told_by_their_body() -> None:
    start = [("Acct-Status-Type", "Start"), ("Acct-Session-Id", "0000004F")]
    assert _key(record(start)) == _key(record(start))
    assert _key(record(start))[0] != _key(record([*start, ("User-Name", "x")]))[0]
    stamped = [*start, ("Event-Timestamp", "1767225600")]
    assert _key(record(stamped))[0] == _key(record([*stamped, ("User-Name", "x")]))[0]


@pytest.mark.parametrize(
    ("value", "grant"), [("01KAAAAAAAAAAAAAAAAAAAAAAA", "01KAAAAAAAAAAAAAAAAAAAAAAA"), ("0xdeadbeef", ""), ("a b", "")]
)
def test_a_class_names_a_grant_only_if_it_can(value: str, grant: str) -> None:
    assert record([*STOP, ("Class", value)]).report.grant_id == grant


def test_every_profile_reads_a_plain_stop_alike() -> None:
    for name in TABLE:
        report = record(STOP, name).report
        assert (report.duration_us, report.at, report.answered) == (60 * SECOND, ARRIVAL, True), name


@pytest.mark.parametrize(
    ("profile", "attribute", "value", "expected"),
    [
        ("generic", "Cisco-AVPair", "tollway_route=3", 3),
        ("freeswitch", "Freeswitch-AVPair", "tollway_route=12", 12),
        ("kamailio", "SIP-AVP", "tollway_route#2", 2),
        ("opensips", "SIP-AVP", "tollway_route: 2", 2),
        ("opensips", "SIP-AVP", "tollway_routes:2", 0),
        ("opensips", "SIP-AVP", "other:2", 0),
        ("generic", "Cisco-AVPair", "tollway_route=99999", 0),
        ("generic", "Cisco-AVPair", "tollway_route=-1", 0),
        ("generic", "Cisco-AVPair", "tollway_route=\u0663", 0),
    ],
)
def test_the_route_that_a_record_names(profile: str, attribute: str, value: str, expected: int) -> None:
    assert record([*STOP, (attribute, value)], profile).report.route == expected
