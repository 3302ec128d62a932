"""What is late, and how batches are named."""

import pytest

from daemon.billing_export.batch import Batch, Lateness, batch_name, sequence_of
from daemon.kernel.instant import InstantError, parse_rfc3339
from tests.unit.billing_export.ledger_of_records import record


def batch(begins: str, zone: str) -> Batch:
    """Return a batch of one night."""
    start = parse_rfc3339(begins)
    return Batch("main", 2, 0, 1, start, start + 86_400_000_000, start, zone, "0" * 64)


@pytest.mark.parametrize(
    ("zone", "answered_at", "late"),
    [
        ("UTC", "2026-11-24T01:59:59.999999Z", False),  # the day on which the period begins, before the cut
        ("UTC", "2026-11-24T00:00:00Z", False),
        ("UTC", "2026-11-23T23:59:59.999999Z", True),
        ("America/New_York", "2026-11-23T23:59:59Z", False),  # 02:00 UTC is still the 23rd there
        ("America/New_York", "2026-11-23T05:00:00Z", False),
        ("America/New_York", "2026-11-23T04:59:59Z", True),
        ("Asia/Tokyo", "2026-11-23T15:00:00Z", False),  # already the 24th there
        ("Asia/Tokyo", "2026-11-23T14:59:59Z", True),
    ],
)
def test_a_record_is_late_where_its_local_day_lies_before_that_of_the_period(
    zone: str, answered_at: str, late: bool
) -> None:
    lateness = Lateness(batch("2026-11-24T02:00:00Z", zone))
    assert lateness.of(record(1, answered_at=parse_rfc3339(answered_at))) is late


def test_nothing_is_late_in_the_first_batch() -> None:
    first = Batch("main", 1, 0, 1, 0, parse_rfc3339("2026-11-24T02:00:00Z"), 0, "Asia/Tokyo", "")
    assert Lateness(first).of(record(1, answered_at=0)) is False


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(InstantError, match="Atlantis"):
        Lateness(batch("2026-11-24T02:00:00Z", "Europe/Atlantis"))


def test_names_are_the_tenant_and_eight_digits() -> None:
    assert batch_name("main", 1) == "main-00000001"
    assert batch("2026-11-24T02:00:00Z", "UTC").name == "main-00000002"
    names = ["main-00000012", "main-12", "other-00000012", "main-0000001x", "main-0000001²", "main_00000012", ""]
    assert [sequence_of("main", name) for name in names] == [12, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("sequence", [0, 100_000_000])
def test_a_sequence_beyond_eight_digits_cannot_be_named(sequence: int) -> None:
    with pytest.raises(AssertionError):
        batch_name("main", sequence)
