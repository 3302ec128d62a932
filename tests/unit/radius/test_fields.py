"""What gateways write: prefixes, marks, half-hour zones, clocks that were never set, delays that are no delays."""

import pytest

from daemon.kernel.instant import DAY, SECOND, Instant, parse_rfc3339
from daemon.radius.fields import Fields, happened_at, plausible, read_time, text
from daemon.radius.packet import decode, vendor_key
from tests.unit.radius.build import fields

NEW_YEAR = parse_rfc3339("2026-01-01T00:00:00Z")
ARRIVAL = NEW_YEAR + 10 * DAY


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("00:03:10.000 UTC Thu Jan 1 2026", NEW_YEAR + 190 * SECOND),
        ("00:03:10.5 GMT Thu Jan  1 2026", NEW_YEAR + 190 * SECOND + 500_000),
        ("00:03:10 UTC Thu Jan 1 2026", NEW_YEAR + 190 * SECOND),
        ("2026-01-01T00:00:05.000000+0000", NEW_YEAR + 5 * SECOND),
        ("2026-01-01 00:00:00 +0000", NEW_YEAR),
        ("2026-01-01T05:30:00.000000+0518", NEW_YEAR),
        ("2026-01-01T05:45:00.000000+0527", NEW_YEAR),
        ("2025-12-31T20:30:00.000000-0318", NEW_YEAR),
        ("2025-12-31T21:00:00.000000-0300", NEW_YEAR),
        ("*00:03:10.000 UTC Thu Jan 1 2026", None),
        (".00:03:10.000 UTC Thu Jan 1 2026", None),
        ("00:03:10.000 PST Thu Jan 1 2026", None),
        ("00:03:10.000 UTC Thu Foo 1 2026", None),
        ("25:03:10.000 UTC Thu Jan 1 2026", None),
        ("2026-13-01T00:00:00.000000+0000", None),
        ("2026-01-01T00:00:00.000000+0051", None),
        ("2026-01-01T00:00:00.000000+99999", None),
        ("1970-01-01 00:00:00 +0000", None),
        ("2014-04-08_12:00:06", None),
        ("", None),
    ],
)
def test_a_time_is_read_or_is_none(written: str, instant: Instant | None) -> None:
    assert read_time(written) == instant


def test_a_value_is_the_same_with_and_without_its_prefix_and_from_any_vendor() -> None:
    for name, value in (
        ("h323-conf-id", "h323-conf-id=A B"),
        ("h323-conf-id", "A B"),
        ("Quintum-h323-conf-id", "h323-conf-id=A B"),
        ("AudioCodes-4923-h323-conf-id", "A B"),
        ("Cisco-AVPair", "h323-conf-id=A B"),
        ("Quintum-AVPair", "h323-conf-id = A B".replace(" = ", "=")),
    ):
        assert fields([(name, value)]).voip("h323-conf-id") == "A B"
    assert fields([("Cisco-AVPair", "no pair"), ("h323-conf-id", "")]).voip("h323-conf-id", "call-id") == ""


def test_octets_that_are_no_text_are_shown_whole() -> None:
    assert text(b"plain zo\xc3\xab") == "plain zoë"
    assert text(b"\xff\x00\n") == "\\xff\\x00\\n"


def test_numbers_of_another_length_are_none_and_known_to_be() -> None:
    packet = decode(bytes((4, 1, 0, 25)) + bytes(16) + b"\x2e\x05\x00\x00\x01")
    read = Fields(packet, "generic")
    assert read.number("Acct-Session-Time") is None
    assert read.is_malformed("Acct-Session-Time")
    assert read.has("Acct-Session-Time")
    assert not read.is_malformed("Acct-Status-Type")
    assert read.number("Acct-Status-Type") is None


@pytest.mark.parametrize(
    ("pairs", "instant"),
    [
        ([], ARRIVAL),
        ([("Acct-Delay-Time", "7")], ARRIVAL - 7 * SECOND),
        ([("Acct-Delay-Time", "86400")], ARRIVAL - DAY),
        ([("Acct-Delay-Time", "86401")], ARRIVAL),
        ([("Acct-Delay-Time", "1767225602")], ARRIVAL),
        ([("Event-Timestamp", "1767225600"), ("Acct-Delay-Time", "7")], NEW_YEAR),
        ([("Event-Timestamp", "0"), ("Acct-Delay-Time", "7")], ARRIVAL - 7 * SECOND),
        ([("Event-Timestamp", "4000000000")], ARRIVAL),
        ([("raw.55", "1767225600.377372"), ("Acct-Delay-Time", "7")], NEW_YEAR + 377_372),
        ([("raw.55", "1767225600.37737a")], ARRIVAL),
        ([("raw.55", "17672256001234567890")], ARRIVAL),
    ],
)
def test_when_it_happened(pairs: list[tuple[str, str]], instant: Instant) -> None:
    assert happened_at(fields(pairs), ARRIVAL, delay_is_delay=True) == instant


def test_a_clock_in_acct_delay_time_is_no_delay() -> None:
    assert happened_at(fields([("Acct-Delay-Time", "7")]), ARRIVAL, delay_is_delay=False) == ARRIVAL


def test_what_is_too_old_or_to_come() -> None:
    assert plausible(None, ARRIVAL) is None
    assert plausible(ARRIVAL - 366 * DAY, ARRIVAL) == ARRIVAL - 366 * DAY
    assert plausible(ARRIVAL - 366 * DAY - 1, ARRIVAL) is None
    assert plausible(ARRIVAL + 1, ARRIVAL) == ARRIVAL


def test_the_key_of_a_vendor() -> None:
    assert vendor_key(9, 1) == 2305
